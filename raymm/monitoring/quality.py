"""Missing values and values that training never saw, feature by feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Batch, ColumnStatistics, Statistics
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.sketches import cells_of
from raymm.plugins import monitor
from raymm.sections import MonitoringConfig


@monitor("quality")
class Quality(Monitor):
    """Share of missing and of unseen values in the last complete window, and since the start.

    Windows are those of `raymm.monitoring.drift`, so that the shares and PSI are of the same rows.

    A number or date is unseen when it lies outside the range of the training data, a category when
    training had it not. Of the reference, those rows count as unseen whose category no other row
    has. Where statistics list the most frequent categories and tell nothing of the others, unseen
    is not told.
    """

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(statistics, config=config, clock=clock)
        self._columns = {column.name: column for column in statistics.columns}
        self._cells = {
            column.name: cells_of(column, statistics.many)
            for column in statistics.columns
            if column.kind not in ("number", "datetime")
        }
        self._seen: dict[str, list[int]] = {}  # rows, missing, unseen
        self._open: dict[str, list[int]] = {}  # the same of the open window
        self._last: dict[str, list[int]] = {}  # and of the last complete one
        self._rows = 0

    def update(self, batch: Batch) -> None:
        """Count the values of one batch's features; failed requests are passed over.

        Thinned ones count since the start alone, as they do not in drift's windows.
        """
        if batch.error:
            return
        if batch.thinned or not (batch.tensors or len(batch.predictions)):
            self._count(batch, slice(None), [self._seen])
            return
        start = 0
        while start < batch.rows:
            stop = min(batch.rows, start + self.config.window - self._rows)
            self._count(batch, slice(start, stop), [self._seen, self._open])
            self._rows += stop - start
            start = stop
            self._close_if_full()

    def _count(self, batch: Batch, part: slice, seen: list[dict[str, list[int]]]) -> None:
        for name, values in batch.tensors.items():
            column = self._columns.get(name)
            if column is not None:
                some = np.asarray(values)[part]
                told = self._missing_and_unseen(column, some)
                for counts in seen:
                    _add(counts, name, [len(some), *told])

    def _close_if_full(self) -> None:
        if self._rows >= self.config.window:
            self._last, self._open, self._rows = self._open, {}, 0

    def _missing_and_unseen(self, column: ColumnStatistics, values: Any) -> tuple[int, int]:
        cells = self._cells.get(column.name)
        if cells is None:
            return _missing_and_outside(column, values)
        cells.counts[:] = 0
        cells.add(values)
        return int(cells.counts[-1]), int(cells.counts[-2])

    def report(self) -> Mapping[str, Any]:
        """Return a feature's shares of missing and unseen values, beside the reference's.

        "missing" and "unseen" are of the last complete window, before the first of what there is;
        "missing_since_start" and "unseen_since_start" of all.
        """
        features = {}
        for name, seen in self._seen.items():
            column = self._columns[name]
            missing, unseen = self._shares(name, self._last.get(name, seen))
            since, unseen_since = self._shares(name, seen)
            then = column.missing / column.rows if column.rows else 0.0
            one = {"missing": missing, "missing_since_start": since, "missing_reference": then}
            if unseen is not None and unseen_since is not None:
                one |= {"unseen": unseen, "unseen_since_start": unseen_since}
                one["unseen_reference"] = self._unseen_reference(name)
            features[name] = one
        return {"features": features}

    def _shares(self, name: str, counts: list[int]) -> tuple[float, float | None]:
        rows, missing, told = counts
        cells = self._cells.get(name)
        unseen = (float(told), 0.0) if cells is None else cells.unseen(told)
        if not rows:
            return 0.0, None if unseen is None else 0.0
        return missing / rows, None if unseen is None else min(unseen[0] / rows, 1.0)

    def _unseen_reference(self, name: str) -> float:
        cells, rows = self._cells.get(name), self._columns[name].rows
        unseen = None if cells is None else cells.unseen(0.0)
        return unseen[1] / rows if unseen is not None and rows else 0.0

    def state(self) -> Mapping[str, Any]:
        """Return the counts."""
        named = {"seen": self._seen, "open": self._open, "last": self._last}
        made = {
            key: {name: list(one) for name, one in counts.items()} for key, counts in named.items()
        }
        return {**made, "rows": self._rows}

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another's counts; its last window holds where it has one.

        A state of an earlier raymm holds no windows: they begin with it, unless it is told how
        many rows drift's open one has ("rows").
        """
        for key, own in (("seen", self._seen), ("open", self._open)):
            for name, counts in state.get(key, {}).items():
                if name in self._columns:
                    _add(own, name, [int(count) for count in counts])
        last = {name: one for name, one in state.get("last", {}).items() if name in self._columns}
        self._last = {
            name: [int(count) for count in one] for name, one in last.items()
        } or self._last
        self._rows += int(state.get("rows", 0))
        self._close_if_full()
        return self


def _add(seen: dict[str, list[int]], name: str, counts: list[int]) -> None:
    before = seen.get(name, [0, 0, 0])
    seen[name] = [a + b for a, b in zip(before, counts, strict=True)]


def _missing_and_outside(column: ColumnStatistics, values: Any) -> tuple[int, int]:
    missing: npt.NDArray[np.bool_]
    missing = np.isnan(values) if values.dtype.kind == "f" else values == NO_TIME
    if not column.quantiles:
        return int(missing.sum()), 0
    low, high = (np.asarray(q, np.float64) for q in (column.quantiles[0], column.quantiles[-1]))
    if values.dtype.kind == "f":
        # The range was found in float64; rounded alike, its ends count as seen.
        low, high = low.astype(values.dtype), high.astype(values.dtype)
    outside = ~missing & ((values < low) | (values > high))
    return int(missing.sum()), int(outside.sum())
