"""When a search stands still: no trial has beaten the best by more than noise for long.

What counts as better must exceed the noise of the comparison. Two trials with values of the same
folds are compared fold by fold, and the gain must be larger than its standard error. Where there
is one value alone, the gain must be at least `SHARE` of the distance from the median trial to the
best one. Small gains add up: the best is compared with the last one that counted. Of several
objectives, the volume that the undominated trials dominate must grow by that share of it.
"""

from __future__ import annotations

import bisect
import math
import statistics
from typing import Literal

import numpy as np

from raymm.artifacts import Direction, Trial
from raymm.search import pareto
from raymm.search.goals import Goals, Vector

SHARE = 0.01
MARGIN = 0.1
"""Share of an objective's range by which the corner of the volume lies beyond its worst value."""
AUTO, AUTO_EACH = 30, 3


def patience(chosen: int | Literal["auto", "none"], parameters: int) -> int | None:
    """Return after how many trials without a gain a search ends; None is never.

    "auto" is `AUTO` trials, or `AUTO_EACH` a parameter of the space where that is more.

    >>> patience("auto", 5), patience("auto", 20), patience(7, 5), patience("none", 5)
    (30, 60, 7, None)
    """
    if chosen == "none":
        return None
    return max(AUTO, AUTO_EACH * parameters) if chosen == "auto" else chosen


class Plateau:
    """Counts trials since the last gain; the same trials in the same order count the same.

    Parameters
    ----------
    patience : int
        Trials without a gain after which the search ends, at least 1.
    """

    def __init__(self, direction: Direction, patience: int) -> None:
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._patience = patience
        self._best: Trial | None = None
        self._losses: list[float] = []
        self._since = 0

    def add(self, trial: Trial) -> None:
        """Take in a trial that ended; a failed one is no gain."""
        self._since += 1
        if trial.value is None:
            return
        bisect.insort(self._losses, self._sign * trial.value)
        if self._best is None or self._gains(self._best, trial):
            self._best, self._since = trial, 0

    def _gains(self, best: Trial, trial: Trial) -> bool:
        assert best.value is not None
        assert trial.value is not None
        gain = self._sign * (best.value - trial.value)
        folds = len(trial.fold_values)
        if folds > 1 and folds == len(best.fold_values):
            pairs = zip(best.fold_values, trial.fold_values, strict=True)
            spread = statistics.stdev(self._sign * (one - other) for one, other in pairs)
            return gain > 0 and gain > spread / math.sqrt(folds)
        middle = self._losses[len(self._losses) // 2]
        return gain > 0 and gain >= SHARE * (middle - self._sign * best.value)

    @property
    def reason(self) -> str:
        """Why the search ends now; empty while it goes on."""
        if self._best is None or self._since < self._patience:
            return ""
        return (
            f"plateau: none of the last {self._since} trials was better than {self._best.value:g} "
            "by more than noise"
        )


class FrontPlateau:
    """Counts trials since the front of several objectives was last pushed out.

    What breaks a constraint is no gain; while nothing keeps them the search goes on.
    """

    def __init__(self, goals: Goals, patience: int) -> None:
        self._goals = goals
        self._patience = patience
        self._front: list[Vector] = []
        self._counted: list[Vector] = []
        self._ends: tuple[Vector, Vector] | None = None
        self._since = 0

    def add(self, trial: Trial) -> None:
        """Take in a trial that ended."""
        self._since += 1
        values = trial.metrics
        if trial.value is None or not self._goals.complete(values):
            return
        losses = self._goals.losses(values)
        low, high = self._ends or (losses, losses)
        self._ends = np.minimum(low, losses), np.maximum(high, losses)
        if self._goals.violations(values).any():
            return
        merged = [*self._front, losses]
        kept = pareto.front(merged)
        self._front = [point for point, stays in zip(merged, kept, strict=True) if stays]
        if kept[-1] and self._gains(*self._ends):
            self._counted, self._since = self._front, 0

    def _gains(self, low: Vector, high: Vector) -> bool:
        if not self._counted:
            return True
        # Beyond the worst seen, so that what stands there in one objective counts in the others.
        corner = high + MARGIN * np.where(high > low, high - low, 1.0)
        now = pareto.hypervolume(self._front, corner)
        before = pareto.hypervolume(self._counted, corner)
        return now > before and now - before >= SHARE * now

    @property
    def reason(self) -> str:
        """Why the search ends now; empty while it goes on."""
        if not self._counted or self._since < self._patience:
            return ""
        return (
            f"plateau: none of the last {self._since} trials pushed the front of "
            f"{len(self._front)} out by more than noise"
        )
