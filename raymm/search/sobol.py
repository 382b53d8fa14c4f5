"""Quasi-random search: the points of a scrambled Sobol sequence, one after the other.

Its points fill the space more evenly than independent draws do, in every pair of dimensions, so
the first few already cover each parameter's range.

Sources: Sobol' 1967, "On the distribution of points in a cube and the approximate evaluation of
integrals"; scrambling as in Matousek 1998, by ``scipy.stats.qmc.Sobol``.
"""

from __future__ import annotations

import numpy as np

from raymm.artifacts import Config, Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.one_by_one import OneByOne


@searcher("sobol")
class Sobol(OneByOne):
    """The next point of the sequence that gives a configuration not tried before.

    Each parameter has a dimension of its own, whether it is active or not. Where 32 points in a
    row give nothing new, a space of few configurations is completed in random order.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        from scipy.stats import qmc

        super().__init__(space, mode=mode, generator=generator)
        self._points = qmc.Sobol(len(space), scramble=True, rng=generator)

    def _next(self) -> Config | None:
        return self._seen.fresh(self._draw)

    def _draw(self) -> Config:
        return spaces.from_unit(self.space, self._points.random(1)[0])
