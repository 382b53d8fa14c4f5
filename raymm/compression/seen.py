"""What trees see of rows: numbers, and sets of categories as they are looked up.

The columns of `raymm.models.sets` are many: a mix of three boosters that tell 731 days from each
other had 37,951 of them. As numbers 11,122 rows would take 1.7 GB and a minute; as the category of
each row, and the categories of each set, they take 4 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.packed import Bundle
from raymm.compression.parsed import model_of
from raymm.compression.tap import tapped
from raymm.errors import BundleError
from raymm.models.sets import MARK

Floats32 = npt.NDArray[np.float32]
_MOST_CATEGORIES = 1 << 24
"""That float32 can number, as which they are read."""
_BYTES = 512
"""Of a table, whose bits are laid out at once."""
_CHAIN = ("Cast", "BitwiseAnd", "Gather", "Gather")
"""What makes a feature's sets, from the last on."""


@dataclass(frozen=True, slots=True)
class Part:
    """The sets of one feature in a graph.

    Attributes
    ----------
    masked, spread, rows : NodeProto
        What makes the columns, from the last on: the bit of each in its byte; its byte of those of
        the row's category; these.
    table : uint8, shape (categories, bytes)
    places : int64, shape (columns,)
        Where ``spread`` finds each column's byte.
    mask : uint8, shape (1, columns)
    """

    masked: Any
    spread: Any
    rows: Any
    table: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int64]
    mask: npt.NDArray[np.uint8]

    @property
    def count(self) -> int:
        """How many columns there are."""
        return len(self.places)


def part_of(part: str, makers: Mapping[str, Any], constants: Mapping[str, Any]) -> Part:
    """Find what makes one input of the node that `raymm.models.sets.MARK` tells of.

    Parameters
    ----------
    part : str
    makers : mapping of tensor to the node that makes it
    constants : mapping of tensor to initializer
    """
    from onnx import numpy_helper

    masked = makers[makers[part].input[0]]
    spread = makers[masked.input[0]]
    rows = makers[spread.input[0]]
    names = (rows.input[0], spread.input[1], masked.input[1])
    return Part(masked, spread, rows, *(numpy_helper.to_array(constants[one]) for one in names))


@dataclass(frozen=True, slots=True)
class Sets:
    """The sets of one feature's categories that trees ask for, of n rows.

    Attributes
    ----------
    category : int32, shape (n,)
        Below ``categories``.
    table : uint8, shape (categories, bytes)
        Bit b of byte k says whether a category is in set 8 k + b.
    count : int
        How many sets there are.
    """

    category: npt.NDArray[np.int32]
    table: npt.NDArray[np.uint8]
    count: int

    def sizes(self) -> npt.NDArray[np.int64]:
        """Return how many categories each set has, shape (count,)."""
        bits = [(self.table >> bit & 1).sum(axis=0, dtype=np.int64) for bit in range(8)]
        return np.stack(bits, axis=1).ravel()[: self.count]

    def strips(self) -> npt.NDArray[np.uint8]:
        """Return the categories of each set, eight to a byte; shape (count, bytes)."""
        made = []
        for start in range(0, self.table.shape[1], _BYTES):
            bits = np.unpackbits(self.table[:, start : start + _BYTES], axis=1, bitorder="little")
            made.append(np.packbits(bits.T, axis=1, bitorder="little"))
        return np.concatenate(made)[: self.count]

    def columns(self, rows: slice) -> Floats32:
        """Return the columns of some rows as the graph makes them: 0, or the bit's power of 2."""
        bits = np.unpackbits(self.table[self.category[rows]], axis=1, bitorder="little")
        power = (1 << np.arange(self.count) % 8).astype(np.float32)
        return bits[:, : self.count] * power

    def column(self, place: int) -> Floats32:
        """Return one of the columns, shape (n,)."""
        bit = np.uint8(1 << place % 8)
        return (self.table[:, place // 8] & bit).astype(np.float32)[self.category]


@dataclass(frozen=True, slots=True)
class Seen:
    """What trees read of n rows.

    Attributes
    ----------
    plain : float32, shape (n, d)
    sets : tuple of Sets
        Behind these, the columns of each.
    """

    plain: Floats32
    sets: tuple[Sets, ...] = ()

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def width(self) -> int:
        """How many columns there are."""
        return int(self.plain.shape[1]) + sum(one.count for one in self.sets)

    def columns(self, rows: slice) -> Floats32:
        """Return all columns of some rows, float32 of shape (rows, width)."""
        return np.concatenate([self.plain[rows], *(one.columns(rows) for one in self.sets)], axis=1)

    def members(self) -> tuple[npt.NDArray[Any], ...]:
        """Return ``category``, ``members``, ``first`` and ``of`` of `raymm.bundle.kernels.leaves`.

        A set's categories lie together, eight to a byte, since a tree asks for few of the sets.
        """
        strips, first, start = [np.zeros(0, np.uint8)], [np.zeros(0, np.int64)], 0
        for one in self.sets:
            strip = one.strips()
            first.append(start + np.arange(one.count) * strip.shape[1])
            strips.append(strip.ravel())
            start += strip.size
        category = np.empty((len(self), len(self.sets)), np.int32)
        for place, one in enumerate(self.sets):
            category[:, place] = one.category
        of = np.repeat(np.arange(len(self.sets), dtype=np.int32), [s.count for s in self.sets])
        return category, np.concatenate(strips), np.concatenate(first), of

    def column(self, place: int) -> Floats32:
        """Return one column, shape (n,)."""
        if place < self.plain.shape[1]:
            return self.plain[:, place]
        place -= self.plain.shape[1]
        for one in self.sets:
            if place < one.count:
                return one.column(place)
            place -= one.count
        raise IndexError(f"there are {self.width} columns")


def seen(bundle: Bundle, tensor: str, tensors: Tensors) -> Seen:
    """Read a float tensor of shape (n, d) that a graph makes on its way, its sets as they are.

    Parameters
    ----------
    tensor : str
        Its name in the graph.
    tensors : mapping of column name to array, shape (n,)
        The rows, at least one.

    Raises
    ------
    BundleError
        When a row has a category that its table has not.
    """
    joint, parts = _parts(bundle, tensor)
    if not parts:
        return Seen(tapped(bundle, tensor, tensors))
    sets = []
    for one in parts:
        category = tapped(bundle, one.rows.input[1], tensors)[:, 0].astype(np.int32)
        category = np.where(category < 0, category + len(one.table), category)  # as ONNX counts
        if not ((category >= 0) & (category < len(one.table))).all():
            raise BundleError("a row's category must be in the table of its sets, but is not.")
        sets.append(Sets(category, one.table, one.count))
    return Seen(tapped(bundle, joint.input[0], tensors), tuple(sets))


def plain_columns(bundle: Bundle, tensor: str) -> int | None:
    """Return how many columns of a tensor `seen` holds as numbers; None where it is all of them."""
    joint, parts = _parts(bundle, tensor)
    return int(joint.doc_string.removeprefix(MARK)) if parts else None


def _parts(bundle: Bundle, tensor: str) -> tuple[Any, list[Part]]:
    """Return the node that puts sets behind features, and the sets; none where they are others."""
    graph = model_of(bundle).graph
    makers = {name: one for one in graph.node for name in one.output}
    joint = makers.get(tensor)
    if joint is None or not joint.doc_string.startswith(MARK):
        return joint, []
    constants = {one.name: one for one in graph.initializer}
    try:
        parts = [part_of(name, makers, constants) for name in joint.input[1:]]
        kinds = [
            _kinds(name, one, makers) for name, one in zip(joint.input[1:], parts, strict=True)
        ]
        int(joint.doc_string.removeprefix(MARK))
    except (LookupError, ValueError):  # a graph of somebody else's
        return joint, []
    if any(kind != _CHAIN for kind in kinds):
        return joint, []
    for one in parts:
        places = np.arange(one.count)
        usual = np.array_equal(one.places, places // 8)
        usual = usual and np.array_equal(one.mask[0], 1 << places % 8)
        if not usual or len(one.table) > _MOST_CATEGORIES:
            return joint, []
    return joint, parts


def _kinds(name: str, part: Part, makers: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(one.op_type for one in (makers[name], part.masked, part.spread, part.rows))
