"""Counters of bounded size that can be added up: cells of values, and a latency histogram."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, ColumnStatistics, ManyValues
from raymm.artifacts.many_values import CELLS, Filter, cell_of, digest

Counts = npt.NDArray[np.int64]
_FALSE_WORDS = {"0", "0.0", "false", "f", "no", "n", "off", "-1"}


class Cells(Protocol):
    """Counts of a column's values, in cells laid down by the reference statistics.

    Attributes
    ----------
    reference, counts : int64, shape (cells,)
        Rows a cell in the reference and seen. The last cell holds missing values, the one
        before it values that none of the others holds (0 for bins, which hold all numbers).
    """

    reference: Counts
    counts: Counts

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, shape (n,), as `raymm.artifacts.Tensors` says."""
        ...

    def whole(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return reference and counts that add up to all rows, the missing ones last."""
        ...

    def unlisted(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return reference and counts whose last cell but one tells values of no other cell."""
        ...

    def unseen(self, told: float) -> tuple[float, float] | None:
        """Return how many rows have a value that training had not: here, and of training's own.

        ``told`` are those in the last cell but one. Of training's rows those count whose value no
        other row has, as far as that is known. None where the reference does not tell.
        """
        ...


def cells_of(column: ColumnStatistics, many: Sequence[ManyValues] = ()) -> Cells:
    """Return an empty counter for a column, whose reference is that column's statistics.

    ``many`` is as in `raymm.artifacts.Statistics`.
    """
    if column.kind in ("number", "datetime"):
        return BinCounts(column)
    if column.kind == "boolean":
        return FlagCounts(column)
    if column.kind == "text" and not column.values:
        return LengthCounts(column)
    for one in many:
        if one.name == column.name:
            return HashedCounts(column, one)
    return ValueCounts(column)


class _Counted:
    """Cells of which each row is in one."""

    reference: Counts
    counts: Counts

    def whole(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return the reference and the counts."""
        return self.reference, counts

    def unlisted(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return the reference and the counts."""
        return self.reference, counts

    def unseen(self, told: float) -> tuple[float, float] | None:
        """Return the rows of the last cell but one."""
        return told, float(self.reference[-2])


class BinCounts(_Counted):
    """Numbers and dates by the reference's bins.

    Numbers come as float32 while the edges were found in float64. Rounding keeps the order, so
    both are compared in float32: a value that was at or under an edge stays so. Bins that
    rounding makes one are added up.
    """

    def __init__(self, column: ColumnStatistics) -> None:
        edges = np.asarray(column.edges, dtype=np.float64)
        kept = np.asarray(column.counts if column.counts else [0] * (len(edges) + 1), np.int64)
        self._single = column.kind == "number"
        if self._single:
            edges = edges.astype(np.float32).astype(np.float64)
        self._edges, place = np.unique(edges, return_inverse=True)
        bins = np.zeros(len(self._edges) + 1, np.int64)
        np.add.at(bins, np.append(place, len(self._edges)), kept)
        self.reference: Counts = np.append(bins, [0, column.missing]).astype(np.int64)
        self.counts: Counts = np.zeros_like(self.reference)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, shape (n,): floats (missing NaN) or int64 seconds (missing NO_TIME)."""
        if values.dtype.kind == "f":
            missing = np.isnan(values)
            if self._single:
                values = values.astype(np.float32)
        else:
            missing = values == NO_TIME
        there = values[~missing].astype(np.float64)
        cells = np.searchsorted(self._edges, there, side="left")
        self.counts += np.bincount(cells, minlength=len(self.counts))
        self.counts[-1] += int(missing.sum())


class LengthCounts(BinCounts):
    """Texts by their length in characters, in the reference's bins."""

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count texts, shape (n,), of str; the empty string is missing."""
        lengths = np.array([len(value) if value else np.nan for value in values], np.float64)
        super().add(lengths)


class ValueCounts(_Counted):
    """Categories and text by the reference's most frequent values."""

    def __init__(self, column: ColumnStatistics) -> None:
        self._all = column.distinct <= len(column.values)
        self._place = {value: place for place, value in enumerate(column.values)}
        self.reference: Counts = np.array([*column.counts, column.other, column.missing], np.int64)
        self.counts: Counts = np.zeros_like(self.reference)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, shape (n,), of str; the empty string is missing."""
        other = len(self._place)
        for value, count in Counter(values.tolist()).items():
            known = self._place.get(value)
            place = known if known is not None else other + (value in ("", None))
            self.counts[place] += count

    def unseen(self, told: float) -> tuple[float, float] | None:
        """Return the rows of values that are not listed; None where there were more in training."""
        return super().unseen(told) if self._all else None


class HashedCounts:
    """Categories of more values than are listed, by a hash of the value.

    The last cell but one holds values that training had not, which are in their hash's cell too.
    In the reference it holds the values of one row alone: to the others, such a row is what one
    with a new value is to the training rows (Good 1953, The population frequencies of species and
    the estimation of population parameters, Biometrika 40).
    """

    def __init__(self, column: ColumnStatistics, many: ManyValues) -> None:
        self._known = Filter(many.members, many.distinct)
        self._once, self._twice = many.once, many.twice
        self._rows = sum(many.cells)
        self._digests = {value: digest(value) for value in column.values}
        told = round(many.once * (1 - self._known.error))
        self.reference: Counts = np.array([*many.cells, told, column.missing], np.int64)
        self.counts: Counts = np.zeros_like(self.reference)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, shape (n,), of str; the empty string is missing."""
        for value, count in Counter(values.tolist()).items():
            if value in ("", None):
                self.counts[-1] += count
                continue
            listed = self._digests.get(value)
            hashed = digest(value) if listed is None else listed
            self.counts[cell_of(hashed)] += count
            if listed is None and hashed not in self._known:
                self.counts[CELLS] += count

    def whole(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return the cells of hashes, and the missing values."""
        kept = np.arange(len(counts)) != CELLS
        return self.reference[kept], counts[kept]

    def unlisted(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return known, unseen and missing rows, the reference's as those of fewer rows.

        What once was seen once varies more than rows drawn one by one do: by once + 2·twice
        instead of by once, which is what that many fewer rows would vary by.
        """
        fewer = (self._once + 1) / (self._once + 1 + 2 * self._twice)
        *_, once, missing = np.rint(self.reference * fewer).astype(np.int64).tolist()
        rows = round(self._rows * fewer)
        unseen, gone = counts[-2:].tolist()
        known = int(counts[:CELLS].sum()) - unseen
        return (
            np.array([max(rows - once, 0), once, missing], np.int64),
            np.array([known, unseen, gone], np.int64),
        )

    def unseen(self, told: float) -> tuple[float, float] | None:
        """Return the rows of values that training had not, those that the filter missed too."""
        error = self._known.error
        return (told / (1 - error), float(self._once)) if error < 1 else None


class FlagCounts(_Counted):
    """Booleans, which come as 0, 1 and NaN, while the reference counts words.

    The word for false is one of the usual ones, or else the first in the alphabet.
    """

    def __init__(self, column: ColumnStatistics) -> None:
        words = sorted(column.values)
        false = [word for word in words if word.strip().lower() in _FALSE_WORDS]
        first = false[0] if false else (words[0] if len(words) > 1 else None)
        flags = [0, 0]
        for word, count in zip(column.values, column.counts, strict=True):
            flags[word != first] += count
        self.reference: Counts = np.array([*flags, column.other, column.missing], np.int64)
        self.counts: Counts = np.zeros_like(self.reference)

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values, shape (n,): 0, 1 or NaN."""
        missing = np.isnan(values)
        cells = np.where(values == 0, 0, np.where(values == 1, 1, 2))
        self.counts += np.bincount(np.where(missing, 3, cells).astype(np.int64), minlength=4)


class Latencies:
    """Durations in buckets whose bounds grow by a constant factor.

    A quantile is off by at most `ERROR` of its true value, for durations of 1 µs to 10⁵ s;
    shorter and longer ones count as these. There are at most 1,267 buckets.

    Source: Masson, Rim & Lee 2019, DDSketch, VLDB 12(12), section 2.1.
    """

    ERROR = 0.01
    _GAMMA = (1 + ERROR) / (1 - ERROR)
    _WIDTH = math.log(_GAMMA)
    _SHORTEST, _LONGEST = 1e-6, 1e5

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many durations were added."""
        return sum(self.buckets.values())

    def add(self, *seconds: float) -> None:
        """Count durations in seconds; those that are not finite are passed over."""
        told = np.array(seconds, np.float64)
        told = told[np.isfinite(told)]
        self.sum += float(np.maximum(told, 0.0).sum())
        logs = np.log(np.clip(told, self._SHORTEST, self._LONGEST))
        places = np.ceil(logs / self._WIDTH).astype(np.int64)
        for bucket, count in Counter(places.tolist()).items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def quantile(self, share: float) -> float | None:
        """Return the duration that ``share`` (0 to 1) of them do not exceed, or None if empty.

        It is the one at rank floor(share · (count - 1)) from 0, as in the source.
        """
        rank = math.floor(share * (self.count - 1))
        passed = 0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed > rank:
                return self._middle(bucket)
        return None

    def each(self) -> Iterator[tuple[float, int]]:
        """Yield each bucket's duration in seconds, off by `ERROR` at most, and its count."""
        for bucket, count in sorted(self.buckets.items()):
            yield self._middle(bucket), count

    def _middle(self, bucket: int) -> float:
        return float(2 * self._GAMMA**bucket / (self._GAMMA + 1))

    def state(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {"buckets": {str(b): c for b, c in sorted(self.buckets.items())}, "sum": self.sum}

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another histogram's state."""
        for bucket, count in state["buckets"].items():
            self.buckets[int(bucket)] = self.buckets.get(int(bucket), 0) + int(count)
        self.sum += state["sum"]
        return self
