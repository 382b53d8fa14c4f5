"""Asynchronous successive halving of random configurations, in the form that promotes.

Source: Li, Jamieson, Rostamizadeh et al. 2020, "A system for massively parallel hyperparameter
tuning", Algorithm 2. `raymm.search.halving` has the form that stops trials as they run.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.plugins import searcher
from raymm.search.promotion import REDUCTION, Planned, Schedule, Step
from raymm.search.random import Random
from raymm.search.searcher import Searcher


class Ladder:
    """Promotes what is in the best 1/`REDUCTION` of its rung so far; else starts at the bottom.

    From the highest rung down, as in Algorithm 2 (``get_job``). Failures have no place in a rung.
    A step costs O(log n): the best that was not promoted yet is promoted, or nothing is.

    Parameters
    ----------
    budgets : tuple of float
        The rungs' budgets, rising.
    """

    def __init__(self, budgets: Sequence[float]) -> None:
        self._losses: list[list[float]] = [[] for _ in budgets]
        self._waiting: list[list[tuple[float, int, str]]] = [[] for _ in budgets[1:]]
        self._count = 0

    def next(self, *, starting: bool = True) -> Step | None:
        """Return the next step; see `raymm.search.promotion.Schedule`."""
        for rung in reversed(range(len(self._waiting))):
            waiting, losses = self._waiting[rung], self._losses[rung]
            if not waiting:
                continue
            ahead = bisect.bisect_left(losses, waiting[0][0])
            if not starting or ahead < len(losses) // REDUCTION:
                return Step(waiting.pop(0)[2], rung + 1)
        return Step(None, 0) if starting else None

    def start(self, trial_id: str, rung: int) -> None:
        """Do nothing: a rung is what has been recorded."""

    def record(self, trial_id: str, rung: int, loss: float | None) -> None:
        """Take in the loss of a trial at a rung."""
        if loss is None:
            return
        bisect.insort(self._losses[rung], loss)
        self._count += 1
        if rung < len(self._waiting):
            bisect.insort(self._waiting[rung], (loss, self._count, trial_id))


@searcher("asha")
class Asha(Planned):
    """Random configurations that start with ``min_budget`` and climb to ``max_budget``."""

    @staticmethod
    def parts(
        space: Space, mode: Direction, generator: np.random.Generator, budgets: tuple[float, ...]
    ) -> tuple[Searcher, Schedule]:
        """Return the searcher of one fidelity and the schedule."""
        return Random(space, mode=mode, generator=generator), Ladder(budgets)
