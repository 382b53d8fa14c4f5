"""The multivariate Parzen estimator: one density over all parameters together.

Where `raymm.search.tpe` looks at every parameter apart, this one compares the joint density of
the best results with that of the rest (`raymm.search.density`), and so follows valleys that run
across the axes.

Sources: Bergstra, Bardenet, Bengio & Kégl 2011, "Algorithms for hyper-parameter optimization",
equation 12; Falkner, Klein & Hutter 2018, "BOHB", section 3.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.density import Density
from raymm.search.one_by_one import OneByOne, Rank, name_of, rank
from raymm.search.searcher import Result, Suggestion

Array = npt.NDArray[np.float64]

STARTUP = 10
"""Random draws before there is anything to model."""

GOOD, MOST = 0.1, 25
"""The share of the results that are good, and how many there are at most (Optuna's defaults)."""

CANDIDATES, FEW = 24, 4
"""Draws from the density of the best results of which the most promising one is tried: few where
there are conditions, as the best of many always has the branch of the first good result."""

BEST, LATEST = 60, 240
"""Results that are modelled, the best of all and the latest, so that the time a suggestion takes
stays bounded."""

WIDTH = 0.2
"""Bandwidths of n points are at least this times n^(-1/(4 + d)): they do not shrink with the
spread of the good results, as the estimator would then shrink onto the first of them. With no
such bound it ends farther off than random search on nearly all of the BBOB functions."""


@searcher("parzen")
class Parzen(OneByOne):
    """Suggests where good results are dense and the others are not, all parameters together.

    The best tenth of the results is good. Failures, and configurations still being tried, count
    among the others, so suggestions made at once differ. Results of trials stopped
    early rank below those that were given more. Looks that are not final are passed over.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._pending: dict[str, Array] = {}
        self._results: dict[int, tuple[Rank, Array]] = {}

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, in any order, of this run or of earlier ones.

        Results whose configuration lies outside the space are passed over.
        """
        for result in results:
            if not result.final:
                continue
            self._pending.pop(result.id, None)
            if spaces.contains(self.space, result.config):
                self._seen.add([result.config])
                units = spaces.unit(self.space, result.config)
                self._results[name_of(result)] = rank(result, self.mode), units

    def _next(self) -> Config | None:
        return self._seen.fresh(self._draws().__next__)

    def _await(self, suggestion: Suggestion) -> None:
        self._pending[suggestion.id] = spaces.unit(self.space, suggestion.config)

    def _draws(self) -> Iterator[Config]:
        """Yield configurations without end, the most promising first, then random ones."""
        rng = np.random.default_rng(int(self.generator.integers(2**31)))
        scored = sum(not rank[0] for rank, _ in self._results.values())
        if len(self._results) + len(self._pending) >= STARTUP and scored:
            good, bad = self._split(scored)
            best = Density(self.space, good, narrowest=self._width(len(good)))
            rest = Density(self.space, bad, narrowest=self._width(len(bad)))
            conditional = any(parameter.when for parameter in self.space.values())
            drawn = best.draw(FEW if conditional else CANDIDATES, rng)
            promise = best.log(drawn) - rest.log(drawn)
            for row in np.argsort(-promise, kind="stable"):
                yield spaces.from_unit(self.space, drawn[row])
        while True:
            yield spaces.sample(self.space, rng)

    def _width(self, n: int) -> float:
        """Return the least bandwidth of ``n`` points."""
        return WIDTH * math.pow(n, -1.0 / (4 + len(self.space)))

    def _split(self, scored: int) -> tuple[Array, Array]:
        """Return the coordinates of the good results, and of the others and what is pending."""
        ranks = [rank for rank, _ in self._results.values()]
        units = [at for _, at in self._results.values()]
        ranked = sorted(range(len(ranks)), key=ranks.__getitem__)
        if len(ranked) > BEST + LATEST:
            floor = len(ranked) - LATEST
            ranked = ranked[:BEST] + [at for at in ranked[BEST:] if at >= floor]
        count = min(scored, MOST, math.ceil(GOOD * len(ranked)))
        pending = list(self._pending.values())[-LATEST:]
        rest = [units[at] for at in ranked[count:]] + pending
        good = np.array([units[at] for at in ranked[:count]])
        return good, np.array(rest) if rest else np.full((1, len(self.space)), np.nan)
