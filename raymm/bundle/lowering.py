"""A bundle's graph as onnxruntime runs it fastest: the same predictions from other nodes.

Files keep ONNX's own operators, of which this makes onnxruntime's once a file is read and was found
safe. Outputs that nobody asks for are left out with what makes them, columns that are prepared
alike become one matrix (`raymm.bundle.abreast`), and a product of whole numbers becomes one node
with the scale and the bias that follow it: onnxruntime has a kernel for the four, but looks for
them only where the range is that of the batch. For 1,000 rows of a network of 32, 123, 61 and 26
numbers the products take 130 µs so instead of 290.

onnxruntime remembers where the tensors of a call lay by the exclusive or of all sides of all
inputs: of an even number of inputs the rows cancel out, and one row after a batch takes the memory
of a batch, 10 µs. So the number of inputs is made odd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raymm.bundle.abreast import Matrix, delete, joined, sweep
from raymm.onnx_builder import FLOAT, RUNTIME_DOMAIN, make_node


@dataclass(frozen=True, slots=True)
class Lowered:
    """A serialised ONNX ModelProto, and what it reads.

    Attributes
    ----------
    graph : bytes
    matrices : tuple of Matrix
        Inputs that stand for others, which the graph has no more.
    spare : str
        An input that nothing reads, uint8 of shape (n,); empty where there is none.
    """

    graph: bytes
    matrices: tuple[Matrix, ...] = ()
    spare: str = ""


def lowered(graph: bytes, output: str) -> Lowered:
    """Return a graph that predicts the same in less time.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX ModelProto that `raymm.bundle.safety.require_safe` let through.
    output : str
        The one output that is asked for; the others are kept where there is none of this name.

    Returns
    -------
    Lowered
        The same bytes where nothing can be done, and where the graph is not as it should be, which
        onnxruntime will say. The same graph gives the same bytes.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(graph)
        if any(one.HasField("g") or one.graphs for n in model.graph.node for one in n.attribute):
            return Lowered(graph)
        changed = _alone(model.graph, output)
        changed = _fused(model) or changed
        matrices = joined(model.graph)
        spare = _spare(model.graph)
    # onnx raises any of these on tensors that are not as they should be.
    except (DecodeError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return Lowered(graph)
    if not changed and not matrices and not spare:
        return Lowered(graph)
    return Lowered(bytes(model.SerializeToString(deterministic=True)), matrices, spare)


def _spare(graph: Any) -> str:
    """Add an input that nothing reads to an even number; return its name, if there is one."""
    from onnx import TensorProto, helper

    held = {one.name for one in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in held]
    if len(inputs) % 2 or not inputs:
        return ""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    name = "spare"
    while name in taken or name in inputs:
        name += "_"
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.UINT8, ["n"]))
    return name


def _alone(graph: Any, output: str) -> bool:
    """Leave out the other outputs and what makes them; return whether there were any."""
    others = [index for index, one in enumerate(graph.output) if one.name != output]
    if not others or len(others) == len(graph.output):
        return False
    delete(graph.output, others)
    sweep(graph)
    return True


def _fused(model: Any) -> bool:
    """Make one node of each product of whole numbers with what follows; return whether any were."""
    found = _Products(model.graph)
    changed = False
    for node in model.graph.node:
        changed = (node.op_type == "MatMulInteger" and found.fuse(node)) or changed
    if not changed:
        return False
    if all(one.domain != RUNTIME_DOMAIN for one in model.opset_import):
        model.opset_import.add(domain=RUNTIME_DOMAIN, version=1)
    sweep(model.graph)
    return True


class _Products:
    """Products of whole numbers in a graph, each followed by a Cast, a scale and a bias."""

    def __init__(self, graph: Any) -> None:
        self._held = {one.name: one for one in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[Any]] = {one.name: [None] for one in graph.output}
        for node in graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def fuse(self, product: Any) -> bool:
        """Turn the last node of a chain that begins with a product into one that does it all.

        Nodes before it are left for `raymm.bundle.abreast.sweep`.
        """
        cast = self._reader(product, "Cast")
        scaled = None if cast is None else self._reader(cast, "Mul")
        if cast is None or scaled is None:
            return False
        if any(one.name == "to" and one.i != FLOAT for one in cast.attribute):
            return False
        scales = self._makers.get(self._other(scaled, cast))
        parts = list(scales.input) if scales is not None and scales.op_type == "Mul" else []
        width = self._width(product.input[1]) if len(product.input) == 4 else None
        if width is None or len(parts) != 2 or not self._number(parts[0], ()):
            return False
        if not self._number(parts[1], (width,)) or not self._number(product.input[2], ()):
            return False
        if not self._number(product.input[3], (width,)):
            return False
        last, bias = scaled, ""
        added = self._reader(scaled, "Add")
        if added is not None and self._number(self._other(added, scaled), (width,)):
            last, bias = added, self._other(added, scaled)
        inputs = [*product.input[:2], *parts, *product.input[2:], *([bias] if bias else [])]
        made = make_node("MatMulIntegerToFloat", inputs, last.output, domain=RUNTIME_DOMAIN)
        last.CopyFrom(made)
        return True

    def _reader(self, node: Any, operator: str) -> Any | None:
        """Return the only node that reads another's result, if it is of this operator."""
        users = self._users.get(node.output[0], [])
        only = users[0] if len(users) == 1 else None
        return only if only is not None and only.op_type == operator else None

    def _other(self, node: Any, made: Any) -> str:
        """Return what a node of two inputs reads beside another's result."""
        names = [name for name in node.input if name != made.output[0]]
        return names[0] if len(names) == 1 else ""

    def _number(self, name: str, shape: tuple[int, ...]) -> bool:
        """Return whether a name is that of a constant of this shape."""
        return name in self._held and tuple(self._held[name].dims) == shape

    def _width(self, name: str) -> int | None:
        held = self._held.get(name)
        return held.dims[1] if held is not None and len(held.dims) == 2 else None
