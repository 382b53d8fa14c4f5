"""How a graph prepares each column: the steps from an input of numbers to where they are joined.

A lane is one column with steps that give one number a row, each of an operator that treats numbers
one by one, or of four that draw a broken line. Lanes of the same steps can be taken abreast; see
`raymm.bundle.abreast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.onnx_builder import FLOAT

Array = npt.NDArray[Any]

ELEMENTWISE = frozenset(
    {"Abs", "Add", "Cast", "Clip", "Div", "IsNaN", "Log", "Max", "Min", "Mul", "Sign", "Sub"}
    | {"Where"}
)
LINE = "line"
_CHAIN = ("Sub", "Max", "Min", "MatMul")
MOST_PARTS = 100_000
"""Parts of all Concats together: some that read each other twice have 2^n."""
WIDEST = 1_000_000
"""Columns of all Concats together that are put in order; a constant may claim more than it has."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with a column: an operator, and what it reads.

    ``kind`` is equal for steps that can be taken abreast. ``operands`` are positions of earlier
    steps of the column, -1 for the column itself, or constants. A broken line (`LINE`) has three
    constants: where its pieces begin, their widths and their slopes, each of shape (k,).
    """

    kind: tuple[Any, ...]
    node: Any
    operands: tuple[int | Array, ...]
    result: str

    @property
    def even(self) -> bool:
        """Whether it is a broken line whose pieces have one width and lie end to end."""
        return self.kind[0] == LINE and bool(self.kind[3])

    def constant(self, place: int) -> Array:
        """Return the constant among the operands at a place."""
        return np.asarray(self.operands[place])


@dataclass(slots=True)
class Lane:
    """A column and its steps, in the order of the graph."""

    column: str
    steps: list[Step] = field(default_factory=list)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What is equal for lanes that can be taken abreast."""
        return tuple(step.kind for step in self.steps)

    @property
    def pieces(self) -> int:
        """How many pieces the broken line of most has, 0 where there is none.

        Even ones count as one piece: which of them a number lies in is known without a look at all.
        """
        lines = (step for step in self.steps if step.kind[0] == LINE)
        return max((1 if one.even else len(one.constant(1)) for one in lines), default=0)


class Reader:
    """Finds out how a graph prepares its columns."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._nodes = list(graph.node)
        self._held = {one.name: one for one in graph.initializer}
        self._makers = {name: node for node in self._nodes for name in node.output}
        self._users: dict[str, list[int]] = {}
        for index, node in enumerate(self._nodes):
            for name in dict.fromkeys(node.input):
                self._users.setdefault(name, []).append(index)
        self._outputs = {value.name for value in graph.output}
        self._widths: dict[str, int | None] = {value.name: 1 for value in graph.input}
        self._read: dict[str, Array | None] = {}
        self._parts = 0
        joined = [node.output[0] for node in self._nodes if joins(node)]
        self._inner = {name for name in joined if self._read_by_concats_alone(name)}

    def _read_by_concats_alone(self, name: str) -> bool:
        readers = self._readers(name)
        return bool(readers) and name not in self._outputs and all(map(joins, readers))

    def concats(self) -> dict[str, list[str]]:
        """Return the parts of each Concat of known widths, by its result.

        One that other Concats alone read counts as its parts in them, and one that others read
        too is a part. Those that would make more than `WIDEST` columns are left out.

        Raises
        ------
        ValueError
            When there are more than `MOST_PARTS` parts.
        """
        found, total = {}, 0
        for node in self._nodes:
            if joins(node) and node.output[0] not in self._inner:
                parts: list[str] = []
                self._flatten(node, parts)
                widths = [self.width(part) for part in parts]
                width = sum(one or 0 for one in widths)
                if None not in widths and total + width <= WIDEST:
                    found[node.output[0]] = parts
                    total += width
        return found

    def _flatten(self, concat: Any, parts: list[str]) -> None:
        for name in concat.input:
            self._parts += 1
            if self._parts > MOST_PARTS:
                raise ValueError(f"Concats must have {MOST_PARTS:,} parts at most, but have more.")
            if name in self._inner:
                self._flatten(self._makers[name], parts)
            else:
                parts.append(name)

    def lanes(self, concats: Mapping[str, list[str]]) -> list[Lane]:
        """Return the columns whose every step is known and ends in one of these Concats."""
        ends = {part for parts in concats.values() for part in parts}
        lanes = []
        for value in self._graph.input:
            if value.type.tensor_type.elem_type != FLOAT or not self._users.get(value.name):
                continue
            lane = self._lane(value.name, ends)
            if lane is not None:
                lanes.append(lane)
        return lanes

    def _readers(self, name: str) -> list[Any]:
        return [self._nodes[index] for index in self._users.get(name, ())]

    def _lane(self, column: str, ends: set[str]) -> Lane | None:
        lane, places = Lane(column), {column: -1}
        waiting, seen = list[int](), set[int]()
        latest: str | None = column
        while latest is not None:
            for index in self._users.get(latest, ()):
                if not joins(self._nodes[index]):
                    heappush(waiting, index)
                elif latest not in ends:
                    return None
            while waiting and waiting[0] in seen:
                heappop(waiting)
            latest = None
            if waiting:
                seen.add(waiting[0])
                step = self._step(self._nodes[heappop(waiting)], places)
                if step is None or step.result in self._outputs:
                    return None
                latest, places[step.result] = step.result, len(lane.steps)
                lane.steps.append(step)
        return lane if lane.steps else None

    def _step(self, node: Any, places: Mapping[str, int]) -> Step | None:
        """Return what a node does with a column, or it and those that follow it."""
        if node.domain not in ("", "ai.onnx") or node.op_type not in ELEMENTWISE:
            return None
        line = self._line(node, places)
        if line is not None:
            return line
        operands: list[int | Array] = []
        for name in node.input:
            constant = self.constant(name)
            if name in places:
                operands.append(places[name])
            elif constant is not None and constant.size == 1 and constant.ndim <= 2:
                operands.append(constant.reshape(()))
            else:
                return None
        told = tuple(one if isinstance(one, int) else one.dtype.str for one in operands)
        how = tuple(one.SerializeToString(deterministic=True) for one in node.attribute)
        return Step((node.op_type, how, told), node, tuple(operands), node.output[0])

    def _line(self, node: Any, places: Mapping[str, int]) -> Step | None:
        """Return a broken line: what lies beyond each knot, up to a width, times a slope."""
        chain = [node]
        while len(chain) < len(_CHAIN):
            users = self._readers(chain[-1].output[0])
            if len(users) != 1 or chain[-1].output[0] in self._outputs:
                return None
            chain.append(users[0])
        follows = all(one.output[0] == other.input[0] for one, other in pairwise(chain))
        if tuple(one.op_type for one in chain) != _CHAIN or not follows:
            return None
        held = [self.constant(one.input[1]) for one in chain if len(one.input) == 2]
        if node.input[0] not in places or len(held) != len(chain):
            return None
        knots, zero, widths, slopes = held
        if knots is None or zero is None or widths is None or slopes is None:
            return None
        count = knots.size
        shapes = knots.shape, widths.shape, slopes.shape
        if shapes != ((1, count), (1, count), (count, 1)) or count < 2 or zero.size != 1:
            return None
        if zero.item() != 0 or not _rising(widths, slopes):
            return None
        place = places[node.input[0]]
        even = _even(knots[0], widths[0])
        # a line is padded to the longest beside it: to twice its length at most, unless it is short
        length = max(5 if even else 0, (count - 1).bit_length())
        kind = (LINE, place, knots.dtype.str, even, length)
        operands = place, knots[0], widths[0], slopes[:, 0]
        return Step(kind, node, operands, chain[-1].output[0])

    def constant(self, name: str) -> Array | None:
        """Return a constant's values; None where the name is not one's."""
        from onnx import numpy_helper

        if name not in self._read:
            held = self._held.get(name)
            self._read[name] = None if held is None else numpy_helper.to_array(held)
        return self._read[name]

    def width(self, name: str) -> int | None:
        """Return how many columns a matrix has; None where that is not seen at once.

        None too where they are more than `WIDEST`, or fewer than none.
        """
        if name not in self._widths:
            self._widths[name] = None
            found = self._measured(name)
            self._widths[name] = found if found is not None and 0 <= found <= WIDEST else None
        return self._widths[name]

    def _measured(self, name: str) -> int | None:
        held, node = self._held.get(name), self._makers.get(name)
        if held is not None:
            return int(held.dims[-1]) if held.dims else 1
        if node is None:
            return None
        if node.op_type in ("MatMul", "Gemm") and len(node.attribute) == 0:
            return self.width(node.input[1])
        if node.op_type == "Gather" and _axis(node) == 1:
            return self.width(node.input[1])
        known = [self.width(one) for one in node.input]
        if joins(node):
            return None if None in known else sum(one or 0 for one in known)
        if node.op_type in ELEMENTWISE | {"BitwiseAnd", "Equal", "Identity", "LabelEncoder"}:
            return None if None in known else max(one or 0 for one in known)
        return None


def _rising(widths: Array, slopes: Array) -> bool:
    """Return whether pieces have widths, so that the way into one can be told as a share of it."""
    with np.errstate(all="ignore"):
        known = np.isfinite([1 / widths.ravel(), widths.ravel() * slopes.ravel()]).all()
    return bool(known and (widths > 0).all())


def _even(knots: Array, widths: Array) -> bool:
    """Return whether pieces have one width and lie end to end, each beyond the last, in float64."""
    if knots.dtype != np.float64 or not (widths == widths[0]).all():
        return False
    with np.errstate(all="ignore"):  # they may be infinite
        apart = (np.diff(knots, append=knots[-1] + widths[0]) > 0).all()
        return bool(apart and (knots == knots[0] + widths[0] * np.arange(len(knots))).all())


def joins(node: Any) -> bool:
    """Return whether a node puts matrices side by side."""
    return node.op_type == "Concat" and _axis(node) == 1


def _axis(node: Any) -> int:
    return next((one.i for one in node.attribute if one.name == "axis"), 0)
