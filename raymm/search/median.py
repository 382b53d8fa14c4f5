"""The median stopping rule: a trial whose best is worse than most others' average goes no further.

A trial that has trained for a budget b is stopped where its best value so far is strictly worse
than the median, over the other trials, of their values averaged up to b. It assumes no form of
the learning curve and needs no rungs: every value that is reported is judged.

Source: Golovin, Solnik, Moitra et al. 2017, "Google Vizier: a service for black-box optimization",
section 3.2.2. There the other trials are the completed ones; here they are all that have come as
far, so that the first stragglers of a parallel search are judged too.
"""

from __future__ import annotations

import bisect
import math

from raymm.artifacts import Direction
from raymm.errors import ConfigError


class Median:
    """Running averages of values, kept apart by group and budget.

    A pure state machine, like `raymm.search.halving.Halving`, and in its place: the same calls in
    the same order give the same answers. A call costs O(log n) after n trials.

    Parameters
    ----------
    mode : "maximize" or "minimize"
    minimum : int
        No trial is stopped at a smaller budget; at least 1.
    least : int
        Nor where fewer other trials than this have come as far; at least 1.

    Raises
    ------
    ConfigError
        When an argument breaks its rule.
    """

    def __init__(self, mode: Direction, *, minimum: int, least: int = 5) -> None:
        if mode not in ("maximize", "minimize"):
            raise ConfigError(f'mode must be "maximize" or "minimize", but got {mode!r}.')
        if minimum < 1:
            raise ConfigError(f"minimum must be a budget of 1 or more, but got {minimum}.")
        if least < 1:
            raise ConfigError(f"least must be 1 other trial or more, but got {least}.")
        self.mode = mode
        self.minimum = minimum
        self.least = least
        self._own: dict[tuple[str, str], _Own] = {}
        self._averages: dict[tuple[str, int], list[float]] = {}

    def decide(self, trial_id: str, budget: int, value: float, *, group: str = "") -> bool:
        """Record a value and say whether the trial should go on.

        Parameters
        ----------
        trial_id : str
            A value at a budget that the trial has reached already lets it go on, unrecorded.
        budget : int
            Amount of training so far. Trials are compared where they report at the same ones.
        value : float
            In the metric's unit; NaN stops the trial and is not recorded.
        group : str
            Values are compared within a group only: budgets of model families are in different
            units.
        """
        if math.isnan(value):
            return False
        own = self._own.setdefault((group, trial_id), _Own())
        if budget <= own.budget:
            return True
        loss = value if self.mode == "minimize" else -value
        own.add(budget, loss)
        others = self._averages.setdefault((group, budget), [])
        stops = (
            budget >= self.minimum
            and len(others) >= self.least
            and own.best > (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
        )
        bisect.insort(others, own.average)
        return not stops


class _Own:
    """One trial's values so far."""

    __slots__ = ("best", "budget", "count", "total")

    def __init__(self) -> None:
        self.budget: float = -math.inf
        self.count = 0
        self.total, self.best = 0.0, math.inf

    def add(self, budget: float, loss: float) -> None:
        self.budget = budget
        self.count += 1
        self.total += loss
        self.best = min(self.best, loss)

    @property
    def average(self) -> float:
        return self.total / self.count
