"""HyperBand: successive halving in brackets that hedge between many short and few long trials.

Source: Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar 2018, "Hyperband: a novel bandit-based
approach to hyperparameter optimization", Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.plugins import searcher
from raymm.search.promotion import REDUCTION, Planned, Schedule, Step
from raymm.search.random import Random
from raymm.search.searcher import Searcher


class Bracket:
    """One run of successive halving from a rung upward.

    Parameters
    ----------
    first, last : int
        The rungs at which it begins and ends.
    size : int
        How many configurations start it.
    """

    def __init__(self, first: int, last: int, size: int) -> None:
        self.first, self.last = first, last
        self._sizes = [size // REDUCTION**level for level in range(last - first + 1)]
        self._queue: list[str] = []
        self._level = 0
        self._given = 0
        self._results: list[tuple[float, int, str]] = []
        self._returned = 0

    @property
    def over(self) -> bool:
        """Whether it asks for nothing more, ever."""
        return self._given == self._sizes[-1] and self._level == len(self._sizes) - 1

    def next(self, *, starting: bool) -> Step | None:
        """Return what it asks for now; None while it waits for results, and when it is over."""
        if self._level == 0 and not starting:
            self._sizes[0] = self._given
            self._climb()
        if self._given == self._sizes[self._level]:
            return None
        if self._level == 0:
            return Step(None, self.first)
        self._given += 1
        return Step(self._queue.pop(0), self.first + self._level)

    def start(self) -> None:
        """Take note that a new configuration was started."""
        self._given += 1

    def record(self, trial_id: str, loss: float | None) -> None:
        """Take in a result of the present rung; when all are in, the best go on."""
        self._returned += 1
        if loss is not None:
            self._results.append((loss, self._returned, trial_id))
        self._climb()

    def _climb(self) -> None:
        done = self._returned == self._sizes[self._level]
        if not done or self._level == len(self._sizes) - 1:
            return
        self._level += 1
        chosen = sorted(self._results)[: self._sizes[self._level]]
        self._queue = [trial_id for _, _, trial_id in chosen]
        self._sizes[self._level] = len(chosen)
        self._given, self._returned, self._results = 0, 0, []
        self._climb()


class Brackets:
    """HyperBand's brackets one after the other, over and over.

    The bracket s of Algorithm 1, line 2, starts n = ⌈(s_max + 1) / (s + 1) · η^s⌉ configurations
    with the budget R · η^-s, and ⌊n · η^-i⌋ of them reach its rung i. Where the open brackets wait
    for results, the next one is opened.

    Parameters
    ----------
    budgets : tuple of float
        The rungs' budgets, rising.
    """

    def __init__(self, budgets: Sequence[float]) -> None:
        self._last = len(budgets) - 1
        self._open: list[Bracket] = []
        self._of: dict[str, Bracket] = {}
        self._asking: Bracket | None = None
        self._made = 0

    def next(self, *, starting: bool = True) -> Step | None:
        """Return the next step; see `raymm.search.promotion.Schedule`."""
        self._open = [bracket for bracket in self._open if not bracket.over]
        for bracket in self._open:
            step = bracket.next(starting=starting)
            if step is not None:
                self._asking = bracket
                return step
        if not starting:
            return None
        first = self._made % (self._last + 1)
        halvings = self._last - first
        size = math.ceil((self._last + 1) / (halvings + 1) * REDUCTION**halvings)
        self._asking = Bracket(first, self._last, size)
        return self._asking.next(starting=True)

    def start(self, trial_id: str, rung: int) -> None:
        """Take note that the last step's new configuration has this id."""
        assert self._asking is not None
        if self._asking not in self._open:  # a bracket is opened by its first configuration
            self._open.append(self._asking)
            self._made += 1
        self._asking.start()
        self._of[trial_id] = self._asking

    def record(self, trial_id: str, rung: int, loss: float | None) -> None:
        """Take in the loss of a trial at a rung."""
        self._of[trial_id].record(trial_id, loss)


@searcher("hyperband")
class Hyperband(Planned):
    """Random configurations in HyperBand's brackets from ``min_budget`` to ``max_budget``."""

    @staticmethod
    def parts(
        space: Space, mode: Direction, generator: np.random.Generator, budgets: tuple[float, ...]
    ) -> tuple[Searcher, Schedule]:
        """Return the searcher of one fidelity and the schedule."""
        return Random(space, mode=mode, generator=generator), Brackets(budgets)
