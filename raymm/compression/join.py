"""Makes one ensemble of those whose margins a graph adds up, as a mix of regressors does.

Each member of such a mix stands between a scale and a shift of its own and one sum:
``scale * margins + shift``. Trees whose leaves are multiplied by their scale are then trees of one
ensemble, and can be pruned together: nodes are left where the whole mix changes most without them,
and the leaves of one member make up for what is gone of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.compression.grove import Grove
from raymm.compression.network import fresh, splice
from raymm.compression.tap import ensemble_of
from raymm.models.trees import FORMAT, OPERATOR, TreeEnsemble

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Trees on their way to a sum: margins times ``scale``, plus ``shift``.

    Attributes
    ----------
    places : tuple of int
        Positions in the graph of the trees and of the steps behind them.
    result : str
        The input of the sum that they make.
    shift : float64, shape (outputs,)
    """

    node: Any
    places: tuple[int, ...]
    result: str
    scale: float
    shift: Floats


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more ensembles that one node ``Sum``, at ``place``, adds up."""

    place: int
    parts: tuple[Part, ...]

    @property
    def unit(self) -> float:
        """The scale of the joined margins."""
        return max((part.scale for part in self.parts), key=abs) or 1.0

    @property
    def shift(self) -> Floats:
        """What is added to them then, shape (outputs,)."""
        return np.asarray(np.sum([part.shift for part in self.parts], axis=0), np.float64)

    def ensemble(self) -> TreeEnsemble:
        """Return the joined ensemble: its margins times ``unit``, plus ``shift``, are the sum."""
        ensembles = [ensemble_of(part.node) for part in self.parts]
        return added(ensembles, [part.scale / self.unit for part in self.parts])

    def put(self, model: Any, trees: TreeEnsemble) -> None:
        """Write an ensemble, the unit and the shift in the place of the parts."""
        from onnx import helper, numpy_helper

        first = self.parts[0].node
        prefix = fresh(model.graph, first.output[0])
        numbers = {"unit": np.array([self.unit]), "shift": self.shift}
        constants = [
            numpy_helper.from_array(value.astype(np.float32), f"{prefix}{name}")
            for name, value in numbers.items()
        ]
        node = trees.to_node(first)
        scaled = helper.make_node("Mul", [node.output[0], constants[0].name], [f"{prefix}scaled"])
        moved = helper.make_node("Add", [scaled.output[0], constants[1].name], [f"{prefix}moved"])
        gone = {part.result for part in self.parts}
        total = model.graph.node[self.place]
        total.input[:] = [moved.output[0], *(name for name in total.input if name not in gone)]
        old = sorted({one for part in self.parts for one in part.places})
        splice(model, old, [node, scaled, moved], constants)


def groups(model: Any) -> list[Group]:
    """Return the ensembles of a ModelProto that can be joined, in the graph's order.

    They read the same tensor, make as many outputs, and are added up by the same node ``Sum`` after
    nothing but products and sums with constants. Places are those before any is joined.
    """
    walker = _Walker(model.graph)
    made = []
    for place, node in enumerate(model.graph.node):
        if node.op_type != "Sum":
            continue
        found: dict[tuple[str, int], list[Part]] = {}
        for part in filter(None, map(walker.part, node.input)):
            found.setdefault((part.node.input[0], len(part.shift)), []).append(part)
        made += [Group(place, tuple(alike)) for alike in found.values() if len(alike) > 1]
    return made


class _Walker:
    """Walks back from tensors of one graph."""

    def __init__(self, graph: Any) -> None:
        self._nodes = list(graph.node)
        self._makers = {name: k for k, node in enumerate(graph.node) for name in node.output}
        self._users = Counter(name for node in graph.node for name in node.input)
        self._constants: Mapping[str, Any] = {one.name: one for one in graph.initializer}

    def part(self, name: str) -> Part | None:
        """Return the trees that a tensor is made of; None where it is made of something else."""
        result, places, steps = name, list[int](), list[tuple[str, Floats]]()
        while self._users[name] == 1 and name in self._makers:
            place = self._makers[name]
            node = self._nodes[place]
            places.append(place)
            if node.op_type == OPERATOR and FORMAT in node.doc_string:
                width = next(one.i for one in node.attribute if one.name == "n_targets")
                found = _affine(steps[::-1], width)
                return None if found is None else Part(node, tuple(places), result, *found)
            step = self._step(node)
            if step is None:
                return None
            steps.append((node.op_type, step[0]))
            name = step[1]
        return None

    def _step(self, node: Any) -> tuple[Floats, str] | None:
        """Return the constant that a node multiplies with or adds, and what it does that to."""
        from onnx import numpy_helper

        held = [one for one in node.input if one in self._constants]
        rest = [one for one in node.input if one not in self._constants]
        if node.op_type not in ("Mul", "Add") or len(held) != 1 or len(rest) != 1:
            return None
        value = np.asarray(numpy_helper.to_array(self._constants[held[0]]), np.float64)
        return value.reshape(-1), rest[0]


def _affine(steps: Sequence[tuple[str, Floats]], width: int) -> tuple[float, Floats] | None:
    """Return the scale and the shift, shape (width,), of steps; None where they have several."""
    scale, shift = 1.0, np.zeros(width)
    for kind, value in steps:
        if kind == "Mul" and value.size == 1:
            scale, shift = scale * float(value[0]), shift * value
        elif kind == "Add" and value.size in (1, width):
            shift = shift + value
        else:
            return None
    return scale, shift


def added(ensembles: Sequence[TreeEnsemble], scales: Sequence[float]) -> TreeEnsemble:
    """Return one ensemble that answers the sum of several, each times its scale.

    All have as many outputs. It has no rounds that could be counted, nor trees of equal weight.
    """
    strict = all(one.strict for one in ensembles)
    sizes = np.cumsum([0, *(len(one.feature) for one in ensembles)])

    def moved(name: str) -> npt.NDArray[np.int64]:
        columns = [getattr(one, name) for one in ensembles]
        return np.concatenate(
            [np.where(c < 0, -1, c + start) for c, start in zip(columns, sizes, strict=False)]
        )

    threshold = [one.threshold if one.strict == strict else _before(one) for one in ensembles]
    pairs = list(zip(ensembles, scales, strict=True))
    value = np.concatenate([one.value.astype(np.float64) * scale for one, scale in pairs])
    base = np.sum([one.base.astype(np.float64) * scale for one, scale in pairs], axis=0)
    made = replace(
        ensembles[0],
        feature=np.concatenate([one.feature for one in ensembles]),
        threshold=np.concatenate(threshold),
        missing_left=np.concatenate([one.missing_left for one in ensembles]),
        left=moved("left"),
        right=moved("right"),
        roots=moved("roots"),
        leaf=moved("leaf"),
        output=np.concatenate([one.output for one in ensembles]),
        value=value.astype(np.float32),
        base=base.astype(np.float32),
        strict=strict,
        trees_per_round=1,
        averaged=False,
    )
    # Which zeros are to be written depends on the base of all of them.
    return Grove.of(made).ensemble()


def _before(trees: TreeEnsemble) -> npt.NDArray[np.float32]:
    """Return thresholds of "at most" that send rows where those of "less than" do."""
    below = np.nextafter(trees.threshold, np.float32(-np.inf))
    return np.where(trees.left < 0, np.float32(0), below)
