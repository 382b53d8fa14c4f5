"""How far from the optimum the searchers end, against hyperopt's own ``fmin`` and random search.

Twenty seeds of sixty evaluations on published functions and on a conditional one. Prints the
median gap to the optimum and exits with 1 where our Parzen estimator's is above random search's,
or above fmin's by half, on more than one of the functions.

Sources: Branin and Rosenbrock as in Surjanovic & Bingham, Virtual Library of Simulation
Experiments; the conditional function after Bergstra et al. 2011.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymm.plugins import searchers
from raymm.search import Categorical, Float, create
from raymm.search.searcher import Searcher

SEEDS = 20
EVALUATIONS = 60
DIMENSION = 5


@dataclass(frozen=True)
class Problem:
    """A function to minimise; its optimum is 0."""

    space: Mapping[str, Any]
    loss: Callable[[Mapping[str, Any]], float]


def _vector(config: Mapping[str, Any]) -> np.ndarray:
    return np.array([config[name] for name in sorted(config)])


def sphere(config: Mapping[str, Any]) -> float:
    """Optimum off the middle of the space."""
    return float(np.sum((_vector(config) - 1.3) ** 2))


def rosenbrock(config: Mapping[str, Any]) -> float:
    """A curved valley."""
    x = _vector(config)
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def branin(config: Mapping[str, Any]) -> float:
    """Three equal optima of 0.397887."""
    a, b = config["a"], config["b"]
    valley = (b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6) ** 2
    return float(valley + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10 - 0.397887)


def conditional(config: Mapping[str, Any]) -> float:
    """Four branches with parameters of their own; the best needs the most tuning."""
    number = int(config["branch"][1:])
    offset, scale = (0.0, 4.0) if number == 0 else (0.02 * number, 1.0)
    own = np.array([config[f"x{number}{axis}"] for axis in range(3)])
    return float(offset + scale * np.sum((own - 0.2 - 0.2 * number) ** 2))


def _box(low: float, high: float) -> Mapping[str, Any]:
    return {f"x{axis}": Float(low, high) for axis in range(DIMENSION)}


BRANCHES = tuple(f"b{number}" for number in range(4))
PROBLEMS = {
    "sphere": Problem(_box(-5, 5), sphere),
    "rosenbrock": Problem(_box(-2, 2), rosenbrock),
    "branin": Problem({"a": Float(-5, 10), "b": Float(0, 15)}, branin),
    "conditional": Problem(
        {
            "branch": Categorical(BRANCHES),
            **{
                f"x{number}{axis}": Float(0, 1, when={"branch": (branch,)})
                for number, branch in enumerate(BRANCHES)
                for axis in range(3)
            },
        },
        conditional,
    ),
}


def ours(problem: Problem, seed: int, algorithm: str) -> float:
    """Return the gap after `EVALUATIONS` evaluations, one at a time."""
    search = create(algorithm, problem.space, seed=seed, mode="min")
    for _ in range(EVALUATIONS):
        (suggestion,) = search.suggest(1)
        search.observe(suggestion.id, problem.loss(suggestion.config))
    assert search.best is not None
    assert search.best.value is not None
    return search.best.value


def theirs(problem: Problem, seed: int) -> float:
    """Return the gap of hyperopt's fmin with its own settings and nested choices."""
    from hyperopt import fmin, hp, tpe

    def numbers(branch: str | None) -> dict[str, Any]:
        return {
            name: hp.uniform(name, parameter.low, parameter.high)
            for name, parameter in problem.space.items()
            if isinstance(parameter, Float) and (not branch or branch in parameter.when["branch"])
        }

    space: Any = numbers(None)
    if "branch" in problem.space:
        space = hp.choice("branch", [{"branch": b, **numbers(b)} for b in BRANCHES])
    losses: list[float] = []

    def loss(config: Mapping[str, Any]) -> float:
        losses.append(problem.loss(config))
        return losses[-1]

    fmin(
        loss,
        space,
        algo=tpe.suggest,
        max_evals=EVALUATIONS,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
    )
    return min(losses)


def main() -> int:
    """Run every problem and return the exit code."""
    assert issubclass(searchers.get("tpe"), Searcher)
    print(f"median gap after {EVALUATIONS} evaluations, {SEEDS} seeds")
    print(f"{'':12} {'tpe':>9} {'fmin':>9} {'random':>9} {'ms a suggestion':>16}")
    worse = 0
    for name, problem in PROBLEMS.items():
        start = time.perf_counter()
        model = float(np.median([ours(problem, seed, "tpe") for seed in range(SEEDS)]))
        spent = 1000 * (time.perf_counter() - start) / SEEDS / EVALUATIONS
        fmin = float(np.median([theirs(problem, seed) for seed in range(SEEDS)]))
        chance = float(np.median([ours(problem, seed, "random") for seed in range(SEEDS)]))
        worse += model > chance or model > 1.5 * fmin
        print(f"{name:12} {model:9.3g} {fmin:9.3g} {chance:9.3g} {spent:16.1f}", flush=True)
    return int(worse > 1)


if __name__ == "__main__":
    sys.exit(main())
