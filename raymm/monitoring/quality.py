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

    A number or date is unseen when it lies outside the range of the training data; another value
    when the reference statistics do not list it (which they do for the most frequent only).
    """

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(statistics, config=config, clock=clock)
        self._columns = {column.name: column for column in statistics.columns}
        self._seen: dict[str, list[int]] = {}  # rows, missing, unseen

    def update(self, batch: Batch) -> None:
        """Count the values of one batch's features; failed requests are passed over."""
        if batch.error:
            return
        for name, values in batch.tensors.items():
            column = self._columns.get(name)
            if column is not None:
                missing, unseen = _missing_and_unseen(column, np.asarray(values))
                self._add(name, [len(values), missing, unseen])

    def _add(self, name: str, counts: list[int]) -> None:
        before = self._seen.get(name, [0, 0, 0])
        self._seen[name] = [a + b for a, b in zip(before, counts, strict=True)]

    def report(self) -> Mapping[str, Any]:
        """Return a feature's shares of missing (beside the reference's) and unseen values."""
        features = {}
        for name, (rows, missing, unseen) in self._seen.items():
            column = self._columns[name]
            features[name] = {
                "missing": missing / rows if rows else 0.0,
                "missing_reference": column.missing / column.rows if column.rows else 0.0,
                "unseen": unseen / rows if rows else 0.0,
                "unseen_reference": column.other / column.rows if column.rows else 0.0,
            }
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


def _missing_and_unseen(column: ColumnStatistics, values: Any) -> tuple[int, int]:
    if column.kind not in ("number", "datetime"):
        cells = cells_of(column)
        cells.add(values)
        return int(cells.counts[-1]), int(cells.counts[-2])
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
