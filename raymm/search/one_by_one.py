"""What searchers share that think of one new configuration after another."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Config, Direction, Space
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.seen import Seen

Key = tuple[tuple[str, str], ...]
Rank = tuple[bool, float, float]


class OneByOne(Searcher):
    """Suggests what `_next` thinks of, in full training, and nothing twice.

    Ids are the searcher's name and a number from 0.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        self._seen = Seen(space, generator)
        self._count = 0

    @abstractmethod
    def _next(self) -> Config | None:
        """Return a configuration that is in `_seen` by now; None where the space is exhausted."""

    def _await(self, suggestion: Suggestion) -> None:
        """Take note of what is being tried from now on, whoever suggested it."""

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        while len(made) < count and (config := self._next()) is not None:
            suggestion = Suggestion(f"{self.name}-{self._count}", config)
            self._await(suggestion)
            self._count += 1
            made.append(suggestion)
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Remember what was tried in earlier runs, so that it is not tried again."""
        self._seen.add(result.config for result in results if result.final)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these, and take them for being tried."""
        for suggestion in suggestions:
            self._seen.add([suggestion.config])
            self._await(suggestion)


def name_of(result: Result) -> int:
    """Return 64 bits that tell a trial from all others: an id alone may come from two runs.

    Whole names take ten times as much, and a search of ten thousand trials keeps them all; see
    `raymm.search.seen` for the chance that two are the same.
    """
    return hash((result.id, spaces.key(result.config)))


def rank(result: Result, mode: Direction) -> Rank:
    """Return what sorts results from the best on: failures last, then by budget and value.

    Results of trials stopped early come after those of any trial that was given more.
    """
    if result.value is None or not math.isfinite(result.value):
        return True, 0.0, 0.0
    budget = math.inf if result.budget is None else result.budget
    return False, -budget, result.value if mode == "minimize" else -result.value
