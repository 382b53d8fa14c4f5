"""Bayesian optimisation with a Gaussian process over mixed and conditional spaces.

A quasi-random design comes first; then each suggestion is where the acquisition function of a
Gaussian process is highest. Two models take turns: one that allows for ripples looks at the whole
space, and one without looks at a box around the best configuration. A rippled function's trend
shows to the first, and a narrow valley to the second. In 5 dimensions after 60 evaluations, 15 to
40 instances, against the second alone: the median gap on the rotated Rastrigin function falls from
34 to 20, on the separable one from 32 to 21; on Gallagher's peaks and the rotated ellipsoid it
stays, on Rosenbrock's too but for two runs of 24 (the mean goes from 6 to 18). It rises on
Schaffer's function from 2.5 to 2.9 and on Lunacek's from 32 to 42.

`raymm.search.gp_encoding` makes configurations comparable,
`raymm.search.gp_warp` brings losses onto a scale, `raymm.search.gaussian` is the model,
`raymm.search.acquisition` the promise of a point, and `raymm.search.gp_proposal` finds the point.

Sources: Jones, Schonlau & Welch 1998, "Efficient global optimization of expensive black-box
functions"; Snoek, Larochelle & Adams 2012, "Practical Bayesian optimization of machine learning
algorithms"; Hvarfner, Hellsten & Nardi 2024, "Vanilla Bayesian optimization performs great in high
dimensions"; Cowen-Rivers et al. 2022, "HEBO".
"""

from __future__ import annotations

import copy
import functools
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Direction, Space
from raymm.errors import ConfigError
from raymm.plugins import searcher
from raymm.search import gaussian
from raymm.search import space as spaces
from raymm.search.acquisition import ACQUISITIONS
from raymm.search.gaussian import Posterior
from raymm.search.gp_encoding import Encoding
from raymm.search.gp_proposal import Proposal
from raymm.search.gp_region import box, width
from raymm.search.gp_warp import choose, ranked, warp
from raymm.search.one_by_one import OneByOne, name_of
from raymm.search.searcher import Result, Suggestion

Vector = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

DESIGN = 10
"""Quasi-random points at most before the model is asked; one more than there are features where
those are fewer."""

MODELLED, SLACK = 400, 60
"""Results modelled at most, the best of all and the latest, and how many more may come before
they are chosen anew: the time a suggestion takes stays bounded."""

FITTED = 200
"""Results that the hyperparameters are fitted to at most."""

PENDING = 64
"""Configurations still being tried that are modelled at most, the latest."""

ANCHORS = 8
"""Best configurations around which the next one is looked for."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a suggestion was chosen by.

    Attributes
    ----------
    model : Posterior
        With what was being tried taken to turn out as predicted.
    targets : float64, shape (n,)
        The modelled results on the model's scale, less is better.
    region : pair of float64, shape (d,), or None
        The lowest and highest coordinates of the box that was looked in; None for everywhere.
    """

    model: Posterior
    targets: Vector
    region: tuple[Vector, Vector] | None


@searcher("gp")
class GaussianProcess(OneByOne):
    """Suggests where a Gaussian process promises most.

    Configurations still being tried are taken to turn out as predicted (Ginsbourger et al. 2010),
    so suggestions made at once differ. Failures are taken for as bad as the worst result. Results
    of trials stopped early rank below those of any trial that was given more. Looks that are not
    final are passed over. One number a suggestion is drawn from the generator.

    Parameters
    ----------
    acquisition : str, optional
        "log_ei", "ei", "ucb" or "pi"; see `raymm.search.acquisition`. The class's own is the
        default.

    Attributes
    ----------
    sight : Sight or None
        What the last suggestion that a model made was chosen by.
    """

    acquisition: ClassVar[str] = "log_ei"

    def __init__(
        self,
        space: Space,
        *,
        mode: Direction,
        generator: np.random.Generator,
        acquisition: str | None = None,
    ) -> None:
        super().__init__(space, mode=mode, generator=generator)
        chosen = self.acquisition if acquisition is None else acquisition
        if chosen not in ACQUISITIONS:
            raise ConfigError(
                f"acquisition must be one of {', '.join(ACQUISITIONS)}, but got {chosen!r}."
            )
        self._acquisition = ACQUISITIONS[chosen]
        self._encoding = Encoding(space)
        self._pending: dict[str, Config] = {}
        # Numbers alone, so that ten thousand results take little.
        self._places: dict[int, int] = {}
        self._values, self._budgets = array("d"), array("d")
        self._units: list[Vector] = []
        # to the probability of improvement, ripples promise as much beside the best as anywhere
        rippled = chosen != "pi"
        self._models = [_Model(self._encoding, ripples=ripples) for ripples in (rippled, False)]
        self._designed = min(DESIGN, self._encoding.columns + 1)
        self._design: Any = None
        self.sight: Sight | None = None

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, in any order, of this run or of earlier ones.

        Results whose configuration lies outside the space, as those of an earlier run may, are
        passed over.
        """
        for result in results:
            if not result.final:
                continue
            self._pending.pop(result.id, None)
            if spaces.contains(self.space, result.config):
                self._seen.add([result.config])
                name = name_of(result)
                place = self._places.setdefault(name, len(self._values))
                if place == len(self._values):
                    self._units.append(self._encoding.units([result.config])[0])
                    self._values.append(math.nan)
                    self._budgets.append(math.inf)
                self._values[place] = math.nan if result.value is None else float(result.value)
                self._budgets[place] = math.inf if result.budget is None else float(result.budget)

    def _await(self, suggestion: Suggestion) -> None:
        self._pending[suggestion.id] = suggestion.config

    def _next(self) -> Config | None:
        with _one_thread():
            return self._idea()

    def _idea(self) -> Config | None:
        rng = np.random.default_rng(int(self.generator.integers(2**31)))
        losses = _losses(np.array(self._values), np.array(self._budgets), self.mode)
        known = len(self._values) + len(self._pending)
        differ = bool((losses != losses[:1]).any())
        if not self._encoding.varying or known < self._designed or not differ:
            return self._seen.fresh(lambda: self._spread(rng))
        proposed = (c for c in self._proposed(losses, rng) if c not in self._seen)
        return self._seen.fresh(lambda: next(proposed, None) or self._spread(rng))

    def _spread(self, rng: np.random.Generator) -> Config:
        """Return the next quasi-random point (Sobol 1967, scrambled after Owen 1998)."""
        if self._design is None:
            from scipy.stats import qmc

            self._design = qmc.Sobol(len(self.space), scramble=True, seed=rng)
        return spaces.from_unit(self.space, self._design.random(1)[0])

    def _proposed(self, losses: Vector, rng: np.random.Generator) -> Iterator[Config]:
        """Return configurations, the most promising first."""
        units = np.array(self._units)
        near_best = self._count % 2
        modelled = self._models[near_best]
        model = modelled.update(units, losses)
        best = float(model.fitted().min())
        pending = list(self._pending.values())[-PENDING:]
        if pending:
            model = copy.copy(model)
            model.believe(self._encoding.features(self._encoding.units(pending)))
        proposal = Proposal(self._encoding, model, self._acquisition, best=best, count=len(losses))
        order = np.argsort(losses, kind="stable")[:ANCHORS]
        near = None
        if near_best:
            share = width(losses, design=self._designed, parameters=self._encoding.varying)
            near = box(self._encoding, units[order[0]], model.hyper.lengths, share)
        self.sight = Sight(model, modelled.targets, near)
        return map(self._encoding.config, proposal.propose(units[order], rng, near))


class _Model:
    """A posterior kept up to date: rows are added at once, hyperparameters on a schedule."""

    def __init__(self, encoding: Encoding, *, ripples: bool) -> None:
        self._encoding = encoding
        self._start = gaussian.prior_mode(encoding.count, ripples=ripples)
        self._posterior: Posterior | None = None
        self._rows = np.empty(0, dtype=np.intp)
        self._hyper = self._start
        self._offset = math.inf
        self._known = 0
        self._due = 0
        self.targets = np.empty(0)

    def update(self, units: Matrix, losses: Vector) -> Posterior:
        """Return the posterior given coordinates, shape (n, d), and losses, shape (n,).

        The first rows are those of the last call; losses may differ.
        """
        count = len(losses)
        fresh = np.arange(self._known, count, dtype=np.intp)
        self._known = count
        if self._posterior is None or count >= self._due:
            self._fit(units, losses)
            self._due = count + max(1, count // 20)
        elif len(self._rows) + len(fresh) > MODELLED + SLACK:
            self._rebuild(units, losses)
        elif len(fresh):
            self._posterior.append(self._encoding.features(units[fresh]))
            self._rows = np.append(self._rows, fresh)
        assert self._posterior is not None
        self.targets = warp(losses[self._rows], self._offset)[0]
        self._posterior.condition(self.targets)
        return self._posterior

    def _fit(self, units: Matrix, losses: Vector) -> None:
        rows = _chosen(losses, FITTED)
        features, groups = self._encoding.features(units[rows]), self._encoding.groups
        likelihood = gaussian.likelihood(self._hyper, features, groups)
        self._offset = choose(losses[rows], likelihood)
        targets, _ = warp(losses[rows], self._offset)
        found, score = gaussian.fit(features, targets, groups, self._hyper, evaluations=20)
        other, rival = gaussian.fit(features, targets, groups, self._start, evaluations=30)
        self._hyper = other if rival > score else found
        self._rebuild(units, losses)

    def _rebuild(self, units: Matrix, losses: Vector) -> None:
        self._rows = _chosen(losses, MODELLED)
        self._posterior = Posterior(
            self._encoding.features(units[self._rows]),
            warp(losses[self._rows], self._offset)[0],
            self._encoding.groups,
            self._hyper,
        )


def _chosen(losses: Vector, count: int) -> Rows:
    """Return which results to model, in their order: the better half of ``count``, the latest."""
    if len(losses) <= count:
        return np.arange(len(losses), dtype=np.intp)
    best = np.argsort(losses, kind="stable")[: count // 2]
    rest = np.setdiff1d(np.arange(len(losses)), best)
    return np.sort(np.concatenate([best, rest[-(count - len(best)) :]]))


def _losses(values: Vector, budgets: Vector, mode: Direction) -> Vector:
    """Return what to minimise, finite, of values (NaN: failed) and budgets (inf: full), shape (n,).

    Values of trials that were all given the same stand as they are, and failures are as bad as
    the worst. Where budgets differ, values do not compare: normal scores of the ranks stand for
    them, those given more before those given less, and failures last.
    """
    values = values if mode == "minimize" else -values
    good = np.isfinite(values)
    if not good.any():
        return np.zeros(len(values))
    if (budgets[good] == budgets[good][0]).all():
        return np.where(good, values, values[good].max())
    return ranked(
        [
            (0.0, -budget, value) if known else (1.0, 0.0, 0.0)
            for value, budget, known in zip(
                values.tolist(), budgets.tolist(), good.tolist(), strict=True
            )
        ]
    )


@searcher("gp-ei")
class ExpectedImprovement(GaussianProcess):
    """`GaussianProcess` with the expected improvement itself."""

    acquisition = "ei"


@searcher("gp-ucb")
class ConfidenceBound(GaussianProcess):
    """`GaussianProcess` with a confidence bound."""

    acquisition = "ucb"


@searcher("gp-pi")
class ProbabilityOfImprovement(GaussianProcess):
    """`GaussianProcess` with the probability of improvement."""

    acquisition = "pi"


def _one_thread() -> Any:
    """Keep BLAS to one thread: for matrices this small, sharing takes longer than computing."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - what is not loaded yet is not found
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()
