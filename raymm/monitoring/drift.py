"""Whether served rows still look like the training rows, feature by feature.

Windows of a fixed number of rows follow each other, and each is looked at four times. At every
look, a feature's missing and unlisted values since the look before are compared with the
reference's by an exact test, and where its values have an order, the ranks of the last two
windows' rows with the reference's; so a burst is seen within the quarter of a window, and a shift
wherever in a window it began. At a window's end its counts are compared as a whole, by the
population stability index (PSI). The tests are in `raymm.monitoring.comparison`.

**False alarms a day.** What a person accepts is a budget that fills at that rate, and holds a
day's worth at most. Each window spends about a tenth of what is there, whatever the traffic, a
quarter of that at each look, in equal parts on its F features and within a feature as `SHARES`
says (Bonferroni). All looks of T days therefore spend at most (T + 1) days' worth, and the
expected number of false alarms is at most what was spent. At a steady rate a window spends its
fair share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, Statistics
from raymm.monitoring.comparison import (
    displacement,
    excess,
    peak,
    pooled,
    stability_index,
    threshold,
)
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.predictions import PREDICTION, as_state, bins_of, from_state, predicted
from raymm.monitoring.sketches import BinCounts, Cells, Counts, HashedCounts, cells_of
from raymm.plugins import monitor
from raymm.sections import MonitoringConfig

LOOKS = 4
"""Looks a window."""
SPENT_A_LOOK = 0.1 / LOOKS
SHARES = {"location": 0.4, "burst": 0.1, "whole": 0.3, "share": 0.05}
"""Of a feature's false alarms at a look: on its ranks; on missing values, and as much on unlisted
ones, since the last look; what is saved for the window as a whole: its PSI, and its missing values,
and as much its unlisted ones."""
TEST_ROWS, FIRST_WINDOW = "test rows", "first window"
"""What predictions are compared with."""

_DAY = 86400.0


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


def judge(cells: Cells, counts: Counts, *, whole: float, share: float) -> Verdict:
    """Compare a window's counts, shape (cells,), with the reference's.

    ``whole`` is the false-alarm probability of the distribution, ``share`` that of missing and that
    of unlisted values.
    """
    reasons = []
    kept, window = pooled(*cells.whole(counts))
    statistic = bound = None
    chance = 1.0
    if isinstance(cells, HashedCounts):  # one value of many may change in one cell of many
        whole /= 2
        chance = peak(*cells.whole(counts))
    if len(window) > 1:
        statistic = stability_index(kept, window)
        bound = threshold(int(window.sum()), int(kept.sum()), len(window), whole)
        if statistic > bound or chance < whole:
            reasons.append("distribution")
    return Verdict(
        statistic=statistic,
        threshold=bound,
        reasons=(*reasons, *excess(cells, counts, share)),
    )


@monitor("drift")
class Drift(Monitor):
    """Compares served rows, and predictions, with the training data.

    Where the statistics do not describe predictions (a column named "(prediction)"), the first
    window's are the reference of those after it. Predictions share in the false alarms as a
    feature does, and both samples' sizes count: a reference of 200 rows takes larger shifts.
    """

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(statistics, config=config, clock=clock)
        self._columns = {column.name: column for column in statistics.columns}
        self._learns = PREDICTION not in self._columns
        self._cells: dict[str, Cells] = {}  # counts since the last look
        self._blocks: dict[str, list[Counts]] = {}  # counts between looks of the last two windows
        self._rows = 0
        self._looked = 0
        self._first: list[float] = []
        self._verdicts: dict[str, dict[str, Any]] = {}
        self._early: dict[str, list[str]] = {}  # reasons found within the open window
        self._bursts: dict[str, dict[str, Any]] = {}  # the shares that looks found in it
        self._windows = 0
        self._windows_drifted = 0
        self._opened_at: float | None = None  # when the open window's first row was told
        self._last: dict[str, Any] | None = None  # what the last complete one is of
        self._closed_at: float | None = None
        self._budget = config.false_alarms_per_day
        self._filled_at = clock()
        self._saved = 0.0

    def update(self, batch: Batch) -> None:
        """Count the rows of one batch, look by look; failed and thinned ones are passed over."""
        if batch.error or batch.thinned or not (batch.tensors or len(batch.predictions)):
            return
        start = 0
        while start < batch.rows:
            stop = max(start + 1, min(batch.rows, start + self._next_look() - self._rows))
            if not self._rows:
                self._opened_at = self.clock()
            for name, values in batch.tensors.items():
                self._count(name, np.asarray(values)[start:stop])
            if len(batch.predictions):
                self._count_predictions(predicted(batch.predictions[start:stop]))
            self._rows += stop - start
            start = stop
            self._look_if_due()

    def _next_look(self) -> int:
        """Return the rows of the window at which it is looked at next."""
        return -(-self.config.window * (self._looked + 1) // LOOKS)

    def _count(self, name: str, values: npt.NDArray[Any]) -> None:
        if name not in self._cells:
            if name not in self._columns:
                return
            self._cells[name] = self._empty(name)
        self._cells[name].add(values)

    def _empty(self, name: str) -> Cells:
        return cells_of(self._columns[name], self.statistics.many)

    def _count_predictions(self, values: npt.NDArray[np.float64]) -> None:
        if PREDICTION in self._columns:
            self._count(PREDICTION, values)
        else:
            self._first += values.tolist()

    def _look_if_due(self) -> None:
        while self._rows >= self._next_look():
            self._look()
            if self._looked == LOOKS:
                self._close()

    def _look(self) -> None:
        """Test what came since the last look, and the ranks of the last two windows."""
        self._looked += 1
        active = [name for name, cells in self._cells.items() if cells.counts.any()]
        alpha = self._spend() / max(len(active), 1)
        self._saved += alpha
        for name in active:
            cells = self._cells[name]
            found = excess(cells, cells.counts, alpha * SHARES["burst"])
            self._remark(name, found)
            if found:
                self._bursts.setdefault(name, {}).update(_shares(cells, found))
        for name, cells in self._cells.items():
            blocks = self._blocks.setdefault(name, [])
            blocks.append(cells.counts.copy())
            del blocks[: -2 * LOOKS]
            cells.counts[:] = 0
        ordered = [name for name in active if isinstance(self._cells[name], BinCounts)]
        chances = self._displacements(ordered)
        for name, chance in zip(ordered, chances, strict=True):
            self._remark(name, ("location",) if chance < alpha * SHARES["location"] else ())

    def _displacements(self, names: list[str]) -> list[float]:
        width = max((len(self._cells[name].reference) - 2 for name in names), default=0)
        reference = np.zeros((len(names), width), np.int64)
        counts = np.zeros_like(reference)
        for place, name in enumerate(names):
            known = self._cells[name].reference[:-2]
            reference[place, : len(known)] = known
            counts[place, : len(known)] = _total(self._blocks[name])[:-2]
        return displacement(reference, counts).tolist() if names else []

    def _remark(self, name: str, reasons: tuple[str, ...]) -> None:
        if reasons:
            known = self._early.setdefault(name, [])
            known += [reason for reason in reasons if reason not in known]

    def _close(self) -> None:
        """End the window: judge it as a whole."""
        window = {name: _total(blocks[-LOOKS:]) for name, blocks in self._blocks.items()}
        active = [name for name, counts in window.items() if counts.any()]
        for name in active:
            verdict = judge(
                self._cells[name],
                window[name],
                whole=self._saved * SHARES["whole"],
                share=self._saved * SHARES["share"],
            )
            self._remark(name, verdict.reasons)
            reasons = self._early.get(name, [])
            before = self._verdicts.get(name, {}).get("streak", 0)
            self._verdicts[name] = {
                "statistic": verdict.statistic,
                "threshold": verdict.threshold,
                "drifted": bool(reasons),
                "reasons": list(reasons),
                "bursts": self._bursts.get(name, {}),
                "streak": before + 1 if reasons else 0,
                "counts": window[name].tolist(),
            }
        self._windows += 1
        self._windows_drifted += any(self._verdicts[name]["drifted"] for name in active)
        self._closed_at = self.clock()
        self._last = {"rows": self._rows, "from": self._opened_at, "to": self._closed_at}
        self._opened_at = None
        self._rows, self._looked, self._saved, self._early, self._bursts = 0, 0, 0.0, {}, {}
        if self._first:
            self._columns[PREDICTION] = bins_of(np.array(self._first))
            self._first = []

    def _spend(self) -> float:
        """Return the false-alarm probability of this look, taken out of the budget."""
        daily, now = self.config.false_alarms_per_day, self.clock()
        fresh = daily * max(now - self._filled_at, 0.0) / _DAY
        self._budget, self._filled_at = min(self._budget + fresh, daily), now
        spent = self._budget * SPENT_A_LOOK
        self._budget -= spent
        return min(spent, 0.5 / LOOKS)

    def report(self) -> Mapping[str, Any]:
        """Return the last complete window's verdicts and how full the current window is.

        A feature counts as drifted from the look on that found it, before its window is complete,
        until the window after that one is: a calm window ends what was found in one before it. Of
        missing and unlisted values that a look found, "bursts" tells the share and its rows.

        "last" and "open" of "window" say of how many rows these are, and when they came (seconds
        since 1970 UTC). Statistics are of the last one, and so are reasons but those in "early",
        which are of the open one. "location" looks at the window before besides.
        """
        shown = {name: self._shown(name) for name in {**self._verdicts, **self._early}}
        features = {name: one for name, one in shown.items() if name != PREDICTION}
        report: dict[str, Any] = {
            "window": {
                "rows": self.config.window,
                "filled": self._rows,
                "complete": self._windows,
                "drifted": self._windows_drifted,
                "closed_at": self._closed_at,
                "last": self._last,
                "open": {"rows": self._rows, "from": self._opened_at},
            },
            "features": features,
            "drifted": sorted(name for name in features if features[name]["drifted"]),
        }
        column = self._columns.get(PREDICTION)
        if column is not None:
            counts = self._verdicts.get(PREDICTION, {}).get("counts", [])
            report["prediction"] = {
                "against": FIRST_WINDOW if self._learns else TEST_ROWS,
                "reference_rows": column.rows,
                "edges": list(column.edges),
                "reference": list(column.counts),
                "counts": counts[: len(column.counts)],
                **shown.get(PREDICTION, {"drifted": False}),
            }
        return report

    def _shown(self, name: str) -> dict[str, Any]:
        verdict = self._verdicts.get(name, {"statistic": None, "threshold": None})
        reasons = list(dict.fromkeys([*verdict.get("reasons", []), *self._early.get(name, [])]))
        return {
            "statistic": verdict["statistic"],
            "threshold": verdict["threshold"],
            "drifted": bool(reasons),
            "reasons": reasons,
            "early": list(self._early.get(name, ())),
            "bursts": {**verdict.get("bursts", {}), **self._bursts.get(name, {})},
            "streak": verdict.get("streak", 0),
        }

    def state(self) -> Mapping[str, Any]:
        """Return the window's counts, the verdicts and the budget."""
        learned = self._columns.get(PREDICTION) if self._learns else None
        return {
            "cells": {name: cells.counts.tolist() for name, cells in self._cells.items()},
            "blocks": {n: [one.tolist() for one in blocks] for n, blocks in self._blocks.items()},
            "rows": self._rows,
            "looked": self._looked,
            "first": list(self._first),
            "prediction": None if learned is None else as_state(learned),
            "verdicts": {name: dict(verdict) for name, verdict in self._verdicts.items()},
            "early": {name: list(reasons) for name, reasons in self._early.items()},
            "bursts": {name: dict(found) for name, found in self._bursts.items()},
            "windows": self._windows,
            "windows_drifted": self._windows_drifted,
            "closed_at": self._closed_at,
            "opened_at": self._opened_at,
            "last": self._last,
            "budget": self._budget,
            "filled_at": self._filled_at,
            "saved": self._saved,
        }

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another's counts; verdicts of the later window and the smaller budget hold.

        What a state of an earlier raymm does not hold (anything of looks) counts as none.
        """
        learned = state["prediction"]
        if learned is not None and PREDICTION not in self._columns:
            self._columns[PREDICTION] = from_state(learned)
            self._first = []
        # Counts in the bins of a first window say nothing beside the version's test rows.
        strange = PREDICTION if learned is not None and not self._learns else ""
        for name, counts in state["cells"].items():
            if name != strange:
                self._add(name, counts, state.get("blocks", {}).get(name, []))
        if PREDICTION not in self._columns:
            self._first += state["first"]
        self._rows += state["rows"]
        opened = [at for at in (self._opened_at, state.get("opened_at")) if at is not None]
        self._opened_at = min(opened, default=None)
        self._looked = max(self._looked, state.get("looked", 0))
        self._windows += state["windows"]
        self._windows_drifted += state["windows_drifted"]
        for name, reasons in state.get("early", {}).items():
            self._remark(name, () if name == strange else tuple(reasons))
        for name, found in state.get("bursts", {}).items():
            if name != strange:
                self._bursts.setdefault(name, {}).update(found)
        theirs = state["closed_at"]
        if theirs is not None and (self._closed_at is None or theirs > self._closed_at):
            self._closed_at, self._last = theirs, state.get("last")
            verdicts = state["verdicts"].items()
            self._verdicts = {name: dict(v) for name, v in verdicts if name != strange}
        fresh = self.config.false_alarms_per_day * max(self._filled_at - state["filled_at"], 0)
        self._budget = min(self._budget, state["budget"] + fresh / _DAY)
        self._saved = max(self._saved, state.get("saved", 0.0))
        self._look_if_due()
        return self

    def _add(self, name: str, counts: list[int], blocks: list[list[int]]) -> None:
        """Add counts of a feature, those between looks to those of as many looks ago."""
        if name not in self._columns:
            return
        cells = self._cells.get(name) or self._cells.setdefault(name, self._empty(name))
        if any(len(one) != len(cells.counts) for one in (counts, *blocks)):
            return
        cells.counts += np.asarray(counts, np.int64)
        own = self._blocks.setdefault(name, [])
        while len(own) < len(blocks):
            own.insert(0, np.zeros_like(cells.counts))
        for ago, block in enumerate(reversed(blocks), 1):
            own[-ago] = own[-ago] + np.asarray(block, np.int64)


def _total(blocks: Sequence[Counts]) -> Counts:
    """Return the sum of some counts of the same cells; np.sum takes thrice the time."""
    return reduce(np.add, blocks)


def _shares(cells: Cells, reasons: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return what `excess` found in the cells' counts, as shares of their rows."""
    made = {}
    for reason in reasons:
        missing = reason == "missing"
        _, counts = (cells.whole if missing else cells.unlisted)(cells.counts)
        rows = int(counts.sum())
        made[reason] = {"share": int(counts[-1 if missing else -2]) / rows, "rows": rows}
    return made
