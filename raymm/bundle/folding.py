"""A graph in parts that pack well: a skeleton, its trees, and the bytes of its large tensors."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymm.bundle.parts import DAMAGED, pack
from raymm.bundle.tree_codec import MIXED_NODES, decode, encode
from raymm.bundle.tree_nodes import LARGEST_NODES, MOST_MIXED, Budget
from raymm.errors import BundleError

OPERATOR = "TreeEnsembleRegressor"
WIDTHS = (4, 2, 1)
"""Bytes of the numbers of tensors that are laid apart."""
_SAMPLE = 1 << 16
_ENTRY = 11
"""Bytes that a part costs in the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The parts of a graph.

    Attributes
    ----------
    skeleton : bytes
        A serialised ONNX model. Nodes `OPERATOR` without attributes are trees; float32, float16,
        int8 and uint8 initializers without values take them from the planes, where there are any.
    trees : tuple of bytes
        One a node, in the graph's order; see `raymm.bundle.tree_codec`.
    planes : tuple of bytes
        The first, second, third and fourth bytes of all float32 initializers, in the graph's
        order; those of float16; and the bytes of those of one byte. 4, 2 and 1 of them, of each
        width that there is, so that their number tells which there are.
    """

    skeleton: bytes
    trees: tuple[bytes, ...] = ()
    planes: tuple[bytes, ...] = ()


_REMEMBERED = 12
_known: dict[tuple[bytes, bool], tuple[bool, Folded]] = {}
"""By a graph's SHA-256, and whether it may have planes: whether it was proven, and its parts."""
_encodings: dict[bytes, bytes] = {}
"""Trees as they are coded, by the SHA-256 of their node's attributes."""
_lock = threading.Lock()


def fold(graph: bytes, *, proven: bool = True, planes: bool = True) -> Folded:
    """Take a graph apart, so that `unfold` gives back every byte; what it cannot is left whole.

    Without ``planes`` its tensors stay in the skeleton.

    The last few graphs are remembered, as a run packs the same one several times. Without
    ``proven`` it is not unfolded to see, which takes half of the time: for sizes, not for files.
    """
    key = hashlib.sha256(graph).digest(), planes
    with _lock:
        known = _known.get(key)
    if known is not None and known[0] >= proven:
        return known[1]
    found = _taken_apart(graph, proven=proven, planes=planes)
    with _lock:
        _known[key] = proven, found
        while len(_known) > _REMEMBERED:
            del _known[next(iter(_known))]
    return found


def _taken_apart(graph: bytes, *, proven: bool, planes: bool) -> Folded:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(graph)
    except DecodeError:
        return Folded(skeleton=graph)
    for laid, trees in ((True, True), (False, True), (True, False)):
        if laid and not planes:
            continue
        taken = onnx.ModelProto()
        taken.CopyFrom(model)
        folded = _fold(taken, planes=laid, trees=trees)
        if folded is not None and (not proven or _unfolds(folded, graph)):
            return folded
    return Folded(skeleton=graph)


def _fold(model: Any, *, planes: bool, trees: bool) -> Folded | None:
    """Empty a model and return its parts; None where there is nothing to take."""
    made: list[bytes] = []
    nodes = [node for node in model.graph.node if node.op_type == OPERATOR]
    mixed = sum(size for node in nodes if (size := _nodes(node)) <= MIXED_NODES) <= MOST_MIXED
    for node in model.graph.node if trees else ():
        if node.op_type == OPERATOR:
            try:
                made.append(_encoded(node, mixed=mixed))
            except (BundleError, ValueError, KeyError, IndexError, TypeError):
                continue
            node.ClearField("attribute")
            node.ClearField("doc_string")
    laid: tuple[bytes, ...] = ()
    if planes and _pays(_gathered(model)):
        laid = _lay(model)
    if not made and not laid:
        return None
    skeleton = bytes(model.SerializeToString(deterministic=True))
    return Folded(skeleton=skeleton, trees=tuple(made), planes=laid)


def _nodes(node: Any) -> int:
    """Return how many nodes an operator's trees have."""
    return max((len(one.ints) for one in node.attribute if one.name == "nodes_nodeids"), default=0)


def _encoded(node: Any, *, mixed: bool) -> bytes:
    """Return the bytes of a node's trees; the last ones are remembered, as forms share members."""
    from raymm.models.trees import TreeEnsemble

    parts = (part.SerializeToString(deterministic=True) for part in node.attribute)
    key = hashlib.sha256(b"".join([bytes([mixed]), node.doc_string.encode(), *parts])).digest()
    with _lock:
        known = _encodings.get(key)
    if known is None:
        known = encode(TreeEnsemble.from_node(node), mixed=mixed)
        with _lock:
            _encodings[key] = known
            while len(_encodings) > _REMEMBERED:
                del _encodings[next(iter(_encodings))]
    return known


def _unfolds(folded: Folded, graph: bytes) -> bool:
    try:
        return unfold(folded) == graph
    except (BundleError, ValueError, TypeError):
        return False


def unfold(folded: Folded) -> bytes:
    """Put a graph together again.

    Raises
    ------
    BundleError
        When the parts do not belong together, or the trees have more nodes than
        `raymm.bundle.tree_nodes.LARGEST_NODES` in all.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if not folded.trees and not folded.planes:
        return folded.skeleton
    model = onnx.ModelProto()
    try:
        model.ParseFromString(folded.skeleton)
    except DecodeError as error:
        raise _damaged(f"its graph is not an ONNX model: {error}") from error
    _grow(model, folded.trees)
    if folded.planes:
        _fill(model, folded.planes)
    return bytes(model.SerializeToString(deterministic=True))


def _grow(model: Any, trees: Sequence[bytes]) -> None:
    nodes = [node for node in model.graph.node if node.op_type == OPERATOR and not node.attribute]
    if len(nodes) != len(trees):
        raise _damaged(f"its graph must have {len(trees)} nodes of trees, but has {len(nodes)}")
    total, budget = 0, Budget()
    for node, data in zip(nodes, trees, strict=True):
        ensemble = decode(data, budget)
        total += len(ensemble.leaf)
        if total > LARGEST_NODES:
            raise _damaged(f"its trees must have at most {LARGEST_NODES} nodes")
        ensemble.fill(node)


def _large(model: Any) -> Iterator[tuple[Any, int]]:
    """Yield tensors whose bytes may be laid apart, and the bytes of a number of theirs."""
    from onnx import TensorProto

    size = {
        TensorProto.FLOAT: 4,
        TensorProto.FLOAT16: 2,
        TensorProto.INT8: 1,
        TensorProto.UINT8: 1,
    }
    for tensor in model.graph.initializer:
        if tensor.data_type in size:
            yield tensor, size[tensor.data_type]


def _gathered(model: Any) -> dict[int, bytes]:
    """Return the tensors' bytes by the width of their numbers."""
    gathered: dict[int, list[bytes]] = {width: [] for width in WIDTHS}
    for tensor, width in _large(model):
        gathered[width].append(tensor.raw_data)
    return {width: b"".join(parts) for width, parts in gathered.items()}


def _pays(gathered: dict[int, bytes]) -> bool:
    """Return whether tensors pack better in planes, by a part from the middle of each width."""
    before = after = 0
    for width, whole in gathered.items():
        if len(whole) % width:
            return False
        start = max(0, (len(whole) - _SAMPLE) // 2 // width * width)
        part = whole[start : start + _SAMPLE]
        if part:
            before += len(pack(part, "graph")[2])
            after += sum(len(pack(plane, "bytes")[2]) + _ENTRY for plane in _planes(part, width))
    return after < before


def _planes(whole: bytes, width: int) -> list[bytes]:
    numbers = np.frombuffer(whole, np.uint8).reshape(-1, width)
    return [numbers[:, byte].tobytes() for byte in range(width)]


def _lay(model: Any) -> tuple[bytes, ...]:
    """Take the tensors' bytes and return them in planes."""
    gathered = _gathered(model)
    for tensor, _ in _large(model):
        tensor.ClearField("raw_data")
    return tuple(
        plane for width, whole in gathered.items() if whole for plane in _planes(whole, width)
    )


def _fill(model: Any, planes: Sequence[bytes]) -> None:
    held, taken = _joined(planes), dict.fromkeys(WIDTHS, 0)
    for tensor, width in _large(model):
        if tensor.raw_data or tensor.float_data or tensor.int32_data:
            continue
        count = width
        for side in tensor.dims:
            # Bounded at each step, so that no product of hostile sides grows.
            count = min(count * max(side, 0), len(held[width]) + 1)
        end = taken[width] + count
        if end > len(held[width]):
            raise _damaged("its tensors must be no larger than their bytes")
        tensor.raw_data = held[width][taken[width] : end]
        taken[width] = end
    if any(taken[width] != len(held[width]) for width in held):
        raise _damaged("its tensors must take all of their bytes")


def _joined(planes: Sequence[bytes]) -> dict[int, bytes]:
    """Return the tensors' bytes by width."""
    joined, start = dict.fromkeys(WIDTHS, b""), 0
    for width in WIDTHS:
        if len(planes) & width:
            part = planes[start : start + width]
            start += width
            if len({len(plane) for plane in part}) != 1:
                raise _damaged("the planes of its tensors must have one length")
            joined[width] = np.frombuffer(b"".join(part), np.uint8).reshape(width, -1).T.tobytes()
    if start != len(planes):
        raise _damaged(f"its tensors must have at most 7 planes, but have {len(planes)}")
    return joined


def _damaged(reason: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: {reason}. {DAMAGED}")
