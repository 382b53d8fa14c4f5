"""The Gaussian process against Optuna's Parzen estimator, and what a suggestion costs.

Twenty instances of five functions of BBOB in 5 dimensions, 60 evaluations each. Prints the median
gap to the optimum with the quartiles, and the processor time of asking and telling with 100 and
1,000 observations: the mean and the longest of sixty, among them those that fit the
hyperparameters anew, the first of all included, each the least of three repeats of the same work.
Exits with 1 where Optuna's estimator, univariate
or multivariate, is ahead on more than one function, or where the longest takes more than 50 ms or
200 ms.

Needs the extra ``bench``. Source of the functions: Hansen et al. 2009, "Real-parameter black-box
optimization benchmarking 2009: noiseless functions definitions".
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from raymm.plugins import searchers
from raymm.search import Float, create
from raymm.search.searcher import Result

SEEDS = 20
EVALUATIONS = 60
DIMENSION = 5
FUNCTIONS = {"sphere": 1, "Rosenbrock": 8, "ellipsoid": 10, "Rastrigin": 15, "Gallagher": 21}
LIMITS = {100: 50.0, 1000: 200.0}
"""Milliseconds to ask and tell, by observations."""
ASKED = 60
REPEATS = 3


def problem(function: int, instance: int) -> Any:
    """Return a function of BBOB on [-5, 5] to the power of `DIMENSION`."""
    import ioh

    return ioh.get_problem(function, instance, DIMENSION, ioh.ProblemClass.BBOB)


def ours(function: int, seed: int) -> float:
    """Return the Gaussian process's gap."""
    loss = problem(function, seed + 1)
    search = create("gp", _box(DIMENSION), seed=seed, mode="min")
    for _ in range(EVALUATIONS):
        (suggestion,) = search.suggest(1)
        search.observe(suggestion.id, float(loss([*suggestion.config.values()])))
    assert search.best is not None
    assert search.best.value is not None
    return search.best.value - float(loss.optimum.y)


def optuna(function: int, seed: int, *, multivariate: bool) -> float:
    """Return the gap of Optuna's Parzen estimator."""
    import optuna as library

    library.logging.set_verbosity(library.logging.ERROR)
    loss = problem(function, seed + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = library.samplers.TPESampler(seed=seed, multivariate=multivariate)
    study = library.create_study(sampler=sampler)
    study.optimize(
        lambda trial: float(loss([trial.suggest_float(f"x{n}", -5, 5) for n in range(DIMENSION)])),
        n_trials=EVALUATIONS,
    )
    return float(study.best_value) - float(loss.optimum.y)


def milliseconds(observations: int, dimension: int) -> list[float]:
    """Return the processor time of asking and telling, of each of `ASKED` suggestions.

    The same suggestions are asked for `REPEATS` times, and the least counts: what else the
    machine does makes the same work take longer.
    """
    repeats = [_milliseconds(observations, dimension) for _ in range(REPEATS)]
    return [min(times) for times in zip(*repeats, strict=True)]


def _milliseconds(observations: int, dimension: int) -> list[float]:
    """Return `milliseconds` of one repeat.

    A searcher of its own takes the time of loading scipy; the first suggestion of the one that is
    measured fits the hyperparameters to all that it was told, and later ones do on schedule.
    """
    for count in (20, observations):
        searcher = _told(count, dimension)
        spent = []
        for _ in range(ASKED):
            start = time.process_time()
            (made,) = searcher.suggest(1)
            value = float(np.sum(np.square([*made.config.values()])))
            searcher.observe([Result(made.id, made.config, value)])
            spent.append(1000 * (time.process_time() - start))
    return spent


def _told(observations: int, dimension: int) -> Any:
    rng = np.random.default_rng(0)
    kind = searchers.get("gp")
    searcher = kind(_box(dimension), mode="minimize", generator=np.random.default_rng(0))
    points = rng.uniform(-5, 5, (observations, dimension)).tolist()
    searcher.observe(
        [Result(f"o{n}", _config(p), float(np.sum(np.square(p)))) for n, p in enumerate(points)]
    )
    return searcher


def _box(dimension: int) -> dict[str, Float]:
    return {f"x{axis}": Float(-5, 5) for axis in range(dimension)}


def _config(point: list[float]) -> dict[str, float]:
    return {f"x{axis}": value for axis, value in enumerate(point)}


def _row(name: str, algorithm: str, gap: Callable[[int], float]) -> float:
    gaps = [gap(seed) for seed in range(SEEDS)]
    low, middle, high = np.quantile(gaps, (0.25, 0.5, 0.75))
    print(f"{name:12} {algorithm:24} {middle:10.3g}  [{low:.3g}, {high:.3g}]", flush=True)
    return float(middle)


def main() -> int:
    """Run everything and return the exit code."""
    print(f"median gap [quartiles], {DIMENSION} dimensions, {EVALUATIONS} evaluations")
    behind = 0
    for name, function in FUNCTIONS.items():
        gap = _row(name, "gp", lambda seed, f=function: ours(f, seed))  # type: ignore[misc]
        peers = [
            _row(
                name,
                f"optuna, {'multi' if joint else 'uni'}variate",
                lambda seed, f=function, j=joint: optuna(f, seed, multivariate=j),  # type: ignore[misc]
            )
            for joint in (True, False)
        ]
        behind += gap >= min(peers)
    slow = 0
    for observations, limit in LIMITS.items():
        for dimension in (5, 10):
            spent = milliseconds(observations, dimension)
            slow += max(spent) > limit
            print(
                f"{observations} observations, {dimension} dimensions: {np.mean(spent):.0f} ms, "
                f"the longest {max(spent):.0f}, the first {spent[0]:.0f} (at most {limit:.0f})"
            )
    print(f"ahead on {len(FUNCTIONS) - behind} of {len(FUNCTIONS)} functions")
    return int(behind > 1 or slow > 0)


if __name__ == "__main__":
    sys.exit(main())
