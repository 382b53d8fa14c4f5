"""Whether what raymm says of pure noise is right: intervals that cover chance, nothing blessed.

Each of ``--runs`` tables has a target that is drawn without looking at the features. A whole life
is lived on each, ``--trials`` trials, policy, compression and proof included, in this process with
one worker. However good the best of so many trials looks on validation rows, the interval that is
told of the test rows must cover chance (an area under the curve of 0.5) in at least 94 % of runs,
and at most 5 % may be blessed; both are shown with the interval of Clopper and Pearson. Exits with
1 where either is missed. How the leaderboard's best looks is shown beside it.

    python tests/benchmarks/bench_noise.py [--runs 200] [--trials 50] [--rows 600]
        [--families linear,lightgbm] [--algorithm random] [--processes 1]

The default search is measured by ``--algorithm auto --families auto``. Every trial is trained in
full and told to the algorithm; schedulers that stop trials early have no part in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: threads do not help, and disturb

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

sys.path.insert(0, str(Path(__file__).parents[1]))

COVERED, BLESSED = 0.94, 0.05
FAMILIES = "linear,lightgbm"


def table(seed: int, rows: int) -> pd.DataFrame:
    """Make numbers and words, and a target that knows nothing of them."""
    generator = np.random.default_rng([seed, 77])
    frame = pd.DataFrame(generator.normal(size=(rows, 6)), columns=list("abcdef"))
    for name in ("city", "kind"):
        frame[name] = generator.choice(["red", "green", "blue", "grey"], rows)
    return frame.assign(y=generator.choice(["no", "yes"], rows))


class Told:
    """A ledger that tells a searcher of each trial, as the real search does."""

    def __init__(self, ledger: Any, searcher: Any) -> None:
        self._ledger, self._searcher = ledger, searcher

    def trials(self) -> Any:
        """Return the ledger's trials."""
        return self._ledger.trials()

    def append(self, kind: str, *, trial: Mapping[str, Any]) -> None:
        """Keep a trial, and let the searcher learn from it."""
        from raymm.search.searcher import Result

        self._ledger.append(kind, trial=trial)
        self._searcher.observe([Result(trial["id"], trial["config"], trial["value"])])


def search_told(
    prepared: Any, space: Any, searcher: Any, halving: Any, ledger: Any, **how: Any
) -> Any:
    """Search in this process, one trial after another."""
    from conftest import search_here

    return search_here(prepared, space, searcher, halving, Told(ledger, searcher), **how)


def live(task: tuple[int, int, int, str, str]) -> tuple[float, float, float, float, bool]:
    """Return the score, its interval, the leaderboard's best, and whether it was blessed."""
    from conftest import stand_in

    from raymm import lifecycle, searching
    from raymm.api import _configuration

    seed, trials, rows, families, algorithm = task
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        patch.setattr(searching.tune, "search", search_told)
        changes = {
            "name": "noise", "data.target": "y", "goal.metric": "roc_auc", "seed": seed,
            "search.trials": trials, "search.parallel": 1, "search.algorithm": algorithm,
            "search.families": families if families == "auto" else families.split(","),
            "storage": home,
        }  # fmt: skip
        config, made = _configuration(table(seed, rows), changes)
        run = lifecycle.run(config, table=made)
    told = run.evaluation.told
    best = run.trials.best
    return told.value, told.low, told.high, best.value if best else np.nan, run.blessing.blessed


def bounds(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share. Source: Clopper & Pearson 1934."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return float(low), float(high)


def main() -> int:
    """Print the whole; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--families", default=FAMILIES)
    parser.add_argument("--algorithm", default="random", help="as search.algorithm, such as auto")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    said = (given.trials, given.rows, given.families, given.algorithm)
    tasks = [(seed, *said) for seed in range(given.runs)]
    found = []
    with ProcessPoolExecutor(given.processes) as pool:
        for one in pool.map(live, tasks):
            found.append(one)
            if len(found) % 20 == 0:
                print(f"{len(found)} of {given.runs}", flush=True)
    score, low, high, best, blessed = np.array(found, dtype=np.float64).T
    covered = int(((low <= 0.5) & (high >= 0.5)).sum())
    passed = int(blessed.sum())
    print(f"area under the curve on test rows: mean {score.mean():.4f}; chance is 0.5")
    print(f"best of {given.trials} trials on validation rows: mean {best.mean():.4f}")
    kept = covered >= COVERED * len(found) and passed <= BLESSED * len(found)
    for name, hits, bar in (
        ("interval covers chance", covered, f"at least {COVERED:.0%}"),
        ("blessed", passed, f"at most {BLESSED:.0%}"),
    ):
        ends = bounds(hits, len(found))
        print(
            f"{name}: {hits} of {len(found)} = {hits / len(found):.1%} "
            f"[{ends[0]:.1%}, {ends[1]:.1%}] ({bar})"
        )
    print("kept" if kept else "MISSED")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
