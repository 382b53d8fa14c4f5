"""Quasi-random search: the points of a scrambled Sobol sequence, one after the other.

Its points fill the space more evenly than independent draws do, in every pair of dimensions, so
the first few already cover each parameter's range.

Sources: Sobol' 1967, "On the distribution of points in a cube and the approximate evaluation of
integrals"; scrambling as in Matousek 1998, by ``scipy.stats.qmc.Sobol``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raymm.artifacts import Config, Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.seen import Seen


@searcher("sobol")
class Sobol(Searcher):
    """The next point of the sequence that gives a configuration not tried before.

    Each parameter has a dimension of its own, whether it is active or not. Where 32 points in a
    row give nothing new, a space of few configurations is completed in random order.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        from scipy.stats import qmc

        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        self._points = qmc.Sobol(len(space), scramble=True, rng=generator)
        self._seen = Seen(space, generator)
        self._count = 0

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        while len(made) < count:
            config = self._seen.fresh(self._draw)
            if config is None:
                break
            made.append(Suggestion(f"sobol-{self._count}", config))
            self._count += 1
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Remember what was tried in earlier runs, so that it is not tried again."""
        self._seen.add(result.config for result in results if result.final)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these."""
        self._seen.add(suggestion.config for suggestion in suggestions)

    def _draw(self) -> Config:
        return spaces.from_unit(self.space, self._points.random(1)[0])
