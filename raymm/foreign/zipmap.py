"""The end that skl2onnx gives to classifiers unless it is asked not to: a mapping for each row.

ZipMap takes a matrix of shares, one column for each class, and names the columns. Nothing else can
read what it makes; the matrix is what it was made of.
"""

from __future__ import annotations

_DOMAIN = "ai.onnx.ml"


def plain(data: bytes) -> bytes:
    """Return a graph whose outputs are the matrices that its ZipMaps take.

    Parameters
    ----------
    data : bytes
        Of an ONNX file, or of anything else.

    Returns
    -------
    bytes
        Those given where they hold no graph that ends in a ZipMap.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return data
    graph = model.graph
    ends = {one.name: place for place, one in enumerate(graph.output)}
    maps = [
        node
        for node in graph.node
        if (node.op_type, node.domain) == ("ZipMap", _DOMAIN)
        and len(node.input) == len(node.output) == 1
        and node.output[0] in ends
    ]
    for node in maps:
        graph.output[ends[node.output[0]]].CopyFrom(_matrix(node))
        graph.node.remove(node)
    return bytes(model.SerializeToString()) if maps else data


def _matrix(node: object) -> object:
    """Return the output in place of a ZipMap's."""
    import onnx

    named = {one.name: len(one.ints) or len(one.strings) for one in node.attribute}  # type: ignore[attr-defined]
    classes = max(named.values(), default=0) or "classes"
    name = node.input[0]  # type: ignore[attr-defined]
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", classes])
