"""How near the optimum raymm's searchers come, against the field's, in one run.

Twelve BBOB functions in 5 and in 10 dimensions and the tables of HPOBench and HPOLib, after 60
and after 200 evaluations, the contestants alternating on each problem and seed. The regret is
the best loss found less the optimum. On each problem and budget the contestants are ranked seed
by seed, and the regret is divided by random search's median ("regret"; "log" is the mean base-10
logarithm of the same, held at -6); where that median is 0 the ranks alone count. The means over
problems are shown with 95 % intervals of a bootstrap over the seeds.

Half the tables declare each list of numbers by the places in its order, to every contestant. In
the other half, marked with a star, every parameter is a choice. By default (``--told nobody``)
their choices are shuffled words, in which nobody can read an order; ``everyone`` declares the
places there too; ``ours`` gives choices among numbers, whose order ``auto`` reads by itself and
the peers, who would need another declaration for it, do not.

Judged are, at each budget, whether the mean rank of ``auto`` is ahead of every peer's and its
mean regret at most 0.7 of the best peer's, over all problems, all contestants and at least 10
seeds; and whether ``gp`` beats Optuna's TPE after 60 evaluations on four of the five functions
that its issue names (medians, 5 dimensions). Exits with 0 where all is kept, 1 where anything is
missed, and 3 where nothing is missed but the options left out something of this: then it says
what was not judged.

Options: ``--seeds N`` (10), ``--only TEXT`` (problems and groups whose name holds it, commas for
several), ``--contestants A,B``, ``--processes N`` (1), ``--told nobody|everyone|ours``,
``--quick`` (3 seeds, every third problem, no hyperopt).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: threads do not help, and disturb

import numpy as np
import numpy.typing as npt
from search_contestants import CONTROL, OURS, contestants
from search_problems import Problem, Told, problems

BUDGETS = (60, 200)
SEEDS = 10
HALF = 3
BAR = 0.7
FLOOR = 1e-6
GP_FUNCTIONS = ("sphere-5", "rosenbrock-5", "ellipsoid-5", "rastrigin-5", "gallagher-5")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """One contestant on one problem with one seed."""

    problem: str
    seed: int
    contestant: str
    regrets: tuple[float, ...]
    seconds: float


def attempt(task: tuple[str, int, Sequence[str], Told]) -> list[Run]:
    """Run the contestants after each other on one problem and seed."""
    name, seed, names, told = task
    problem = next(p for p in problems(told) if p.name == name)
    known = contestants()
    runs = []
    for contestant in names:
        loss, optimum = problem.instance(seed)
        start = time.perf_counter()
        losses = known[contestant](problem.space, loss, seed, max(BUDGETS))
        seconds = time.perf_counter() - start
        regrets = tuple(min(losses[:budget]) - optimum for budget in BUDGETS)
        runs.append(Run(name, seed, contestant, regrets, seconds))
    return runs


def chosen(arguments: argparse.Namespace) -> list[Problem]:
    """Return the problems that the options leave."""
    words = arguments.only.split(",") if arguments.only else [""]
    known = problems(arguments.told)
    found = [p for p in known if any(word in p.name or word in p.group for word in words)]
    return found[::3] if arguments.quick else found


def collect(arguments: argparse.Namespace, left: Sequence[Problem]) -> list[Run]:
    """Run everything, the seeds in turn, and say how far it is."""
    names = arguments.contestants.split(",") if arguments.contestants else list(contestants())
    # Every regret is told as a share of the control's.
    names = list(dict.fromkeys([CONTROL, *names]))
    if arguments.quick:
        names = [name for name in names if name != "hyperopt"]
    seeds = min(arguments.seeds, 3) if arguments.quick else arguments.seeds
    told = arguments.told
    tasks = [(problem.name, seed, names, told) for problem in left for seed in range(seeds)]
    runs: list[Run] = []
    start = time.perf_counter()
    for number, made in enumerate(_mapped(tasks, arguments.processes), start=1):
        runs += made
        if number % seeds == 0:
            spent = (time.perf_counter() - start) / 60
            print(f"{number} of {len(tasks)} in {spent:.1f} min: {made[0].problem}", flush=True)
    return runs


def _mapped(tasks: Sequence[Any], processes: int) -> Iterable[list[Run]]:
    if processes == 1:
        yield from map(attempt, tasks)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(attempt, tasks)


@dataclass(frozen=True)
class Score:
    """Regrets of some problems: float64, shape (problems, seeds, contestants)."""

    contestants: tuple[str, ...]
    regrets: Array

    @classmethod
    def of(cls, runs: Sequence[Run], left: Sequence[Problem], budget: int) -> Score:
        """Gather the runs on the problems that are left."""
        names = tuple(dict.fromkeys(run.contestant for run in runs))
        seeds = max(run.seed for run in runs) + 1
        at = {(r.problem, r.seed, r.contestant): r.regrets[BUDGETS.index(budget)] for r in runs}
        rows = [[[at[p.name, s, n] for n in names] for s in range(seeds)] for p in left]
        return cls(names, np.maximum(np.array(rows), 0.0))

    def means(self, seeds: npt.NDArray[np.intp] | None = None) -> tuple[Array, Array, Array]:
        """Return the mean rank, regret and log regret of each contestant, shapes (contestants,)."""
        regrets = self.regrets if seeds is None else self.regrets[:, seeds]
        better = (regrets[..., None] > regrets[..., None, :]).sum(axis=-1)
        equal = (regrets[..., None] == regrets[..., None, :]).sum(axis=-1)
        ranks = better + (equal + 1) / 2
        ratios = regrets / self.yardstick()
        logs = np.log10(np.maximum(ratios, FLOOR))
        return (
            ranks.mean(axis=(0, 1)),
            np.nanmean(ratios, axis=(0, 1)),
            np.nanmean(logs, axis=(0, 1)),
        )

    def intervals(self) -> Array:
        """Return 95 % intervals of `means`, shape (2, 3, contestants)."""
        generator = np.random.default_rng(0)
        count = self.regrets.shape[1]
        drawn = [self.means(generator.integers(count, size=count)) for _ in range(1000)]
        return np.quantile(np.array(drawn), (0.025, 0.975), axis=0)

    def yardstick(self) -> Array:
        """Return random search's median on each problem, shape (problems, 1, 1).

        NaN where it is 0: such a problem has ranks, but no regret to compare.
        """
        median = np.median(self.regrets[..., self.contestants.index(CONTROL)], axis=1)
        return np.where(median > 0, median, np.nan)[:, None, None]


def show(score: Score, title: str) -> None:
    """Print one table, best mean regret first."""
    ranks, regrets, logs = score.means()
    low, high = score.intervals()
    print(f"\n{title}: {score.regrets.shape[0]} problems, {score.regrets.shape[1]} seeds")
    print(f"{'':20} {'rank':>18} {'regret':>22} {'log':>22}")
    for index in np.argsort(regrets, kind="stable"):
        cells = [
            f"{value[index]:6.{digits}f} [{least[index]:.{digits}f}, {most[index]:.{digits}f}]"
            for value, least, most, digits in zip(
                (ranks, regrets, logs), low, high, (2, 3, 2), strict=True
            )
        ]
        print(f"{score.contestants[index]:20} {cells[0]:>18} {cells[1]:>22} {cells[2]:>22}")


def show_problems(score: Score, left: Sequence[Problem], budget: int) -> None:
    """Print the mean regret, as a share of random search's median, problem by problem."""
    ratios = (score.regrets / score.yardstick()).mean(axis=1)
    print(f"\nregret after {budget}, problem by problem")
    print(f"{'':27} " + " ".join(f"{name[:12]:>12}" for name in score.contestants))
    for problem, row in zip(left, ratios, strict=True):
        print(f"{problem.name:27} " + " ".join(f"{value:12.3f}" for value in row))


def ahead(score: Score, budget: int) -> bool:
    """Say whether ``auto`` keeps the bar."""
    ranks, regrets, _ = score.means()
    peers = [i for i, name in enumerate(score.contestants) if name not in OURS]
    own = score.contestants.index("auto")
    rank, regret = min(ranks[peers]), min(regrets[peers])
    kept = bool(ranks[own] < rank and regrets[own] <= BAR * regret)
    print(
        f"{'kept' if kept else 'MISSED'}: after {budget}, auto's rank is {ranks[own]:.2f} (best "
        f"peer {rank:.2f}), its regret {regrets[own] / regret:.2f} of the best peer's"
    )
    return kept


def gp_ahead(runs: Sequence[Run]) -> bool:
    """Say whether ``gp`` beats Optuna's TPE after 60 evaluations on four functions of five."""

    def median(problem: str, contestant: str) -> float:
        found = [r.regrets[0] for r in runs if (r.problem, r.contestant) == (problem, contestant)]
        return float(np.median(found)) if found else float("nan")

    won = [p for p in GP_FUNCTIONS if median(p, "gp") < median(p, "optuna-default")]
    kept = len(won) >= 4
    print(f"{'kept' if kept else 'MISSED'}: gp beats Optuna's TPE after 60 on {', '.join(won)}")
    return kept


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", default="")
    parser.add_argument("--contestants", default="")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--told", choices=("nobody", "everyone", "ours"), default="nobody")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def left_out(runs: Sequence[Run], arguments: argparse.Namespace) -> list[str]:
    """Say what of the judgement the options left out."""
    parts = {
        "problems": ({run.problem for run in runs}, len(list(problems(arguments.told)))),
        "contestants": ({run.contestant for run in runs}, len(contestants())),
        "seeds": ({run.seed for run in runs}, SEEDS),
    }
    return [
        f"{len(there)} of {count} {name}"
        for name, (there, count) in parts.items()
        if len(there) < count
    ]


def main() -> int:
    """Run, print, and return the exit code."""
    arguments = options()
    left = chosen(arguments)
    runs = collect(arguments, left)
    kept = []
    for budget in BUDGETS:
        for group in dict.fromkeys(problem.group for problem in left):
            members = [problem for problem in left if problem.group == group]
            show(Score.of(runs, members, budget), f"{group} after {budget}")
        score = Score.of(runs, left, budget)
        show(score, f"all after {budget}")
        show_problems(score, left, budget)
        if "auto" in score.contestants and set(score.contestants) - {*OURS, CONTROL}:
            kept.append(ahead(score, budget))
    at = {(run.problem, run.contestant) for run in runs}
    if all((p, c) in at for p in GP_FUNCTIONS for c in ("gp", "optuna-default")):
        kept.append(gp_ahead(runs))
    print("\nmilliseconds an evaluation: " + ", ".join(_costs(runs)))
    out = left_out(runs, arguments)
    if out:
        print(f"not judged: this was run on {', '.join(out)}")
    if not all(kept):
        return 1
    return HALF if out else 0


def _costs(runs: Sequence[Run]) -> Iterable[str]:
    for name in dict.fromkeys(run.contestant for run in runs):
        spent = float(np.mean([run.seconds for run in runs if run.contestant == name]))
        yield f"{name} {1000 * spent / max(BUDGETS):.1f}"


if __name__ == "__main__":
    sys.exit(main())
