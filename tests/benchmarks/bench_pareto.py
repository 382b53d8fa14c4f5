"""Several objectives: how much of the front's hypervolume a hundred evaluations find.

Ten seeds of a hundred evaluations on two and three objectives, one problem constrained, against
random search and Optuna's NSGA-II and multi-objective TPE with their own settings. Prints the
median share of the true front's hypervolume, with its quartiles, and exits with 1 where raymm's
median is not above random search's on every problem, or its mean rank over problems and seeds is
not ahead of random search's and NSGA-II's.

The searchers for one objective that are named on the command line are measured; by default the
Gaussian process and the Parzen estimator.

Sources: Zitzler, Deb & Thiele 2000 (ZDT1, ZDT2, ZDT3), Deb et al. 2005 (DTLZ2), Binh & Korn 1997.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raymm.search import Float, pareto
from raymm.search.several import Several

SEEDS = 10
EVALUATIONS = 100
DIMENSION = 6
Values = dict[str, float]


@dataclass(frozen=True)
class Problem:
    """Functions to minimise together, the reference of the hypervolume, and the true front's."""

    space: Mapping[str, Any]
    values: Callable[[list[float]], Values]
    reference: tuple[float, ...]
    front: Callable[[], np.ndarray]
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Objectives."""
        return tuple(f"f{number}" for number in range(len(self.reference)))


def zdt(number: int) -> Callable[[list[float]], Values]:
    """ZDT1 is convex, ZDT2 concave, ZDT3 disconnected."""

    def values(x: list[float]) -> Values:
        g = 1 + 9 * sum(x[1:]) / (len(x) - 1)
        share = x[0] / g
        shapes = {
            1: 1 - np.sqrt(share),
            2: 1 - share**2,
            3: 1 - np.sqrt(share) - share * np.sin(10 * np.pi * x[0]),
        }
        return {"f0": x[0], "f1": float(g * shapes[number])}

    return values


def dtlz2(x: list[float]) -> Values:
    """A sphere's octant."""
    g = sum((one - 0.5) ** 2 for one in x[2:])
    a, b = x[0] * np.pi / 2, x[1] * np.pi / 2
    return {
        "f0": float((1 + g) * np.cos(a) * np.cos(b)),
        "f1": float((1 + g) * np.cos(a) * np.sin(b)),
        "f2": float((1 + g) * np.sin(a)),
    }


def binh_korn(x: list[float]) -> Values:
    """Two objectives, two constraints."""
    a, b = x
    return {
        "f0": 4 * a**2 + 4 * b**2,
        "f1": (a - 5) ** 2 + (b - 5) ** 2,
        "c0": (a - 5) ** 2 + b**2,
        "c1": (a - 8) ** 2 + (b + 3) ** 2,
    }


def _zdt_front(number: int) -> np.ndarray:
    values = zdt(number)
    line = [values([x] + [0.0] * (DIMENSION - 1)) for x in np.linspace(0, 1, 2001)]
    return np.array([[one["f0"], one["f1"]] for one in line])


def _sphere() -> np.ndarray:
    ends = np.linspace(0, 1, 41)
    octant = [dtlz2([a, b] + [0.5] * (DIMENSION - 2)) for a in ends for b in ends]
    return np.array([[one[f"f{k}"] for k in range(3)] for one in octant])


def _binh_korn_front() -> np.ndarray:
    """Its optimal points: x = y up to 3, then y = 3 (Deb 2001, section 7.1)."""
    line = [[t, t] for t in np.linspace(0, 3, 1001)] + [[t, 3.0] for t in np.linspace(3, 5, 1001)]
    return np.array([[binh_korn(x)["f0"], binh_korn(x)["f1"]] for x in line])


BOX = {f"x{axis}": Float(0, 1) for axis in range(DIMENSION)}
PROBLEMS = {
    "ZDT1": Problem(BOX, zdt(1), (1.1, 5.0), lambda: _zdt_front(1)),
    "ZDT2": Problem(BOX, zdt(2), (1.1, 5.0), lambda: _zdt_front(2)),
    "ZDT3": Problem(BOX, zdt(3), (1.1, 5.0), lambda: _zdt_front(3)),
    "DTLZ2": Problem(BOX, dtlz2, (1.5, 1.5, 1.5), _sphere),
    "Binh-Korn": Problem(
        {"x0": Float(0, 5), "x1": Float(0, 3)},
        binh_korn,
        (140.0, 50.0),
        _binh_korn_front,
        {"c0": (None, 25.0), "c1": (7.7, None)},
    ),
}


def ours(algorithm: str) -> Callable[[Problem, int], list[Values]]:
    """Return a loop over `Several`."""

    def loop(problem: Problem, seed: int) -> list[Values]:
        search = Several(
            problem.space,
            objectives=dict.fromkeys(problem.names, "min"),
            constraints=problem.bounds,
            algorithm=algorithm,
            seed=seed,
        )
        found = []
        for _ in range(EVALUATIONS):
            (suggestion,) = search.suggest(1)
            found.append(problem.values(list(suggestion.config.values())))
            search.observe(suggestion.id, found[-1])
        return found

    return loop


def optuna(sampler: str) -> Callable[[Problem, int], list[Values]]:
    """Return a loop over one of Optuna's samplers, told of the constraints its own way."""

    def loop(problem: Problem, seed: int) -> list[Values]:
        import optuna as peer

        peer.logging.set_verbosity(peer.logging.ERROR)
        warnings.filterwarnings("ignore", category=FutureWarning)
        found: list[Values] = []

        def broken(trial: Any) -> list[float]:
            values = found[trial.number]
            return [
                values[name] - high if high is not None else (low or 0.0) - values[name]
                for name, (low, high) in problem.bounds.items()
            ]

        def objective(trial: Any) -> tuple[float, ...]:
            x = [trial.suggest_float(n, p.low, p.high) for n, p in problem.space.items()]
            found.append(problem.values(x))
            return tuple(found[-1][name] for name in problem.names)

        constraint = {"constraints_func": broken} if problem.bounds else {}
        made = getattr(peer.samplers, sampler)(seed=seed, **constraint)
        directions = ["minimize"] * len(problem.names)
        peer.create_study(directions=directions, sampler=made).optimize(
            objective, n_trials=EVALUATIONS
        )
        return found

    return loop


def share(problem: Problem, found: list[Values]) -> float:
    """Return the hypervolume of what is allowed, as a share of the true front's."""
    allowed = [
        [values[name] for name in problem.names]
        for values in found
        if all(
            (low is None or values[name] >= low) and (high is None or values[name] <= high)
            for name, (low, high) in problem.bounds.items()
        )
    ]
    whole = pareto.hypervolume(problem.front(), problem.reference)
    return pareto.hypervolume(allowed, problem.reference) / whole


def main(algorithms: list[str]) -> int:
    """Run every problem and return the exit code."""
    contestants = {f"raymm {name}": ours(name) for name in algorithms}
    contestants |= {
        "random": ours("random"),
        "NSGA-II": optuna("NSGAIISampler"),
        "Optuna TPE": optuna("TPESampler"),
    }
    print(f"share of the true hypervolume, {EVALUATIONS} evaluations, {SEEDS} seeds")
    table: dict[str, np.ndarray] = {}
    for name, problem in PROBLEMS.items():
        rows = []
        for told, loop in contestants.items():
            start = time.perf_counter()
            rows.append([share(problem, loop(problem, seed)) for seed in range(SEEDS)])
            spent = 1000 * (time.perf_counter() - start) / SEEDS / EVALUATIONS
            low, middle, high = np.quantile(rows[-1], (0.25, 0.5, 0.75))
            print(
                f"{name:10} {told:12} {middle:.4f} ({low:.4f} to {high:.4f}) {spent:7.1f} ms",
                flush=True,
            )
        table[name] = np.array(rows)
    places = np.mean([(-rows).argsort(0).argsort(0) + 1 for rows in table.values()], axis=(0, 2))
    print(
        "mean rank: " + ", ".join(f"{n} {p:.2f}" for n, p in zip(contestants, places, strict=True))
    )
    count = len(algorithms)
    behind = [
        f"raymm {algorithm} on {name}"
        for name, rows in table.items()
        for place, algorithm in enumerate(algorithms)
        if np.median(rows[place]) <= np.median(rows[count])
    ]
    behind += [
        f"raymm {algorithm} by mean rank"
        for place, algorithm in enumerate(algorithms)
        if places[place] >= min(places[count], places[count + 1])
    ]
    print("not held: " + "; ".join(behind) if behind else "held: ahead of random and NSGA-II")
    return int(bool(behind))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["gp", "tpe"]))
