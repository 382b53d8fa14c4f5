"""What the columns of a graph of trees are made of, for `raymm.bundle.compiled_graph`.

Columns are numbers that are given, looked up by words, or made of one or two of these; and sets of
categories (`raymm.models.sets`), which tell by a table whether a number is among those of the set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.compiled_tail import Unknown

Floats = npt.NDArray[np.float32]
_FLOAT, _INT64 = 1, 7
_MOST_CATEGORIES = 1 << 24
"""Whole numbers that float32 tells apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A column as it is given, or looked up by its words; see `raymm.bundle.compiled.Column`."""

    column: str
    places: Mapping[str, int] | None
    table: Floats


@dataclass(frozen=True, slots=True)
class Feature:
    """What one or two sources make; see `raymm.bundle.kernels.rank`."""

    sources: tuple[Source, ...]
    operation: int = 0
    mends: bool = False
    low: float = -np.inf
    high: float = np.inf

    @property
    def plain(self) -> bool:
        """Whether it is a source as it is."""
        return self == Feature(self.sources[:1])


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The sets of a feature's categories.

    Attributes
    ----------
    feature : Feature
        Its whole part is a row's category, where that is one; the last row stands for all others.
    held : uint8, shape (categories + 1, bytes)
        Bits that say in which sets each is.
    """

    feature: Feature
    held: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Member:
    """A column that holds ``mask``, one bit, where a row's byte of a table has it, else 0."""

    table: Table
    byte: int
    mask: int


@dataclass(frozen=True, slots=True)
class Features:
    """A tensor of the graph, column by column."""

    held: tuple[Feature | Member, ...]

    @property
    def one(self) -> Feature:
        """The only column, which must be no set."""
        if len(self.held) != 1 or not isinstance(self.held[0], Feature):
            raise Unknown
        return self.held[0]

    @property
    def numbers(self) -> tuple[Feature, ...]:
        """The columns, of which none may be a set."""
        found = tuple(one for one in self.held if isinstance(one, Feature))
        if len(found) < len(self.held):
            raise Unknown
        return found


# What the tensors between a feature and its sets are known as.


@dataclass(frozen=True, slots=True)
class _Above:
    feature: Feature


@dataclass(frozen=True, slots=True)
class _Below:
    feature: Feature
    rest: int


@dataclass(frozen=True, slots=True)
class _Known:
    feature: Feature
    rest: int


@dataclass(frozen=True, slots=True)
class _Category:
    feature: Feature
    rest: int
    whole: bool = False
    flat: bool = False


@dataclass(frozen=True, slots=True)
class _Rows:
    table: Table


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes:
    table: Table
    places: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Bits:
    table: Table
    places: npt.NDArray[np.int64]
    mask: npt.NDArray[np.uint8]

    @property
    def members(self) -> Features:
        pairs = zip(self.places.tolist(), self.mask.tolist(), strict=True)
        return Features(tuple(Member(self.table, byte, bits) for byte, bits in pairs))


def of_sets(operator: str, given: Sequence[Any], held: Mapping[str, Any]) -> Any:
    """Return what an operator makes on the way from a feature to its sets; None for other ones.

    The way is that of `raymm.models.sets.Sets.to_onnx`.
    """
    first, second = given[0], given[1] if len(given) > 1 else ()
    if operator == "Greater" and isinstance(first, Features):
        return _Above(first.one) if single(second) == -1 else None
    if operator == "Less" and isinstance(first, Features):
        return _Below(first.one, _whole(second))
    if operator == "And" and isinstance(first, _Above) and isinstance(second, _Below):
        return _Known(first.feature, second.rest) if first.feature == second.feature else None
    if operator == "Where" and isinstance(first, _Known) and isinstance(second, Features):
        same = second.one == first.feature and _whole(given[2]) == first.rest
        return _Category(first.feature, first.rest) if same else None
    if operator == "Cast" and isinstance(first, _Category) and held.get("to") == _INT64:
        return replace(first, whole=True)
    if operator == "Reshape" and isinstance(first, _Category) and np.array_equal(second, [-1]):
        return replace(first, flat=True)
    if operator == "Gather" and isinstance(second, _Category) and held.get("axis", 0) == 0:
        return _rows(first, second)
    if operator == "Gather" and isinstance(first, _Rows) and held.get("axis", 0) == 1:
        return _bytes(first.table, second)
    if operator == "BitwiseAnd" and isinstance(first, _Bytes):
        return _bits(first, second)
    if operator == "Cast" and isinstance(first, _Bits) and held.get("to") == _FLOAT:
        return first.members
    return None


def single(given: Any) -> Any:
    """Return the only number of a constant of float32; `Unknown` for anything else."""
    if not isinstance(given, np.ndarray) or given.size != 1 or given.dtype != np.float32:
        raise Unknown
    if given.ndim > 2:  # which makes others have as many sides
        raise Unknown
    return given.ravel()[0]


def _whole(given: Any) -> int:
    value = float(single(given))
    if not (0 <= value < _MOST_CATEGORIES and value == int(value)):
        raise Unknown
    return int(value)


def _rows(held: Any, category: _Category) -> _Rows:
    fine = isinstance(held, np.ndarray) and held.dtype == np.uint8 and held.ndim == 2
    fine = fine and category.whole and category.flat
    if not fine or len(held) != category.rest + 1:
        raise Unknown
    return _Rows(Table(category.feature, held))


def _bytes(table: Table, places: Any) -> _Bytes:
    if not isinstance(places, np.ndarray) or places.ndim != 1 or places.dtype != np.int64:
        raise Unknown
    if not ((places >= 0) & (places < table.held.shape[1])).all():
        raise Unknown
    return _Bytes(table, places)


def _bits(given: _Bytes, mask: Any) -> _Bits:
    fine = isinstance(mask, np.ndarray) and mask.dtype == np.uint8
    if not fine or mask.shape != (1, len(given.places)) or (mask & (mask - 1)).any():
        raise Unknown
    return _Bits(given.table, given.places, mask[0])
