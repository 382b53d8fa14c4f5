"""Whether served rows still look like the training rows, feature by feature.

Windows of a fixed number of rows follow each other. In each, a feature's counts are compared with
the reference's by the population stability index (PSI), and its missing and its unlisted values
by an exact test.

**Threshold.** With n rows in the window, m in the reference and B cells, and no drift,
PSI / (1/n + 1/m) follows the χ² distribution of B − 1 degrees of freedom, so the threshold at a
false-alarm probability α is (1/n + 1/m)·χ²_{B−1}(1 − α). This fails where cells are nearly
empty, so cells are pooled until each has at least 10 rows expected in the smaller sample, and one
row is added to each cell. Measured over 400,000 draws for B of 2 to 20, 10 to 100 rows expected
and m/n of 1 and 10, the false alarms were then 0.15 to 1.1 times α at α of 10⁻² to 10⁻⁴; with
half a row added they were up to 2.9 times α.

**Missing and unlisted values.** Given that k of the n + m rows have one, the number in the window
is hypergeometric (Fisher's exact test, one-sided), so its tail holds at any count.

**False alarms a day.** What a person accepts is a budget that fills at that rate, and holds a
day's worth at most. Each window spends a tenth of what is there, whatever the traffic, in equal
parts on its F tests (half of a part on PSI, a quarter each on missing and unlisted values:
Bonferroni). All windows of T days therefore spend at most (T + 1) days' worth, and the expected
number of false alarms is at most what was spent. At a steady rate a window spends its fair share.

Sources: Yurdakul & Naranjo 2020, Statistical properties of the population stability index,
Journal of Risk Model Validation 14(4); Fisher 1935, The Design of Experiments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, ColumnStatistics, Statistics
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.sketches import Cells, Counts, cells_of
from raymm.plugins import monitor
from raymm.sections import MonitoringConfig

LEAST_EXPECTED = 10
SPENT_A_WINDOW = 0.1
PREDICTION = "(prediction)"
"""The column of the statistics that describes predictions, where there is one."""

_DAY = 86400.0


def pooled(reference: Counts, counts: Counts) -> tuple[Counts, Counts]:
    """Add neighbouring cells up until each has ten rows expected in the smaller sample.

    The decision rests on both samples' sum alone, which says nothing about their difference.

    Parameters
    ----------
    reference, counts : int64, shape (cells,)

    Returns
    -------
    Both, shape (fewer cells,); one cell where there is too little to compare.
    """
    n, m = counts.sum(), reference.sum()
    if not n or not m:
        return reference.sum(keepdims=True), counts.sum(keepdims=True)
    least = LEAST_EXPECTED * (n + m) / min(n, m)
    starts, gathered = [0], 0
    for place, rows in enumerate((reference + counts).tolist()):
        if gathered >= least:
            starts.append(place)
            gathered = 0
        gathered += rows
    if gathered < least and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(reference, starts), np.add.reduceat(counts, starts)


def stability_index(reference: Counts, counts: Counts) -> float:
    """Return Σ (p − q)·ln(p / q) over cells, one row added to each; at least 0, no unit."""
    p = (counts + 1) / (counts.sum() + len(counts))
    q = (reference + 1) / (reference.sum() + len(reference))
    return float(np.sum((p - q) * np.log(p / q)))


def threshold(n: int, m: int, cells: int, alpha: float) -> float:
    """Return the PSI that a window of n rows exceeds with probability ``alpha`` by chance.

    >>> round(threshold(1000, 10_000, 10, 0.01), 4)
    0.0238
    """
    from scipy.special import chdtri  # the inverse of the χ² survival function

    return float((1 / n + 1 / m) * chdtri(cells - 1, alpha))


def surplus(reference: Counts, counts: Counts, cell: int) -> float:
    """Return the probability that chance puts as many rows or more of a cell into the window."""
    from scipy.stats import hypergeom

    n, m, seen = int(counts.sum()), int(reference.sum()), int(counts[cell])
    # At most its share of the rows: nothing to test, and nearly always so.
    if seen * m <= int(reference[cell]) * n:
        return 1.0
    return float(hypergeom.sf(seen - 1, n + m, seen + int(reference[cell]), n))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A feature's last complete window against the reference.

    Attributes
    ----------
    statistic, threshold : float or None
        PSI and what it may reach; None where there is too little to compare.
    reasons : tuple of str
        What went over its bound: "distribution", "missing", "unlisted".
    """

    statistic: float | None
    threshold: float | None
    reasons: tuple[str, ...]


def judge(cells: Cells, alpha: float) -> Verdict:
    """Compare a window's counts with its reference at the false-alarm probability ``alpha``."""
    reasons = []
    reference, counts = pooled(cells.reference, cells.counts)
    statistic = bound = None
    if len(counts) > 1:
        statistic = stability_index(reference, counts)
        bound = threshold(int(counts.sum()), int(reference.sum()), len(counts), alpha / 2)
        if statistic > bound:
            reasons.append("distribution")
    if cells.reference.sum() and cells.counts.sum():
        if surplus(cells.reference, cells.counts, -1) < alpha / 4:
            reasons.append("missing")
        if surplus(cells.reference, cells.counts, -2) < alpha / 4:
            reasons.append("unlisted")
    return Verdict(statistic=statistic, threshold=bound, reasons=tuple(reasons))


def predicted(predictions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return one number a row, shape (n,).

    Values of a regression as they are, of two classes the probability of the last, of more
    classes the code of the most probable one.
    """
    values = np.asarray(predictions, dtype=np.float64)
    if values.ndim == 1:
        return values
    if values.shape[1] <= 2:
        return np.asarray(values[:, -1])
    return np.asarray(np.argmax(values, axis=1), dtype=np.float64)


def bins_of(values: npt.NDArray[np.float64]) -> ColumnStatistics:
    """Return statistics with bins of about a tenth of the values each, or one a distinct value."""
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    edges = distinct[:-1]
    if len(distinct) > 20:
        edges = np.unique(np.quantile(known, np.arange(1, 10) / 10, method="inverted_cdf"))
        edges = edges[edges < distinct[-1]]
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return ColumnStatistics(
        name=PREDICTION,
        kind="number",
        rows=len(values),
        missing=len(values) - len(known),
        distinct=len(distinct),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


@monitor("drift")
class Drift(Monitor):
    """Compares windows of served rows, and of predictions, with the training data.

    Where the statistics do not describe predictions (a column named "(prediction)"), the first
    window's are the reference of those after it.
    """

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(statistics, config=config, clock=clock)
        self._columns = {column.name: column for column in statistics.columns}
        self._cells: dict[str, Cells] = {}
        self._rows = 0
        self._first: list[float] = []
        self._verdicts: dict[str, dict[str, Any]] = {}
        self._windows = 0
        self._windows_drifted = 0
        self._closed_at: float | None = None
        self._budget = config.false_alarms_per_day
        self._filled_at = clock()

    def update(self, batch: Batch) -> None:
        """Count the rows of one batch, window by window; failed requests are passed over."""
        if batch.error or not (batch.tensors or len(batch.predictions)):
            return
        start = 0
        while start < batch.rows:
            stop = min(batch.rows, start + self.config.window - self._rows)
            for name, values in batch.tensors.items():
                self._count(name, np.asarray(values)[start:stop])
            if len(batch.predictions):
                self._count_predictions(predicted(batch.predictions[start:stop]))
            self._rows += stop - start
            start = stop
            self._close_if_full()

    def _count(self, name: str, values: npt.NDArray[Any]) -> None:
        if name not in self._cells:
            if name not in self._columns:
                return
            self._cells[name] = cells_of(self._columns[name])
        self._cells[name].add(values)

    def _count_predictions(self, values: npt.NDArray[np.float64]) -> None:
        if PREDICTION in self._columns:
            self._count(PREDICTION, values)
        else:
            self._first += values.tolist()

    def _close_if_full(self) -> None:
        if self._rows < self.config.window:
            return
        active = [name for name, cells in self._cells.items() if cells.counts.sum()]
        alpha = self._spend() / max(len(active), 1)
        for name in active:
            cells = self._cells[name]
            verdict = judge(cells, alpha)
            before = self._verdicts.get(name, {}).get("streak", 0)
            self._verdicts[name] = {
                "statistic": verdict.statistic,
                "threshold": verdict.threshold,
                "drifted": bool(verdict.reasons),
                "reasons": list(verdict.reasons),
                "streak": before + 1 if verdict.reasons else 0,
                "counts": cells.counts.tolist(),
            }
            cells.counts[:] = 0
        self._windows += 1
        self._windows_drifted += any(self._verdicts[name]["drifted"] for name in active)
        self._closed_at = self.clock()
        self._rows = 0
        if self._first:
            self._columns[PREDICTION] = bins_of(np.array(self._first))
            self._first = []

    def _spend(self) -> float:
        """Return the false-alarm probability of this window, taken out of the budget."""
        daily, now = self.config.false_alarms_per_day, self.clock()
        fresh = daily * max(now - self._filled_at, 0.0) / _DAY
        self._budget, self._filled_at = min(self._budget + fresh, daily), now
        spent = self._budget * SPENT_A_WINDOW
        self._budget -= spent
        return min(spent, 0.5)

    def report(self) -> Mapping[str, Any]:
        """Return the last complete window's verdicts and how full the current window is."""
        shown = ("statistic", "threshold", "drifted", "reasons", "streak")
        features = {
            name: {key: verdict[key] for key in shown}
            for name, verdict in self._verdicts.items()
            if name != PREDICTION
        }
        report: dict[str, Any] = {
            "window": {
                "rows": self.config.window,
                "filled": self._rows,
                "complete": self._windows,
                "drifted": self._windows_drifted,
                "closed_at": self._closed_at,
            },
            "features": features,
            "drifted": sorted(name for name in features if features[name]["drifted"]),
        }
        verdict = self._verdicts.get(PREDICTION)
        column = self._columns.get(PREDICTION)
        if column is not None:
            report["prediction"] = {
                "edges": list(column.edges),
                "reference": list(column.counts),
                "counts": verdict["counts"][: len(column.counts)] if verdict else [],
                **({key: verdict[key] for key in shown} if verdict else {"drifted": False}),
            }
        return report

    def state(self) -> Mapping[str, Any]:
        """Return the window's counts, the verdicts and the budget."""
        learned = self._columns.get(PREDICTION)
        own = learned is not None and learned not in self.statistics.columns
        return {
            "cells": {name: cells.counts.tolist() for name, cells in self._cells.items()},
            "rows": self._rows,
            "first": list(self._first),
            "prediction": (
                {"edges": list(learned.edges), "counts": list(learned.counts), "rows": learned.rows}
                if own and learned is not None
                else None
            ),
            "verdicts": {name: dict(verdict) for name, verdict in self._verdicts.items()},
            "windows": self._windows,
            "windows_drifted": self._windows_drifted,
            "closed_at": self._closed_at,
            "budget": self._budget,
            "filled_at": self._filled_at,
        }

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another's counts; verdicts of the later window and the smaller budget hold."""
        learned = state["prediction"]
        if learned is not None and PREDICTION not in self._columns:
            self._columns[PREDICTION] = _learned(learned)
            self._first = []
        for name, counts in state["cells"].items():
            if name not in self._columns:
                continue
            cells = self._cells.setdefault(name, cells_of(self._columns[name]))
            if len(counts) == len(cells.counts):
                cells.counts += np.asarray(counts, np.int64)
        if PREDICTION not in self._columns:
            self._first += state["first"]
        self._rows += state["rows"]
        self._windows += state["windows"]
        self._windows_drifted += state["windows_drifted"]
        theirs = state["closed_at"]
        if theirs is not None and (self._closed_at is None or theirs > self._closed_at):
            self._closed_at = theirs
            self._verdicts = {name: dict(v) for name, v in state["verdicts"].items()}
        fresh = self.config.false_alarms_per_day * max(self._filled_at - state["filled_at"], 0)
        self._budget = min(self._budget, state["budget"] + fresh / _DAY)
        self._close_if_full()
        return self


def _learned(state: Mapping[str, Any]) -> ColumnStatistics:
    return ColumnStatistics(
        name=PREDICTION,
        kind="number",
        rows=state["rows"],
        missing=0,
        distinct=0,
        edges=tuple(state["edges"]),
        counts=tuple(state["counts"]),
    )
