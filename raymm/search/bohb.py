"""BOHB: small budgets for many configurations, and new ones where the density of good ones is high.

The model is the paper's: with ``l`` the density of the good configurations and ``g`` that of the
rest, both products of kernels over all parameters at once, candidates are drawn from ``l`` and
the one with the greatest ``l(x) / g(x)`` is suggested, which has the greatest expected
improvement; a share of suggestions is drawn at random.

Where the paper's form was measured to do worse on learning curves of perceptrons and of boosting
(``tests/benchmarks/bench_fidelity.py``), this one differs:

- kernels are about as wide as those of a Parzen estimator, 0.25 · n^(-1/(4 + d)) of the range at
  least, and candidates are drawn without widening them threefold: two good points close together
  do not end the search elsewhere;
- a kernel as flat as the space has the weight of one observation;
- one model is made of all budgets, ranked by the loss expected in full (`raymm.search.fidelity`):
  it is there after a dozen looks at the smallest budget, and needs no d + 3 at each larger one;
- configurations climb as in asynchronous successive halving, and the bracket, the rung at which
  new ones begin, is not cycled through but chosen by how well each rung has been seen to order
  the next: where small budgets tell nothing, searches soon begin above them.

Sources: Falkner, Klein & Hutter 2018, "BOHB: robust and efficient hyperparameter optimization at
scale", sections 3.1 and 3.2 and Algorithm 2; Bergstra et al. 2011, "Algorithms for hyper-parameter
optimization", section 4; Li et al. 2020, "A system for massively parallel hyperparameter tuning".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from raymm.artifacts import Config, Direction, Space
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.asha import Ladder
from raymm.search.density import Array, Density
from raymm.search.fidelity import Fidelity
from raymm.search.one_by_one import OneByOne
from raymm.search.promotion import Planned, Schedule, Step
from raymm.search.searcher import Result, Searcher, Suggestion

STARTUP = 12
"""Configurations looked at before there is a model."""
RANDOM = 0.1
"""Share of suggestions drawn at random (rho; the paper has 1/3)."""
CANDIDATES = 64
GOOD, MOST_GOOD = 0.15, 25
"""Share of configurations that are good (q), and how many at most."""
MOST_BAD = 120
"""Others that are modelled: evenly chosen along their ranking, so that time stays bounded."""
WIDTH = 0.25

SHARPNESS = 16
FLOOR = 0.03
"""Share of the best bracket's budget that one which begins lower gets, to be seen again."""


class DensityModel(OneByOne):
    """Suggests where good configurations are dense and others are not.

    Failures rank last, and what is being tried is taken for not good until its result comes.
    """

    name = "bohb"

    def __init__(
        self,
        space: Space,
        *,
        mode: Direction,
        generator: np.random.Generator,
        fidelity: Fidelity,
    ) -> None:
        super().__init__(space, mode=mode, generator=generator)
        self._sign = 1.0 if mode == "minimize" else -1.0
        self._fidelity = fidelity
        self._pending: dict[str, Array] = {}

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from results at any budget, first looks too, and from those of earlier runs."""
        for result in results:
            if not spaces.contains(self.space, result.config):
                continue
            self._seen.add([result.config])
            if result.final:
                self._pending.pop(result.id, None)
            loss = math.inf
            if result.value is not None and math.isfinite(result.value):
                loss = self._sign * result.value
            budget = math.inf if result.budget is None else float(result.budget)
            point = spaces.unit(self.space, result.config)
            self._fidelity.add(result.id, point, budget, loss, final=result.final)

    def _next(self) -> Config | None:
        ideas = self._ideas()
        return self._seen.fresh(lambda: next(ideas), tries=CANDIDATES)

    def _await(self, suggestion: Suggestion) -> None:
        self._pending[suggestion.id] = spaces.unit(self.space, suggestion.config)

    def _ideas(self) -> Iterator[Config]:
        """Yield the candidates from the most promising on, then random configurations."""
        rng = np.random.default_rng(int(self.generator.integers(2**31)))
        points, counted = self._fidelity.ranked()
        if len(points) >= STARTUP and rng.random() >= RANDOM:
            good, bad = self._split(points, math.ceil(GOOD * counted))
            candidates = good.draw(CANDIDATES, rng)
            for index in np.argsort(bad.log(candidates) - good.log(candidates), kind="stable"):
                yield spaces.from_unit(self.space, np.nan_to_num(candidates[index], nan=0.5))
        while True:
            yield spaces.sample(self.space, rng)

    def _split(self, points: Sequence[Array], good_ones: int) -> tuple[Density, Density]:
        count = min(MOST_GOOD, max(2, good_ones))
        rest = points[count:]
        rest = [*rest[:: math.ceil(len(rest) / MOST_BAD)], *self._pending.values()]
        good, bad = (
            Density(self.space, np.array(part), narrowest=WIDTH) for part in (points[:count], rest)
        )
        return good, bad


class Brackets(Ladder):
    """Asynchronous successive halving that begins where it promises most.

    A bracket that begins at a rung with the budget b, of L rungs up to the budget R, tries
    n = L · R / (b · rungs left) configurations at equal cost, of which the best is expected to be
    E[max of n normals] standard deviations ahead by what the rung sees, and the rung's trust of
    that in truth. The budget is shared among brackets by a high power of this promise.

    Parameters
    ----------
    budgets : tuple of float
        The rungs' budgets, rising.
    fidelity : Fidelity
        Kept up to date by the model.
    """

    def __init__(self, budgets: Sequence[float], fidelity: Fidelity) -> None:
        super().__init__(budgets)
        self._fidelity = fidelity
        self._costs = [budget * (len(budgets) - rung) for rung, budget in enumerate(budgets)]
        self._ahead = [_best_of(len(budgets) * budgets[-1] / cost) for cost in self._costs]
        self._spent = [0.0] * len(budgets)

    def next(self, *, starting: bool = True) -> Step | None:
        """Return the next step; see `raymm.search.promotion.Schedule`."""
        step = super().next(starting=starting)
        return Step(None, self._first()) if step is not None and step.id is None else step

    def start(self, trial_id: str, rung: int) -> None:
        """Charge the bracket that begins at the rung."""
        self._spent[rung] += self._costs[rung]

    def _first(self) -> int:
        trust = self._fidelity.trust()
        promise = [t * ahead for t, ahead in zip(trust, self._ahead, strict=True)]
        best = promise.index(max(promise))
        shares = [
            max(FLOOR if rung < best else 1e-9, (value / promise[best]) ** SHARPNESS)
            for rung, value in enumerate(promise)
        ]
        owed = [
            (spent + cost) / share
            for spent, cost, share in zip(self._spent, self._costs, shares, strict=True)
        ]
        return owed.index(min(owed))


def _best_of(count: float) -> float:
    """Return about the expected greatest of ``count`` standard normal values, always above 0.

    Source: Blom 1958, "Statistical estimates and transformed beta-variables".
    """
    from scipy.special import ndtri

    some = max(count, 1.5)
    return float(ndtri((some - 0.375) / (some + 0.25)))


@searcher("bohb")
class Bohb(Planned):
    """Configurations from a model of the good ones, whose budgets climb from rung to rung."""

    @staticmethod
    def parts(
        space: Space, mode: Direction, generator: np.random.Generator, budgets: tuple[float, ...]
    ) -> tuple[Searcher, Schedule]:
        """Return the searcher of one fidelity and the schedule."""
        fidelity = Fidelity(budgets)
        model = DensityModel(space, mode=mode, generator=generator, fidelity=fidelity)
        return model, Brackets(budgets, fidelity)
