"""Graphs whose trees and linear models other exporters wrote, rewritten so that raymm compresses
them.

A node becomes one of raymm's own, which tells margins, and the few steps from these to what it
told. It is proven node by node: trees on rows at the thresholds, a step of float32 beside them, and
of missing, infinite and extreme values, linear models on rows near nothing and far from it; and as
a whole by who takes the graph over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.errors import BundleError
from raymm.foreign import ensembles, linear
from raymm.foreign.ensembles import SHARES, SIDES, SIGMOIDS, Read
from raymm.foreign.linear import Linear
from raymm.models.trees import TreeEnsemble
from raymm.onnx_builder import ML_DOMAIN

BOUND = 1e-5
"""Largest difference allowed: of a share, or of a value as a share of the largest."""
MOST, LEAST, WORK, CELLS = 5_000, 500, 2_000_000, 50_000_000
"""Rows of the proof: at most and at least, and their number times the trees or the columns."""
_EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-45)
_CLIPPED = 1 + 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A graph in raymm's own operators.

    Attributes
    ----------
    model : ModelProto
        Without nodes and constants that the result does not need.
    count : int
        Nodes that were rewritten.
    columns : int
        Of the result, where it is what one of them tells: one, or two that add up to 1; else 0.
    refused : tuple of str
        Why other nodes of trees and linear models were not.
    """

    model: Any
    count: int
    columns: int
    refused: tuple[str, ...]


def rewrite(model: Any, result: str) -> Rewritten:
    """Rewrite what a tensor of a ModelProto needs of trees and linear models.

    The model given stays as it is.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes, constants, refused = list[Any](), list[Any](), list[str]()
    count, columns = 0, 0
    needed = _needed(made.graph, result)
    used = {name for node in needed for name in node.input}
    for node in needed:
        if not (ensembles.is_foreign(node) or linear.is_linear(node)):
            nodes.append(node)
            continue
        try:
            told = _told(node, needed, used | {result})
            found = linear.read(node) if linear.is_linear(node) else ensembles.read(node)
            steps, held = _steps(found, node, told)
            _require_same(node, found, steps, held)
        except (BundleError, KeyError, ValueError, IndexError) as error:
            refused.append(f"{node.op_type}: {_reason(error)}")
            nodes.append(node)
            continue
        nodes += steps
        constants += held
        count += 1
        if told == result:
            columns = _columns(found)
    used = {name for node in nodes for name in node.input}
    constants += [one for one in made.graph.initializer if one.name in used]
    for field, values in ((made.graph.node, nodes), (made.graph.initializer, constants)):
        copies = [type(one).FromString(one.SerializeToString()) for one in values]
        del field[:]
        field.extend(copies)
    keep = [one for one in made.graph.output if one.name == result]
    del made.graph.output[:]
    made.graph.output.extend(keep)
    return Rewritten(model=made, count=count, columns=columns, refused=tuple(refused))


def _columns(found: Read | Linear) -> int:
    """Return `Rewritten.columns` of a node that tells the result."""
    if found.link in (SHARES, SIGMOIDS):
        return 2
    return int(not found.link and found.outputs == 1)


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def _needed(graph: Any, result: str) -> list[Any]:
    """Return the nodes that a tensor needs, in the graph's order."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    found, waiting = set[int](), [result]
    while waiting:
        place = makers.get(waiting.pop())
        if place is not None and place not in found:
            found.add(place)
            waiting += graph.node[place].input
    return [graph.node[place] for place in sorted(found)]


def _told(node: Any, needed: Sequence[Any], used: set[str]) -> str:
    """Return the tensor of a node's numbers.

    Raises
    ------
    BundleError
        When its labels are read, or it reads other than float32.
    """
    from onnx import TensorProto

    if len(node.output) == 2 and node.output[0] in used:
        raise BundleError("the labels that it tells are read")
    for maker in needed:
        if node.input[0] in maker.output and maker.op_type == "Cast":
            (kind,) = (one.i for one in maker.attribute if one.name == "to")
            if kind != TensorProto.FLOAT:
                raise BundleError("it reads other numbers than float32")
    return str(node.output[-1])


def _steps(found: Read | Linear, node: Any, told: str) -> tuple[list[Any], list[Any]]:
    """Return the nodes that do a node's work, and their constants."""
    from onnx import helper, numpy_helper

    link = found.link
    margins = f"{told}/margins" if link else told
    made, held = found.steps(list(node.input), margins)

    def add(operator: str, inputs: list[str], name: str, **how: Any) -> str:
        made.append(helper.make_node(operator, inputs, [name], **how))
        return name

    def hold(name: str, value: float) -> str:
        held.append(numpy_helper.from_array(np.array(value, np.float32), f"{told}/{name}"))
        return f"{told}/{name}"

    if link == SHARES:
        one = hold("one", 1.0)
        if isinstance(found, Read) and _within(found.trees):
            # Sums of shares are beyond 0 and 1 by float32's steps, and pruned ones by more.
            margins = add("Clip", [margins, hold("zero", 0.0), one], f"{told}/second")
        add("Concat", [add("Sub", [one, margins], f"{told}/first"), margins], told, axis=1)
    elif link in (SIDES, SIGMOIDS):
        first = add("Neg", [margins], f"{told}/negative")
        if link == SIGMOIDS:
            first = add("Sigmoid", [first], f"{told}/first")
            margins = add("Sigmoid", [margins], f"{told}/second")
        add("Concat", [first, margins], told, axis=1)
    elif link:
        add(link, [margins], told, **({"axis": 1} if link == "Softmax" else {}))
    return made, held


def _within(trees: TreeEnsemble) -> bool:
    """Return whether sums of one output can only be from 0 to 1."""
    owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
    low, high = np.zeros(len(trees.roots)), np.zeros(len(trees.roots))
    np.minimum.at(low, owner, trees.value)
    np.maximum.at(high, owner, trees.value)
    base = float(trees.base[0])
    return bool(low.sum() + base >= 0 and high.sum() + base <= _CLIPPED)


def _require_same(node: Any, found: Read | Linear, steps: list[Any], held: list[Any]) -> None:
    """Raise BundleError where nodes answer hard rows differently from the one they stand for."""
    generator = np.random.default_rng(0)
    x = hard_rows(found.trees, generator) if isinstance(found, Read) else found.hard_rows(generator)
    expected, answered = (
        _answers(nodes, node, part, x) for nodes, part in (([node], []), (steps, held))
    )
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-30)
    away = (
        float(np.abs(answered - expected).max(initial=0.0)) / scale
        if expected.shape == answered.shape
        else np.inf
    )
    if not away <= BOUND:
        raise BundleError(f"raymm's form of it answers hard rows {away:.3g} away")


def hard_rows(trees: TreeEnsemble, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return rows at thresholds, beside them, missing, infinite and extreme; float32 (n, d)."""
    split = trees.feature >= 0
    width = int(trees.feature.max(initial=0)) + 1
    count = int(np.clip(min(WORK // len(trees.roots), CELLS // width), LEAST, MOST))
    rows = np.zeros((count, width), np.float32)
    for column in np.unique(trees.feature[split]):
        at = np.unique(trees.threshold[split & (trees.feature == column)])
        beside = [np.nextafter(at, np.float32(side)) for side in (-np.inf, np.inf)]
        near = generator.choice(np.concatenate([at, *beside]), count)
        edges = generator.choice(np.array(_EDGES, np.float32), count)
        rows[:, column] = np.where(generator.random(count) < 0.2, edges, near)
    rows[0] = np.nan
    return rows


def _answers(
    nodes: list[Any], like: Any, held: list[Any], x: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return what nodes tell, in the place of one, of rows that it reads."""
    import onnx
    import onnxruntime
    from onnx import helper

    kind = onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info(like.input[0], kind, ["n", x.shape[1]])
    told = helper.make_tensor_value_info(like.output[-1], kind, None)
    model = helper.make_model(
        helper.make_graph(nodes, "trees", [given], [told], held),
        opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(ML_DOMAIN, 3)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (found,) = session.run([like.output[-1]], {like.input[0]: x})
    except Exception as error:  # onnxruntime's own errors share no base below Exception
        raise BundleError(f"onnxruntime does not run it alone: {error}") from error
    return np.asarray(found, np.float64).reshape(len(x), -1)
