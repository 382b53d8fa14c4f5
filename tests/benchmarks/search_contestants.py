"""The contestants of `bench_search.py`: raymm's searchers and the field's, at their own settings.

Each is a function of a problem's space, a loss, a seed and a number of evaluations that returns
every loss in the order of evaluation, one evaluation at a time.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from raymm.search import Categorical, Float, Int, create

Space = Mapping[str, Any]
Loss = Callable[[Mapping[str, Any]], float]
Contestant = Callable[[Space, Loss, int, int], list[float]]

OURS = ("auto", "gp", "tpe", "cmaes")
CONTROL = "random"


def contestants() -> dict[str, Contestant]:
    """Return every contestant by name; those of `OURS` and `CONTROL` are raymm's."""
    made: dict[str, Contestant] = {name: _raymm(name) for name in (CONTROL, *OURS)}
    made["hyperopt"] = _hyperopt
    for name in ("default", "multivariate", "univariate"):
        made[f"optuna-{name}"] = _optuna(name)
    made["optuna-cmaes"] = _optuna("cmaes")
    return made


def _raymm(algorithm: str) -> Contestant:
    def run(space: Space, loss: Loss, seed: int, evaluations: int) -> list[float]:
        search = create(algorithm, space, seed=seed, mode="min")
        losses: list[float] = []
        for _ in range(evaluations):
            for suggestion in search.suggest(1):
                losses.append(loss(suggestion.config))
                search.observe(suggestion.id, losses[-1])
        return losses

    return run


def _optuna(kind: str) -> Contestant:
    def run(space: Space, loss: Loss, seed: int, evaluations: int) -> list[float]:
        import optuna

        optuna.logging.set_verbosity(logging.ERROR)
        losses: list[float] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler: Any = {
                "default": lambda: optuna.samplers.TPESampler(seed=seed),
                "multivariate": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=True),
                "univariate": lambda: optuna.samplers.TPESampler(seed=seed, multivariate=False),
                "cmaes": lambda: optuna.samplers.CmaEsSampler(
                    seed=seed, warn_independent_sampling=False
                ),
            }[kind]()
            study = optuna.create_study(sampler=sampler)
            for _ in range(evaluations):
                trial = study.ask()
                losses.append(loss({n: _asked(trial, n, p) for n, p in space.items()}))
                study.tell(trial, losses[-1])
        return losses

    return run


def _asked(trial: Any, name: str, parameter: Any) -> Any:
    if isinstance(parameter, Categorical):
        return trial.suggest_categorical(name, parameter.choices)
    ask = trial.suggest_int if isinstance(parameter, Int) else trial.suggest_float
    return ask(name, parameter.low, parameter.high, log=parameter.log)


def _hyperopt(space: Space, loss: Loss, seed: int, evaluations: int) -> list[float]:
    """hyperopt's ``fmin`` at its own settings."""
    from hyperopt import fmin, tpe

    losses: list[float] = []

    def noted(config: Mapping[str, Any]) -> float:
        losses.append(loss(config))
        return losses[-1]

    fmin(
        noted,
        {name: _expression(name, parameter) for name, parameter in space.items()},
        algo=tpe.suggest,
        max_evals=evaluations,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
    )
    return losses


def _expression(name: str, parameter: Any) -> Any:
    """Return hyperopt's declaration; the problems here hold plain numbers and choices only."""
    from hyperopt import hp

    if isinstance(parameter, Categorical):
        return hp.choice(name, list(parameter.choices))
    assert isinstance(parameter, Float | Int)
    assert not parameter.log
    kind = hp.uniformint if isinstance(parameter, Int) else hp.uniform
    return kind(name, parameter.low, parameter.high)
