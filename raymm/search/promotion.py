"""Rungs of rising budgets, and a searcher whose good configurations climb them.

A configuration starts with a small budget; a schedule decides which of them go on with more, and
when. It says so without ever waiting: where nothing can be promoted for now, something new is
started. What is suggested again keeps its id, so it goes on where it stood.
"""

from __future__ import annotations

import math
import sys
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from raymm.artifacts import Config, Direction, Space
from raymm.errors import ConfigError
from raymm.search.portfolio import Portfolio
from raymm.search.searcher import Result, Searcher, Suggestion

REDUCTION = 3
"""One configuration in this many goes on from a rung (eta in the papers)."""


def rungs(low: float, high: float) -> tuple[float, ...]:
    """Return rising budgets from ``low`` to ``high``, each about `REDUCTION` times the one before.

    The ratio is the nearest to `REDUCTION` with which a whole number of steps leads from one end
    to the other; where both ends are whole numbers, so are the rungs.

    >>> rungs(1, 27), rungs(1, 100), rungs(0.5, 4.5), rungs(4, 5)
    ((1, 3, 9, 27), (1, 3, 10, 32, 100), (0.5, 1.5, 4.5), (5,))

    Raises
    ------
    ConfigError
        When a budget is not a finite number above 0, or the two are in the wrong order.
    """
    for name, value in (("min_budget", low), ("max_budget", high)):
        if isinstance(value, bool) or not 0 < value <= sys.float_info.max:
            raise ConfigError(f"{name} must be a number above 0, but got {value!r}.")
    if not math.isfinite(high / low):
        raise ConfigError(
            f"min_budget {low!r} is too small beside max_budget {high!r}. Give a larger one."
        )
    if low > high:
        raise ConfigError(
            f"min_budget must be at most max_budget, but got {low} and {high}. Swap them."
        )
    steps = round(math.log(high / low, REDUCTION))
    whole = float(low).is_integer() and float(high).is_integer()
    inner = [low * (high / low) ** (step / steps) for step in range(1, steps)]
    made = [float(f"{at:.12g}") for at in inner]
    if whole:
        made = [round(at) for at in made]
    return (*([low] if steps else []), *made, high)


class Step(NamedTuple):
    """What to do next: start a new configuration (``id`` None), or go on with one."""

    id: str | None
    rung: int


class Schedule(Protocol):
    """Decides what starts and what goes on; replayed by the same calls in the same order."""

    def next(self, *, starting: bool = True) -> Step | None:
        """Return the next step; without ``starting``, as where nothing is left to start, it goes
        on with whatever stands best, and returns None where all have climbed as far as they can.
        """
        ...

    def start(self, trial_id: str, rung: int) -> None:
        """Take note that a new configuration was started as the last step asked."""
        ...

    def record(self, trial_id: str, rung: int, loss: float | None) -> None:
        """Take in the loss of a trial at a rung; None is a failure and never goes on."""
        ...


class Promoting(Searcher):
    """A searcher of one fidelity, whose suggestions start low and climb by a schedule.

    The inner searcher is told every result with its budget, that of full training as None, and is
    asked wherever the schedule starts something new.

    Parameters
    ----------
    inner : Searcher
        Its space, mode and generator are used.
    schedule : Schedule
    budgets : tuple of float
        The rungs' budgets, rising.
    """

    multi_fidelity = True

    def __init__(self, inner: Searcher, schedule: Schedule, budgets: Sequence[float]) -> None:
        super().__init__(inner.space, mode=inner.mode, generator=inner.generator)
        self.budgets = tuple(budgets)
        self._inner, self._schedule = inner, schedule
        self._sign = 1.0 if inner.mode == "minimize" else -1.0
        self._started: dict[str, Suggestion] = {}
        self._pending: dict[str, int] = {}
        # the rungs that trials passed without being asked for them, and with what loss
        self._passed: dict[str, tuple[int, float]] = {}

    def lead(self, configs: Sequence[Config]) -> None:
        """Start with these configurations; they climb like all others."""
        self._inner = Portfolio(self._inner, configs)

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` suggestions, new or known ids; fewer where nothing is left to try."""
        made: list[Suggestion] = []
        while len(made) < count:
            suggestion = self._next()
            if suggestion is None:
                break
            made.append(suggestion)
        return made

    def _next(self) -> Suggestion | None:
        step = self._step(starting=True)
        if step is not None and step.id is None:
            for found in self._inner.suggest(1):
                self._started[found.id] = found
                self._schedule.start(found.id, step.rung)
                return self._asked(found, step.rung)
            step = self._step(starting=False)
        if step is None or step.id is None:
            return None
        return self._asked(self._started[step.id], step.rung)

    def _step(self, *, starting: bool) -> Step | None:
        """Return the next step to a rung that its trial has not passed yet."""
        while True:
            step = self._schedule.next(starting=starting)
            if step is None or step.id not in self._passed:
                return step
            last, loss = self._passed[step.id]
            if step.rung >= last:
                del self._passed[step.id]
            if step.rung > last:
                return step
            self._schedule.record(step.id, step.rung, loss)

    def _asked(self, known: Suggestion, rung: int) -> Suggestion:
        self._pending[known.id] = rung
        return Suggestion(known.id, known.config, self.budgets[rung], known.parent)

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from results, and from those of earlier runs, whose ids go on no more.

        A trial that ended with less than it was to have was stopped: the inner searcher learns
        what it reached, but it does not go on. One that was given more has passed the rungs up to
        that budget, and is not asked for them.
        """
        for result in results:
            if not result.final or result.id not in self._started:
                self._inner.observe([self._told(result)])
            elif result.id in self._pending:
                rung = self._pending.pop(result.id)
                early = result.budget is not None and result.budget < self.budgets[rung]
                scored = result.value is not None and math.isfinite(result.value)
                loss = self._sign * (result.value or 0.0) if scored and not early else None
                reached = rung if loss is None else self._reached(rung, result.budget)
                if loss is not None and reached > rung:
                    self._passed[result.id] = reached, loss
                self._schedule.record(result.id, rung, loss)
                spent = result.budget if early else self.budgets[reached]
                value = result.value if scored else None
                self._inner.observe([self._told(Result(result.id, result.config, value, spent))])

    def _reached(self, rung: int, budget: float | None) -> int:
        """Return the highest rung from ``rung`` that a budget, None for the one asked, pays for."""
        while budget is not None and rung + 1 < len(self.budgets):
            if budget < self.budgets[rung + 1]:
                break
            rung += 1
        return rung

    def _told(self, result: Result) -> Result:
        """Return the result as the inner searcher takes it."""
        full = result.budget is not None and result.budget >= self.budgets[-1]
        budget = None if full else result.budget
        return Result(result.id, result.config, result.value, budget, result.final)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Hand them on."""
        self._inner.expect(suggestions)

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:
        """Hand it on."""
        self._inner.plan(trials=trials, parallel=parallel)


class Planned(Promoting):
    """`Promoting` from ``min_budget`` to ``max_budget``, made as every other searcher is."""

    def __init__(
        self,
        space: Space,
        *,
        mode: Direction,
        generator: np.random.Generator,
        min_budget: float,
        max_budget: float,
    ) -> None:
        budgets = rungs(min_budget, max_budget)
        super().__init__(*self.parts(space, mode, generator, budgets), budgets)

    @staticmethod
    @abstractmethod
    def parts(
        space: Space, mode: Direction, generator: np.random.Generator, budgets: tuple[float, ...]
    ) -> tuple[Searcher, Schedule]:
        """Return the searcher of one fidelity and the schedule."""
