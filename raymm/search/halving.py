"""Asynchronous successive halving: which trials are worth training on.

A trial reports its value at growing budgets. At each rung (``minimum`` × ``reduction``^k) it goes
on only where its value is among the best 1/``reduction`` of those that reached the rung so far.
Nothing waits for anything: this is the stopping form, in which a trial is judged once a rung, at
the moment it gets there.

Source: Li, Jamieson, Rostamizadeh et al. 2020, "A system for massively parallel hyperparameter
tuning", Algorithm 2, in the form that stops trials rather than promoting paused ones.
"""

from __future__ import annotations

import bisect
import math

from raymm.artifacts import Direction
from raymm.errors import ConfigError


class Halving:
    """Rungs of values, kept apart by group.

    A pure state machine: the same calls in the same order give the same answers, so it is
    replayed by calling `decide` again. No trial is stopped at a rung with fewer than ``reduction``
    values, its own included; ties with the last value that goes on go on.

    Parameters
    ----------
    mode : "maximize" or "minimize"
    minimum : int
        Budget of the first rung, at least 1.
    reduction : int
        One in this many goes on, at least 2.

    Raises
    ------
    ConfigError
        When an argument breaks its rule.
    """

    def __init__(self, mode: Direction, *, minimum: int, reduction: int = 3) -> None:
        if mode not in ("maximize", "minimize"):
            raise ConfigError(f'mode must be "maximize" or "minimize", but got {mode!r}.')
        if minimum < 1:
            raise ConfigError(f"the first rung must be at a budget of 1 or more, but got {minimum}")
        if reduction < 2:
            raise ConfigError(f"reduction must be at least 2, but got {reduction}")
        self.mode = mode
        self.minimum = minimum
        self.reduction = reduction
        self._rungs: dict[tuple[str, int], tuple[set[str], list[float]]] = {}

    def rung(self, budget: int) -> int | None:
        """Return the highest rung's number that ``budget`` reaches, from 0; None below all."""
        if budget < self.minimum:
            return None
        number, next_rung = 0, self.minimum * self.reduction
        while next_rung <= budget:
            number, next_rung = number + 1, next_rung * self.reduction
        return number

    def decide(self, trial_id: str, budget: int, value: float, *, group: str = "") -> bool:
        """Record a value and say whether the trial should go on.

        Parameters
        ----------
        trial_id : str
            A trial is recorded once a rung; later values at the same rung let it go on.
        budget : int
            Amount of training so far. Between two rungs it counts for the lower one, where the
            trial has no value there yet.
        value : float
            In the metric's unit; NaN stops the trial and is not recorded.
        group : str
            Values are compared within a group only: budgets of model families are in different
            units.
        """
        if math.isnan(value):
            return False
        number = self.rung(budget)
        if number is None:
            return True
        known, losses = self._rungs.setdefault((group, number), (set(), []))
        if trial_id in known:
            return True
        loss = value if self.mode == "minimize" else -value
        known.add(trial_id)
        bisect.insort(losses, loss)
        if len(losses) < self.reduction:
            return True
        return loss <= losses[math.ceil(len(losses) / self.reduction) - 1]
