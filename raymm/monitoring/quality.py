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
    """Share of missing and of unseen values since the version was first watched.

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

    def update(self, batch: Batch) -> None:
        """Count the values of one batch's features; failed requests are passed over."""
        if batch.error:
            return
        for name, values in batch.tensors.items():
            column = self._columns.get(name)
            if column is not None:
                told = self._missing_and_unseen(column, np.asarray(values))
                self._add(name, [len(values), *told])

    def _missing_and_unseen(self, column: ColumnStatistics, values: Any) -> tuple[int, int]:
        cells = self._cells.get(column.name)
        if cells is None:
            return _missing_and_outside(column, values)
        cells.counts[:] = 0
        cells.add(values)
        return int(cells.counts[-1]), int(cells.counts[-2])

    def _add(self, name: str, counts: list[int]) -> None:
        before = self._seen.get(name, [0, 0, 0])
        self._seen[name] = [a + b for a, b in zip(before, counts, strict=True)]

    def report(self) -> Mapping[str, Any]:
        """Return a feature's shares of missing (beside the reference's) and unseen values."""
        features = {}
        for name, (rows, missing, told) in self._seen.items():
            column = self._columns[name]
            features[name] = {
                "missing": missing / rows if rows else 0.0,
                "missing_reference": column.missing / column.rows if column.rows else 0.0,
            }
            cells = self._cells.get(name)
            unseen = (float(told), 0.0) if cells is None else cells.unseen(told)
            if unseen is not None:
                now, then = unseen
                features[name]["unseen"] = min(now / rows, 1.0) if rows else 0.0
                features[name]["unseen_reference"] = then / column.rows if column.rows else 0.0
        return {"features": features}

    def state(self) -> Mapping[str, Any]:
        """Return the counts."""
        return {"seen": {name: list(counts) for name, counts in self._seen.items()}}

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another's counts."""
        for name, counts in state["seen"].items():
            if name in self._columns:
                self._add(name, [int(count) for count in counts])
        return self


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
