"""Bundles of trees without onnxruntime: their graphs as arrays that machine code runs over.

A graph from columns of numbers and words through trees to predictions is taken apart: what becomes
of each column, the trees, and the few steps behind them. A row of 500 trees then takes 13 µs where
onnxruntime takes 32, most of it for a call with a dozen inputs, and many rows take half of the
time. The answers differ by what the last bit of a sigmoid or softmax is worth.

It needs numba (the extra ``fast``). Graphs that hold anything else, such as texts, dates or
networks, or more than 32,767 columns and sets, are left to onnxruntime, and so is every proof that
a graph is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Schema, Tensors
from raymm.bundle.compiled_columns import Member, Table
from raymm.bundle.compiled_graph import Taken, taken_apart
from raymm.bundle.compiled_tail import Tail
from raymm.bundle.compiled_trees import Layout, laid_out
from raymm.bundle.graph import PREDICTION, PROBABILITIES, input_names
from raymm.bundle.machine_code import loaded

Floats = npt.NDArray[np.float32]
ROWS, CELLS = 16_384, 8_000_000
"""Rows whose features are made at once at most, and columns of all of these."""
APART = 2048
"""Rows from which on several threads share them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Where a column of raw numbers comes from.

    Attributes
    ----------
    name : str
        A column of the schema.
    places : mapping of str to int, optional
        Of words: the place of each in the table; others have the last. None for numbers.
    table : float32, shape (k + 1,)
    """

    name: str
    places: Mapping[str, int] | None
    table: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The sets of a feature's categories; fields not told of are those of `kernels.look_up`.

    Attributes
    ----------
    columns : slice
        Those of all features and sets that are theirs.
    """

    part: npt.NDArray[np.int32]
    limit: Floats
    held: npt.NDArray[np.uint8]
    byte: npt.NDArray[np.int32]
    mask: npt.NDArray[np.uint8]
    outside: npt.NDArray[np.uint32]
    inside: npt.NDArray[np.uint32]
    columns: slice

    @property
    def table(self) -> tuple[npt.NDArray[Any], ...]:
        """What is given to the kernel between the rows and the columns."""
        where = (self.part, self.limit, self.held, self.byte, self.mask)
        return (*where, self.outside, self.inside)


class Compiled:
    """A graph in machine code; safe to call from several threads at once.

    Parameters
    ----------
    given : sequence of str
        Every column that rows must have.
    columns : sequence of Column
        What the features are made of.
    features : sequence of array
        ``parts`` and ``limits`` of `raymm.bundle.kernels.rank`.
    sets : sequence of Looked
        Those that stand behind the features.
    trees : Layout
    tail : callable
        Makes predictions of what the trees sum up to.
    threads : int
    """

    def __init__(
        self,
        given: Sequence[str],
        columns: Sequence[Column],
        features: Sequence[npt.NDArray[Any]],
        sets: Sequence[Looked],
        trees: Layout,
        tail: Tail,
        threads: int,
    ) -> None:
        self._kernels = ready()
        self._read = [(one.name, one.places, one.table) for one in columns]
        read = {one.name for one in columns}
        self._unread = [name for name in given if name not in read]
        self._features = (*features, trees.thresholds, trees.starts)
        self._sets = [(one.table, one.columns) for one in sets]
        self._width = 2 * (len(trees.starts) - 1)
        self._trees = (trees.node, trees.roots, trees.first, trees.output, trees.value)
        self._row = (*self._features, *self._trees, trees.base)
        self._base, self._tail, self._threads = trees.base, tail, threads
        self._outputs = len(trees.base)

    def one(self, tensors: Tensors) -> Floats | None:
        """Predict a row, shape (1, k); None for anything but arrays of one value each."""
        try:
            for name in self._unread:
                if tensors[name].size != 1:
                    return None
            values = [
                tensors[name].item()
                if places is None
                else table[_place(places, tensors[name].item(), -1)]
                for name, places, table in self._read
            ]
            raw = np.array([values], np.float32)
        except (LookupError, TypeError, ValueError, AttributeError):
            return None
        if self._sets:
            return self._tail(self._added(raw, self._kernels.descend_row))
        total = np.empty((1, self._outputs), np.float32)
        self._kernels.predict_row(raw, *self._row, total)
        return self._tail(total)

    def many(self, tensors: Tensors, count: int) -> Floats:
        """Predict rows.

        Parameters
        ----------
        tensors : mapping of column name to array, shape (n,)
            float32 for numbers, object for words.
        count : int
            n, at least 1.

        Returns
        -------
        float32, shape (n, k)
        """
        sharing = self._threads if count >= APART else 1
        size = max(1, min(ROWS, CELLS // self._width, -(-count // sharing)))
        parts = [slice(start, start + size) for start in range(0, count, size)]

        def sums(part: slice) -> Floats:
            return self._sums({name: tensors[name][part] for name, _, _ in self._read})

        if sharing == 1:
            made = [sums(part) for part in parts]
        else:
            with ThreadPoolExecutor(sharing) as pool:
                made = list(pool.map(sums, parts))
        return self._tail(made[0] if len(made) == 1 else np.concatenate(made))

    def _sums(self, tensors: Tensors) -> Floats:
        """Return what the trees add up to, their base included; shape (n, outputs)."""
        return self._added(self._raw(tensors), self._kernels.descend_rows)

    def _added(self, raw: Floats, descend: Any) -> Floats:
        columns = np.empty((len(raw), self._width), np.uint32)
        self._kernels.rank(raw, *self._features, columns)
        for table, own in self._sets:
            self._kernels.look_up(raw, *table, columns[:, own])
        total = np.zeros((len(raw), self._outputs), np.float32)
        descend(columns, *self._trees, total)
        total += self._base
        return total

    def _raw(self, tensors: Tensors) -> Floats:
        count = len(next(iter(tensors.values())))
        raw = np.empty((count, len(self._read)), np.float32)
        found: dict[str, npt.NDArray[np.int64]] = {}
        for at, (name, places, table) in enumerate(self._read):
            if places is None:
                raw[:, at] = tensors[name]
                continue
            if name not in found:
                words = tensors[name].tolist()
                found[name] = np.array([_place(places, word, -1) for word in words], np.int64)
            raw[:, at] = table[found[name]]
        return raw


def _place(places: Mapping[str, int], word: Any, rest: int) -> int:
    """Return a word's place; what is no word, or none of UTF-8, is what onnxruntime is given."""
    if not isinstance(word, str):
        word = str(word)
    place = places.get(word)
    if place is None:
        place = rest
        if not word.isascii():
            place = places.get(word.encode("utf-8", "replace").decode("utf-8"), rest)
    return place


def ready() -> Any:
    """Return the kernels of `raymm.bundle.kernels`; None where they cannot be compiled."""
    return loaded("raymm.bundle.kernels")


def compiled(graph: bytes, schema: Schema, threads: int) -> Compiled | None:
    """Return a bundle's graph in machine code, or None where it cannot be.

    Parameters
    ----------
    graph : bytes
        A serialised ONNX ModelProto that `raymm.bundle.safety.require_safe` let through.
    schema : Schema
    threads : int
        How many a call of many rows may use.
    """
    if ready() is None:
        return None
    names = input_names(schema)
    output = PREDICTION if schema.task == "regression" else PROBABILITIES
    try:
        found = taken_apart(graph, {names[one.name]: one.name for one in schema.features}, output)
        if found is None or found.width != max(1, len(schema.classes)):
            return None
        width = len(found.features) + len(found.members)
        trees = laid_out(found.ensembles, found.columns, width)
    # A graph that was made to be read wrongly; onnxruntime says what is wrong with it, if anything.
    except (LookupError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        return None
    if trees is None:
        return None
    columns, features, sets = _arrays(found, trees)
    given = [one.name for one in schema.features]
    return Compiled(given, columns, features, sets, trees, found.tail, threads)


def _arrays(
    found: Taken, trees: Layout
) -> tuple[list[Column], list[npt.NDArray[Any]], list[Looked]]:
    """Return the raw columns that features are made of, the features as arrays, and the sets."""
    tables: dict[Table, list[Member]] = {}
    for member in found.members:
        tables.setdefault(member.table, []).append(member)
    made = [*found.features, *(table.feature for table in tables)]
    numbers: dict[Any, int] = {}
    for one in made:
        for source in one.sources:
            numbers.setdefault(source, len(numbers))
    columns = [Column(name=one.column, places=one.places, table=one.table) for one in numbers]
    parts = np.array(
        [
            (one.operation, numbers[one.sources[0]], numbers[one.sources[-1]], one.mends)
            for one in made
        ],
        np.int32,
    ).reshape(-1, 4)
    limits = np.array([(one.low, one.high) for one in made], np.float32).reshape(-1, 2)
    count, sets = len(found.features), []
    # One of each, of however many nodes: what a graph makes is in proportion to what it holds.
    copies = {id(table.held): np.array(table.held, order="C") for table in tables}
    start = count
    for place, (table, held) in enumerate(tables.items(), start=count):
        of = slice(start, start + len(held))
        copy = copies[id(table.held)]
        sets.append(_looked(copy, held, parts[place], limits[place], trees, of))
        start = of.stop
    return columns, [parts[:count], limits[:count]], sets


def _looked(
    table: npt.NDArray[np.uint8],
    members: Sequence[Member],
    part: npt.NDArray[np.int32],
    limit: Floats,
    trees: Layout,
    of: slice,
) -> Looked:
    """Return a table's sets, whose columns among features and sets are given, as arrays."""
    mask = np.array([one.mask for one in members], np.uint8)
    ranks = [
        [
            np.searchsorted(trees.thresholds[trees.starts[at] : trees.starts[at + 1]], value)
            for value in (np.float32(0), np.float32(bit))
        ]
        for at, bit in zip(range(of.start, of.stop), mask.tolist(), strict=True)
    ]
    held = np.array(ranks, np.uint32).reshape(-1, 2) << np.uint32(16) | np.uint32(0xFFFF)
    return Looked(
        part=part,
        limit=limit,
        held=table,
        byte=np.array([one.byte for one in members], np.int32),
        mask=mask,
        outside=np.ascontiguousarray(held[:, 0]),
        inside=np.ascontiguousarray(held[:, 1]),
        columns=slice(2 * of.start, 2 * of.stop),
    )
