"""Proof that trees, networks and rows of a compressed graph add up as the reference adds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.packed import Bundle
from raymm.compression.grove import answered
from raymm.compression.network import Network, activated, networks
from raymm.compression.row_agreement import rows_apart
from raymm.compression.tap import tapped, tree_nodes
from raymm.errors import ParityError

if TYPE_CHECKING:
    from raymm.models.trees import TreeEnsemble

Floats = npt.NDArray[np.float64]

NEAR, LEAST, WORK = 10_000, 500, 2_000_000
"""Rows at the thresholds of trees: at most and at least, and their number times the trees."""
_STEP = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max)
_BEND = 1e-6
"""By how much onnxruntime's Tanh and Sigmoid may be off: they are quotients of polynomials."""


def require_agreement(bundle: Bundle, tensors: Tensors) -> float:
    """Hold every node of trees and every network in a graph against a reference, row by row.

    Trees are held against `TreeEnsemble.margins`, on the rows and on others whose features lie at
    thresholds, a step of float32 below or above them: the reference takes the same branches and
    adds in float64. A float32 sum of k numbers is off by at most about k / 2 steps of the sum of
    their sizes, where a step is 1.2e-7; that is the bound, and one row on a wrong side of a split
    nearly always goes beyond it. Networks of float32, or of float16 that is cast, are held against
    `Network.hidden` in float64, within the same bound, carried through the layers; products of
    whole numbers against the same products; rows that are compared with as
    `raymm.compression.row_agreement` says.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        Rows, at least one; `raymm.bundle.parity.adversarial` makes hard ones.

    Returns
    -------
    float
        The largest difference as a share of its bound; 0 for a graph without any of these.

    Raises
    ------
    ParityError
        When it is above 1, or a margin is not finite.
    """
    from raymm.models.trees import TreeEnsemble

    model, nodes = tree_nodes(bundle)
    worst = 0.0
    for node in nodes:
        trees = TreeEnsemble.from_node(node)
        x = tapped(bundle, node.input[0], tensors)
        near = _near(trees, x.shape[1])
        found = tapped(bundle, node.output[0], tensors)
        for rows, answers in ((x, found), (near, answered(trees, near))):
            worst = max(worst, _trees_apart(trees, rows, answers))
    for network in networks(_widened(model)):
        worst = max(worst, _network_apart(bundle, network, tensors))
    for node in model.graph.node:
        if node.op_type == "MatMulInteger":
            worst = max(worst, _integers_apart(bundle, model, node, tensors))
    for apart, most in rows_apart(bundle, model, tensors):
        worst = max(worst, _held(apart, most, "rows"))
    return worst


def _trees_apart(
    trees: TreeEnsemble, x: npt.NDArray[np.float32], found: npt.NDArray[np.float32]
) -> float:
    largest = np.zeros(len(trees.roots))
    owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
    np.maximum.at(largest, owner, np.abs(trees.value.astype(np.float64)))
    size = largest.sum() + np.abs(trees.base).max()
    bound = max(len(trees.roots), 2) / 2 * _STEP * size + _TINY
    return _held(np.abs(found - trees.margins(x)), bound, "trees")


def _near(trees: TreeEnsemble, width: int) -> npt.NDArray[np.float32]:
    """Return rows of features at thresholds and beside them, float32 (n, width)."""
    generator = np.random.default_rng(0)
    count = int(np.clip(WORK // max(1, len(trees.roots)), LEAST, NEAR))
    rows = np.zeros((count, width), np.float32)
    split = np.asarray(trees.feature) >= 0
    for column in np.unique(trees.feature[split]):
        at = np.unique(trees.threshold[split & (trees.feature == column)]).astype(np.float32)
        beside = [np.nextafter(at, np.float32(side)) for side in (-np.inf, np.inf)]
        rows[:, column] = generator.choice(np.concatenate([at, *beside, [np.nan]]), count)
    return rows


def _network_apart(bundle: Bundle, network: Network, tensors: Tensors) -> float:
    """Return how far a network's results are from the reference, as a share of the bound.

    Rows whose sums are beyond float32 are left out, as those that lack what it reads.
    """
    x = tapped(bundle, network.source, tensors).astype(np.float64)
    x = x[:, list(network.columns)] if network.columns else x
    # Sums may be beyond float64 too, or infinity take off infinity: these rows are left out.
    with np.errstate(over="ignore", invalid="ignore"):
        expected, off, largest = _expected(network, x)
        known = np.isfinite(largest) & (largest < _LARGEST / 4)
    if not known.any():
        return 0.0
    found = tapped(bundle, network.result, tensors)
    return _held(np.abs(found[known] - expected[known]), off[known] + _TINY, "networks")


def _expected(network: Network, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return a network's results, what float32 may be off by, and each row's largest sum."""
    off, largest = np.zeros_like(x), np.abs(x).max(axis=1)
    for number, layer in enumerate(network.layers):
        matrix, bias = layer.matrix.astype(np.float64), layer.bias.astype(np.float64)
        sizes = np.abs(x) @ np.abs(matrix) + np.abs(bias)
        off = off @ np.abs(matrix) + (len(matrix) / 2 + 2) * _STEP * sizes
        x = x @ matrix + bias
        largest = np.maximum(largest, sizes.max(axis=1))
        if number < len(network.activations):
            x = activated(x, network.activations[number])
            # None of them is steeper than 1.
            off += 0.0 if network.activations[number] == "Relu" else _BEND
    return x, off, largest


def _integers_apart(bundle: Bundle, model: Any, node: Any, tensors: Tensors) -> float:
    """Return how far a product of whole numbers is from the same product; 0 or far beyond 1.

    Those whose zeros are made anew for each batch are passed over.
    """
    from onnx import numpy_helper

    held = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    if any(name and name not in held for name in node.input[1:]):
        return 0.0
    zeros = [held[name].astype(np.float64) if name else 0.0 for name in node.input[2:]]
    left, right = [*zeros, 0.0, 0.0][:2]
    matrix = held[node.input[1]].astype(np.float64) - right
    x = tapped(bundle, node.input[0], tensors).astype(np.float64) - left
    expected = x @ matrix
    found = tapped(bundle, node.output[0], tensors)
    # As float32 a sum of whole numbers is off by a step at most.
    return _held(np.abs(found - expected), _STEP * np.abs(expected) + 0.5, "networks")


def _widened(model: Any) -> Any:
    """Return a model whose constants of float16 that are cast are of float32."""
    import onnx
    from onnx import numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(model)
    held = {one.name: one for one in made.graph.initializer}
    for node in [one for one in made.graph.node if one.op_type == "Cast"]:
        constant = held.get(node.input[0])
        if constant is not None and constant.data_type == onnx.TensorProto.FLOAT16:
            wide = numpy_helper.to_array(constant).astype(np.float32)
            made.graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
            made.graph.node.remove(node)
    return made


def _held(apart: Floats, bound: Floats | float, what: str) -> float:
    """Return the largest difference as a share of its bound."""
    share = apart / bound
    worst = float(share.max()) if share.size else 0.0
    if not worst <= 1:
        place = np.unravel_index(int(np.argmax(np.nan_to_num(share, nan=np.inf))), share.shape)
        most = float(np.broadcast_to(bound, share.shape)[place])
        raise ParityError(
            f"the compressed {what} must add up to the reference within {most:g}, but differ "
            f"by {float(apart[place]):g}. Set compression.techniques to [] and report it."
        )
    return worst
