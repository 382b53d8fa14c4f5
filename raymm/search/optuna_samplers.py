"""Optuna's samplers, asked and told in memory; they need the extra ``optuna``.

Every suggestion is a trial of a study that lives in memory only. Conditions are kept as Optuna's
define-by-run interface keeps them: only active parameters are asked for. A choice is asked for
by its index, so that choices which Python takes for equal (1 and True) stay apart.

Source: Akiba, Sano, Yanase, Ohta & Koyama 2019, "Optuna: a next-generation hyperparameter
optimization framework"; Optuna 5, ``optuna.study.Study.ask`` and ``tell``.
"""

from __future__ import annotations

import logging
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from raymm.artifacts import Categorical, Config, Direction, Int, Parameter, Scalar, Space
from raymm.errors import MissingExtra
from raymm.plugins import searcher
from raymm.search import space as spaces
from raymm.search.searcher import Result, Searcher, Suggestion
from raymm.search.seen import Seen

TRIES = 8
"""Trials asked of Optuna for one that is new; those that repeat an earlier one are given up."""


class OptunaSearcher(Searcher):
    """A search by one of Optuna's samplers.

    Trials stopped early are told as pruned at their budget, so that Optuna ranks them below
    those trained in full; failures are told as pruned before the first report. Results of earlier
    runs are added to the study. One number is drawn from the generator to seed Optuna, and more
    where a finite space is all but exhausted.

    Raises
    ------
    MissingExtra
        When Optuna is not installed.
    """

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        spaces.check(space)
        super().__init__(space, mode=mode, generator=generator)
        try:
            import optuna
        except ImportError as error:
            raise MissingExtra("optuna", "optuna") from error
        self._optuna = optuna
        self._sign = 1.0 if mode == "minimize" else -1.0
        self._seen = Seen(space, generator)
        self._open: dict[str, Any] = {}
        self._trial: Any = None
        self._count = 0
        with self._quiet():
            sampler = self.sampler(optuna, int(generator.integers(2**31)))
            self._study = optuna.create_study(sampler=sampler, direction="minimize")

    @abstractmethod
    def sampler(self, optuna: Any, seed: int) -> Any:
        """Return the sampler, seeded."""

    def suggest(self, count: int) -> list[Suggestion]:
        """Return ``count`` new configurations; fewer where a finite space is exhausted."""
        made: list[Suggestion] = []
        with self._quiet():
            while len(made) < count:
                config = self._seen.fresh(self._draw, tries=TRIES)
                if config is None:
                    break
                suggestion = Suggestion(f"{self.name}-{self._count}", config)
                self._open[suggestion.id] = self._running(config)
                self._count += 1
                made.append(suggestion)
            self._give_up()
        return made

    def observe(self, results: Sequence[Result]) -> None:
        """Learn from final results, in any order, of this run or of earlier ones.

        Results whose configuration lies outside the space are passed over.
        """
        with self._quiet():
            for result in results:
                if not result.final:
                    continue
                trial = self._open.pop(result.id, None)
                if spaces.contains(self.space, result.config):
                    self._seen.add([result.config])
                    self._tell(trial or self._fixed(result.config), result)

    def expect(self, suggestions: Sequence[Suggestion]) -> None:
        """Do not suggest these, and tell Optuna that they are running."""
        with self._quiet():
            for suggestion in suggestions:
                self._seen.add([suggestion.config])
                self._open[suggestion.id] = self._fixed(suggestion.config)

    def _draw(self) -> Config:
        """Ask Optuna for a configuration, and give up the one asked for before."""
        self._give_up()
        self._trial = self._study.ask()
        return self._asked(self._trial)

    def _give_up(self) -> None:
        if self._trial is not None:
            self._study.tell(self._trial, state=self._optuna.trial.TrialState.FAIL)
            self._trial = None

    def _running(self, config: Config) -> Any:
        """Return the trial of a configuration: the one last asked for, or one made for it."""
        trial, self._trial = self._trial, None
        if trial is not None and spaces.key(self._asked(trial)) == spaces.key(config):
            return trial
        self._trial = trial
        self._give_up()
        return self._fixed(config)

    def _fixed(self, config: Config) -> Any:
        values = {name: _given(self.space[name], value) for name, value in config.items()}
        self._study.enqueue_trial(values)
        trial = self._study.ask()
        self._asked(trial)
        return trial

    def _asked(self, trial: Any) -> Config:
        """Return a trial's configuration; asked again, it is the same."""
        chosen: dict[str, Scalar] = {}
        for name in spaces.order(self.space):
            if spaces.is_active(name, self.space, chosen):
                chosen[name] = _ask(trial, name, self.space[name])
        return {name: chosen[name] for name in self.space if name in chosen}

    def _tell(self, trial: Any, result: Result) -> None:
        pruned = self._optuna.trial.TrialState.PRUNED
        if result.value is None or not math.isfinite(result.value):
            self._study.tell(trial, state=pruned)
        elif result.budget is None:
            self._study.tell(trial, self._sign * float(result.value))
        else:
            trial.report(self._sign * float(result.value), step=math.ceil(result.budget))
            self._study.tell(trial, state=pruned)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Hold back Optuna's log lines and its warnings of what is experimental."""
        before = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._optuna.logging.set_verbosity(before)


@searcher("optuna-tpe")
class OptunaTpe(OptunaSearcher):
    """Optuna's tree-structured Parzen estimator, multivariate, grouped where there are conditions.

    Source: Watanabe 2023, "Tree-structured Parzen estimator: understanding its algorithm
    components and their roles for better empirical performance".
    """

    def sampler(self, optuna: Any, seed: int) -> Any:
        """Return the sampler, seeded."""
        return optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            group=any(parameter.when for parameter in self.space.values()),
            warn_independent_sampling=False,
        )


@searcher("optuna-cmaes")
class OptunaCmaEs(OptunaSearcher):
    """Optuna's CMA-ES; choices and conditional parameters are drawn at random.

    `raymm.search.cmaes` searches those too.
    """

    def sampler(self, optuna: Any, seed: int) -> Any:
        """Return the sampler, seeded."""
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


@searcher("optuna-gp")
class OptunaGaussianProcess(OptunaSearcher):
    """Optuna's Gaussian process, which needs torch besides.

    Raises
    ------
    MissingExtra
        When Optuna or torch is not installed.
    """

    def sampler(self, optuna: Any, seed: int) -> Any:
        """Return the sampler, seeded."""
        if find_spec("torch") is None:
            raise MissingExtra("torch", "deep")
        return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def _ask(trial: Any, name: str, parameter: Parameter) -> Scalar:
    if isinstance(parameter, Categorical):
        index = trial.suggest_categorical(name, tuple(range(len(parameter.choices))))
        return parameter.choices[int(index)]
    if isinstance(parameter, Int):
        return int(trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log))
    value = float(trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log))
    return min(float(parameter.high), max(float(parameter.low), value))


def _given(parameter: Parameter, value: Scalar) -> Scalar:
    """Return what Optuna calls a value."""
    if isinstance(parameter, Categorical):
        return math.floor(spaces.place(parameter, value) * len(parameter.choices))
    return value
