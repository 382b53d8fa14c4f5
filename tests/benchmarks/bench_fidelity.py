"""Multi-fidelity search at equal total epochs: BOHB, random search with ASHA, and Optuna.

Four tables of real trainings (``make_curves.py`` makes them): perceptrons on digits, on noisy
classes and on Friedman's function, boosting on diabetes. Every search is charged the epochs, or
rounds, that it adds to a trial: going on costs the difference. What counts is the configuration
that it would hand out, the best at the largest budget that it has reached, by its loss in full
training: normalised regret, 0 at the best of the table and 1 at its median.

Exits with 1 where one of these does not hold:

- on at least 3 of the 4 tables, BOHB's median regret after the epochs of 30 full trainings is at
  most that of random search with ASHA after 60;
- after 10, 20 and 60 full trainings' worth, BOHB's mean regret over the tables is at most that of
  Optuna's TPE with its Hyperband pruner, and after 60 at most that of its TPE in full.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymm.search import Categorical, Int, create

FOLDER = Path(__file__).parent / "curves"
NAMES = ("perceptron-digits", "perceptron-noisy", "perceptron-friedman", "boosting-diabetes")
WORTHS = (10, 20, 30, 60)
"""Full trainings' worth of epochs at which regret is looked at."""
SEEDS = 10


@dataclass(frozen=True)
class Table:
    """Losses of a whole grid after each budget: float32, shape (*grid, budgets)."""

    name: str
    grid: dict[str, list[Any]]
    budgets: tuple[int, ...]
    losses: np.ndarray

    @property
    def full(self) -> int:
        return self.budgets[-1]

    def spread(self) -> tuple[float, float]:
        """Return the best loss of full training, and the median of the grid's."""
        last = self.losses[..., -1]
        return float(last.min()), float(np.median(last))

    def at(self, config: dict[str, Any]) -> tuple[int, ...]:
        """Return where a configuration stands: numbers are given by their index."""
        return tuple(
            values.index(config[name]) if isinstance(values[0], str) else config[name]
            for name, values in self.grid.items()
        )

    def loss(self, place: tuple[int, ...], budget: float) -> float:
        return float(self.losses[(*place, self.budgets.index(round(budget)))])


def read(name: str) -> Table:
    with np.load(FOLDER / f"{name}.npz") as stored:
        assert int(stored["version"]) == 1
        grid = {
            k.removeprefix("grid-"): stored[k].tolist() for k in stored if k.startswith("grid-")
        }
        shape = tuple(map(len, grid.values()))
        budgets = tuple(stored["budgets"].tolist())
        return Table(name, grid, budgets, stored["losses"].reshape(*shape, len(budgets)))


class Track:
    """Counts epochs, and what a search would hand out: the best at the largest budget so far."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.spent = 0.0
        self._best = (0.0, np.inf)
        self._reached: dict[str, float] = {}
        self.marks: list[tuple[float, float]] = []

    def train(self, name: str, place: tuple[int, ...], budget: float) -> float:
        loss = self.table.loss(place, budget)
        self.spent += budget - self._reached.get(name, 0.0)
        self._reached[name] = budget
        rank = (-budget, loss)
        if rank < self._best:
            self._best = rank
            self.marks.append((self.spent, self.table.loss(place, self.table.full)))
        return loss

    def over(self) -> bool:
        return self.spent >= WORTHS[-1] * self.table.full

    def regrets(self) -> list[float]:
        """Return the normalised regret after each of `WORTHS`."""
        low, middle = self.table.spread()
        found = []
        for worth in WORTHS:
            known = [v for spent, v in self.marks if spent <= worth * self.table.full]
            found.append((known[-1] - low) / (middle - low) if known else 1.0)
        return found


def ours(table: Table, algorithm: str, seed: int) -> list[float]:
    space: dict[str, Any] = {
        name: Categorical(tuple(values)) if isinstance(values[0], str) else Int(0, len(values) - 1)
        for name, values in table.grid.items()
    }
    search = create(algorithm, space, seed=seed, mode="min", min_budget=1, max_budget=table.full)
    track = Track(table)
    while not track.over():
        made = search.suggest(1)
        if not made:
            break
        (asked,) = made
        loss = track.train(asked.id, table.at(asked.config), asked.budget)
        search.observe(asked.id, loss)
    return track.regrets()


def optunas(table: Table, pruned: bool, seed: int) -> list[float]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    track = Track(table)

    def objective(trial: Any) -> float:
        config = {
            name: trial.suggest_categorical(name, values)
            if isinstance(values[0], str)
            else trial.suggest_int(name, 0, len(values) - 1)
            for name, values in table.grid.items()
        }
        place = table.at(config)
        for budget in table.budgets if pruned else table.budgets[-1:]:
            loss = track.train(str(trial.number), place, budget)
            trial.report(loss, budget)
            if pruned and trial.should_prune():
                raise optuna.TrialPruned
            if track.over():
                break
        if track.over():
            trial.study.stop()
        return loss

    study = optuna.create_study(
        study_name="bench",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(1, table.full, 3)
        if pruned
        else optuna.pruners.NopPruner(),
    )
    study.optimize(objective)
    return track.regrets()


METHODS: dict[str, Callable[[Table, int], list[float]]] = {
    "bohb": lambda table, seed: ours(table, "bohb", seed),
    "asha": lambda table, seed: ours(table, "asha", seed),
    "hyperband": lambda table, seed: ours(table, "hyperband", seed),
    "optuna-hyperband": lambda table, seed: optunas(table, True, seed),
    "optuna-full": lambda table, seed: optunas(table, False, seed),
}


def interval(values: np.ndarray, of: Any) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic over seeds, the last axis of ``values``."""
    rng = np.random.default_rng(0)
    again = [
        of(values[..., rng.integers(values.shape[-1], size=values.shape[-1])]) for _ in range(2000)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    return float(low), float(high)


def measure() -> dict[str, np.ndarray]:
    """Run everything, print it, and return regrets, shape (tables, worths, seeds), by method."""
    regrets: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    for name in NAMES:
        table = read(name)
        print(f"\n{name}: {table.losses[..., 0].size} configurations, budgets {table.budgets}")
        print(f"{'median regret':18}" + "".join(f"{f'at {w}':>26}" for w in WORTHS))
        for method, run in METHODS.items():
            start = time.perf_counter()
            found = np.array([run(table, seed) for seed in range(SEEDS)]).T
            regrets[method].append(found)
            row = f"{method:18}"
            for values in found:
                low, high = interval(values, np.median)
                row += f"{np.median(values):10.4f} [{low:.4f}, {high:.4f}]".rjust(26)
            print(row + f"{(time.perf_counter() - start) / SEEDS:7.1f} s a run", flush=True)
    return {method: np.array(found) for method, found in regrets.items()}


def main() -> int:
    """Measure, judge, and return the exit code."""
    regrets = measure()
    half, whole = WORTHS.index(30), WORTHS.index(60)
    ahead = [
        float(np.median(mine[half])) <= float(np.median(theirs[whole]))
        for mine, theirs in zip(regrets["bohb"], regrets["asha"], strict=True)
    ]
    print(
        "\nBOHB at half the epochs of ASHA: "
        + ", ".join(
            f"{name} {'yes' if held else 'no'}" for name, held in zip(NAMES, ahead, strict=True)
        )
    )
    held = [sum(ahead) >= 3]
    for peer, worth in (
        *(("optuna-hyperband", worth) for worth in (10, 20, 60)),
        ("optuna-full", 60),
    ):
        at = WORTHS.index(worth)
        gap = regrets["bohb"][:, at] - regrets[peer][:, at]
        low, high = interval(gap, np.mean)
        held.append(float(gap.mean()) <= 0)
        print(
            f"mean regret at {worth}: BOHB {regrets['bohb'][:, at].mean():.4f}, {peer} "
            f"{regrets[peer][:, at].mean():.4f}, "
            f"difference {gap.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    print("held" if all(held) else "not held")
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(main())
