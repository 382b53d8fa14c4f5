"""Random search: the honest control for every other algorithm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.seen import Seen


@searcher("random")
class Random(Searcher):
    """Independent draws, even in each active parameter's scale, without repetition.

    Source: Bergstra & Bengio 2012, "Random search for hyper-parameter optimization".
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        self._seen = Seen(space, generator)
        self._count = 0

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        while len(made) < count:
            config = self._seen.fresh(lambda: spaces.sample(self.space, self.generator))
            if config is None:
                break
            made.append(Suggestion(f"random-{self._count}", config))
            self._count += 1
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Remember what was tried in earlier runs, so that it is not tried again."""
        self._seen.add(result.config for result in results if result.final)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these."""
        self._seen.add(suggestion.config for suggestion in suggestions)
