"""Columns that are prepared alike, prepared as one matrix: the same numbers from fewer nodes.

A graph prepares each column by nodes of its own, some fifteen for a number that a network reads.
onnxruntime takes a microsecond a node for one row, and reads small tensors slowly: of 16 columns
the preparation of one row takes 137 µs so, and 33 µs as one matrix (1,000 rows: 6.5 and 0.4 ms).
Where columns are bent by broken lines the matrix lies: a column is a row of it, since onnxruntime
is fast along the last side, and takes 7 ns for each number that changes places there.
Files keep the plain form, where columns that nothing reads are taken out with their nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from raymm.bundle.lanes import LINE, Array, Lane, Reader, Step, joins
from raymm.onnx_builder import FLOAT, INT64, make_node

CELLS = 256
"""Pieces of broken lines that are computed together in a row: more would leave the cache."""
EXACT = 1e-9
"""Of a broken line's rise, what it may be off: a sixtieth of float32's least step, which it is told
in."""
FEWEST = 2
"""Columns from which on one matrix is made of them."""


_Place = tuple[str, int]
"""A tensor, and which of its columns."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """An input that stands for several inputs of one column of numbers each.

    Attributes
    ----------
    name : str
    columns : tuple of str
        The inputs that it stands for, in order.
    lying : bool
        Whether its shape is (columns, n) instead of (n, columns).
    """

    name: str
    columns: tuple[str, ...]
    lying: bool

    def of(self, columns: Mapping[str, Array]) -> Array:
        """Return the matrix of columns of shape (n,) each."""
        held = np.concatenate([columns[name] for name in self.columns])
        held = held.reshape(len(self.columns), -1)
        return held if self.lying else np.ascontiguousarray(held.T)


def joined(graph: Any) -> tuple[Matrix, ...]:
    """Put columns of a graph that are prepared alike together.

    Parameters
    ----------
    graph : GraphProto
        Without graphs within. It is changed, unless nothing can be done together. The same graph
        becomes the same.

    Returns
    -------
    tuple of Matrix
        Inputs that stand for others, which the graph has no more: onnxruntime takes almost a
        microsecond for each input of a call.

    Raises
    ------
    ValueError, TypeError, LookupError, AttributeError, RecursionError
        When tensors are not as they should be, or it would take more than
        `raymm.bundle.lanes.MOST_PARTS`; the graph may be changed in part then.
    """
    names = [value.name for value in graph.input]
    names += [name for node in graph.node for name in node.output if name]
    if len(set(names)) < len(names):
        return ()
    reader = Reader(graph)
    concats = reader.concats()
    groups = [group for group in _groups(reader.lanes(concats)) if len(group) >= FEWEST]
    if not groups:
        return ()
    lying = any(lane.pieces for group in groups for lane in group)
    writer = _Writer(graph, lying=lying)
    for group in groups:
        writer.group(group)
    writer.concats(reader, concats)
    sweep(graph)
    gone = {name for matrix in writer.matrices for name in matrix.columns}
    places = [index for index, value in enumerate(graph.input) if value.name in gone]
    delete(graph.input, places)
    return tuple(writer.matrices)


def _groups(lanes: Sequence[Lane]) -> Iterator[list[Lane]]:
    """Yield lanes of the same steps, in their order, as many as may go together."""
    alike: dict[tuple[Any, ...], list[Lane]] = {}
    for lane in lanes:
        alike.setdefault(lane.kind, []).append(lane)
    for group in alike.values():
        pieces = max(lane.pieces for lane in group)
        most = max(1, CELLS // pieces) if pieces else len(group)
        parts = -(-len(group) // most)
        size = -(-len(group) // parts)
        for start in range(0, len(group), size):
            yield group[start : start + size]


class _Writer:
    """Writes groups of columns as matrices, and the Concats that read them."""

    def __init__(self, graph: Any, *, lying: bool) -> None:
        self._graph = graph
        taken = {name for node in graph.node for name in (*node.input, *node.output)}
        taken |= {value.name for value in (*graph.input, *graph.initializer)}
        self._prefix = "abreast_"
        while any(name.startswith(self._prefix) for name in taken):
            self._prefix += "_"
        self._count = 0
        self._nodes: list[Any] = []
        self._places: dict[str, _Place] = {}
        self._widths: dict[str, int] = {}
        self._lying = lying
        self.matrices: list[Matrix] = []

    def group(self, lanes: Sequence[Lane]) -> None:
        """Write the steps of columns that are prepared alike."""
        whole = self._matrix([lane.column for lane in lanes])
        made: list[str] = []
        self._widths[whole] = len(lanes)
        self._places |= {lane.column: (whole, at) for at, lane in enumerate(lanes)}
        for place, step in enumerate(lanes[0].steps):
            column = [lane.steps[place] for lane in lanes]
            if step.kind[0] == LINE:
                read = step.operands[0]
                assert isinstance(read, int)
                source = whole if read == -1 else made[read]
                made.append(self._line(source, column))
            else:
                made.append(self._elementwise(whole, made, column))
            self._widths[made[-1]] = len(lanes)
            self._places |= {one.result: (made[-1], at) for at, one in enumerate(column)}

    def _elementwise(self, whole: str, made: Sequence[str], column: Sequence[Step]) -> str:
        names, apart = [], False
        for place, operand in enumerate(column[0].operands):
            if isinstance(operand, int):
                names.append(whole if operand == -1 else made[operand])
                continue
            values = np.stack([step.constant(place) for step in column])
            same = all(one.tobytes() == values[0].tobytes() for one in values)
            names.append(self._constant(values[0] if same else self._beside(values)))
            apart = apart or not same
        node = column[0].node
        if node.op_type == "Clip" and apart:
            low = self._node("Max", names[:2])
            return self._node("Min", [low, names[2]]) if len(names) > 2 else low
        made_node = make_node(node.op_type, names, [self._fresh()])
        made_node.attribute.extend(node.attribute)
        self._nodes.append(made_node)
        return str(made_node.output[0])

    def _matrix(self, columns: Sequence[str]) -> str:
        """Declare an input that stands for columns."""
        from onnx import helper

        matrix = Matrix(self._fresh(), tuple(columns), self._lying)
        shape: list[str | int] = ["n", len(columns)]
        if self._lying:
            shape.reverse()
        self._graph.input.append(helper.make_tensor_value_info(matrix.name, FLOAT, shape))
        self.matrices.append(matrix)
        return matrix.name

    def _beside(self, values: Array) -> Array:
        """Return a number for each column as they stand in a matrix."""
        return values[:, None] if self._lying else values[None, :]

    def _line(self, source: str, column: Sequence[Step]) -> str:
        """Write broken lines of a matrix that lies; those of fewer pieces have some of no rise.

        The way into each piece is a share of its width, from 0 to 1, and is worth its rise. Where
        that is exact enough, it is where the line bends that counts, in two thirds of the time, and
        pieces of one width, as those between whole numbers, are looked up, in a third.
        """
        if column[0].even:
            return self._lookups(source, column)
        if all(map(_bent, column)):
            return self._bends(source, column)
        most = max(len(step.constant(1)) for step in column)
        knots, widths, slopes = (
            np.stack([_padded(step.constant(part), most, fill) for step in column])
            for part, fill in ((1, 0), (2, 1), (3, 0))
        )
        zero, one = (self._constant(np.array(end, widths.dtype)) for end in (0, 1))
        middle = self._constant(np.array([1], np.int64))
        way = self._node("Unsqueeze", [source, middle])
        way = self._node("Sub", [way, self._constant(knots[:, :, None])])
        way = self._node("Mul", [way, self._constant(1 / widths[:, :, None])])
        way = self._node("Clip", [way, zero, one])
        rise = self._constant((widths * slopes)[:, None, :])
        return self._node("Squeeze", [self._node("MatMul", [rise, way]), middle])

    def _lookups(self, source: str, column: Sequence[Step]) -> str:
        """Write broken lines of even pieces as what is reached before a piece, and the way into it.

        An index is held within the table, whatever becomes of NaN.
        """
        lows, ends = [step.constant(1)[0] for step in column], [_end(step) for step in column]
        widths = np.array([[step.constant(2)[0]] for step in column])
        most = max(len(step.constant(2)) for step in column)
        rises = np.stack(
            [_padded(step.constant(2) * step.constant(3), most + 1, 0.0) for step in column]
        )
        reached = np.cumsum(np.pad(rises[:, :-1], ((0, 0), (1, 0))), axis=1)
        low, end = (self._constant(np.array(one)[:, None]) for one in (lows, ends))
        way = self._node("Max", [self._node("Min", [source, end]), low])
        way = self._node("Sub", [way, low])
        if (widths != 1).any():
            way = self._node("Mul", [way, self._constant(1 / widths)])
        whole = self._node("Floor", [way])
        least, largest = (self._constant(np.array(one, np.int64)) for one in (0, most))
        index = self._node("Clip", [self._node("Cast", [whole], to=INT64), least, largest])
        before, slope = (
            self._node("GatherElements", [self._constant(table), index], axis=1)
            for table in (reached, rises)
        )
        into = self._node("Mul", [self._node("Sub", [way, whole]), slope])
        return self._node("Add", [before, into])

    def _bends(self, source: str, column: Sequence[Step]) -> str:
        """Write broken lines as what each bend adds to the slope of all that lies beyond it."""
        knots = [step.constant(1) for step in column]
        bends = [np.diff(step.constant(3), prepend=0.0) for step in column]
        most = max(map(len, knots))
        first = [-(bend @ knot) for bend, knot in zip(bends, knots, strict=True)]
        ends = self._constant(np.array([[_end(step)] for step in column]))
        middle = self._constant(np.array([1], np.int64))
        way = self._node("Unsqueeze", [self._node("Min", [source, ends]), middle])
        knot = np.stack([_padded(one, most, 0.0) for one in knots])
        way = self._node("Max", [way, self._constant(knot[:, :, None])])
        bend = np.stack([_padded(one, most, 0.0) for one in bends])
        rise = self._node("MatMul", [self._constant(bend[:, None, :]), way])
        rise = self._node("Squeeze", [rise, middle])
        return self._node("Add", [rise, self._constant(np.array(first)[:, None])])

    def concats(self, reader: Reader, concats: Mapping[str, list[str]]) -> None:
        """Let Concats read matrices in place of columns, and put their columns in order."""
        order: dict[tuple[str, ...], int] = {}
        gone = []
        first, self._nodes = self._nodes, []
        for index, node in enumerate(self._graph.node):
            parts = concats.get(node.output[0], []) if joins(node) else []
            if not any(part in self._places for part in parts):
                order[tuple(node.output)] = len(order)
                continue
            gone.append(index)
            start = len(self._nodes)
            self._concat(reader, node.output[0], parts)
            for made in self._nodes[start:]:
                order[tuple(made.output)] = len(order)
        order |= {tuple(node.output): place - len(first) for place, node in enumerate(first)}
        delete(self._graph.node, gone)
        self._graph.node.extend([*first, *self._nodes])
        # Nodes change places where they are: a copy of one of many trees takes ten times its bytes.
        self._graph.node.sort(key=lambda node: order[tuple(node.output)])

    def _concat(self, reader: Reader, result: str, parts: Sequence[str]) -> None:
        found = [(*self._places.get(part, (part, 0)), part in self._places) for part in parts]
        tensors = list(dict.fromkeys(tensor for tensor, _, _ in found))
        if self._lying:
            tensors.sort(key=lambda tensor: tensor not in self._widths)
        widths = [self._widths.get(name, reader.width(name) or 0) for name in tensors]
        starts = dict(zip(tensors, accumulate([0, *widths]), strict=False))
        places: list[int] = []
        for tensor, at, single in found:
            start = starts[tensor] + at
            places.extend(range(start, start + (1 if single else reader.width(tensor) or 0)))
        order = self._constant(np.array(places, np.int64))
        if self._lying:
            whole = self._node("Gather", [self._laid(tensors), order], axis=0)
            self._nodes.append(make_node("Transpose", [whole], [result], perm=[1, 0]))
        elif places == list(range(sum(widths))):
            self._nodes.append(make_node("Concat", tensors, [result], axis=1))
        else:
            made = tensors[0] if len(tensors) == 1 else self._node("Concat", tensors, axis=1)
            self._nodes.append(make_node("Gather", [made, order], [result], axis=1))

    def _laid(self, tensors: Sequence[str]) -> str:
        """Return one matrix of those that lie, which come first, and of those that do not."""
        lying = [name for name in tensors if name in self._widths]
        others = tensors[len(lying) :]
        if others:
            made = others[0] if len(others) == 1 else self._node("Concat", others, axis=1)
            lying.append(self._node("Transpose", [made], perm=[1, 0]))
        return lying[0] if len(lying) == 1 else self._node("Concat", lying, axis=0)

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        self._nodes.append(make_node(operator, inputs, [self._fresh()], **attributes))
        return str(self._nodes[-1].output[0])

    def _constant(self, values: Array) -> str:
        from onnx import numpy_helper

        name = self._fresh()
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _fresh(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"


def sweep(graph: Any) -> None:
    """Take out nodes and constants that lead to no output."""
    needed = {value.name for value in graph.output}
    gone = []
    for index in range(len(graph.node) - 1, -1, -1):
        node = graph.node[index]
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            gone.append(index)
    delete(graph.node, gone)
    held = enumerate(graph.initializer)
    delete(graph.initializer, [index for index, one in held if one.name not in needed])


def delete(field: Any, places: Sequence[int]) -> None:
    """Take members out of a repeated field; the others are not copied."""
    for place in sorted(places, reverse=True):
        del field[place]


def _bent(step: Step) -> bool:
    """Return whether a broken line may be told by its bends: its pieces lie end to end, in float64.

    What is lost by sums of large numbers that leave small ones is `EXACT` of the line's rise, and
    those sums do not overflow.
    """
    knots, widths, slopes = (step.constant(place) for place in (1, 2, 3))
    if knots.dtype != np.float64:
        return False
    with np.errstate(over="ignore"):
        size = max(abs(knots[0]), abs(_end(step)))
        lost = float(np.finfo(np.float64).eps) * size
        together = (np.abs(knots[:-1] + widths[:-1] - knots[1:]) <= 2 * lost).all()
        bends, rise = np.abs(np.diff(slopes, prepend=0.0)).sum(), (widths * np.abs(slopes)).sum()
        bends *= len(knots)
        return bool(together and bends * lost <= EXACT * rise < np.inf and bends * size < np.inf)


def _end(step: Step) -> float:
    """Return where the last piece of a broken line ends."""
    return float(step.constant(1)[-1] + step.constant(2)[-1])


def _padded(values: Array, count: int, fill: float) -> Array:
    return np.concatenate([values, np.full(count - len(values), fill, values.dtype)])
