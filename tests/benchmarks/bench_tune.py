"""What the distributed layer costs a trial: ``python tests/benchmarks/bench_tune.py``.

In one run, on one cluster of two CPUs, alternating, each with worker processes of its own:

- 200 trials of no cost, against bare Ray Tune with reused actors: at most 1.1 times its time;
- 50 LightGBM fits of about 0.1 s, against joblib with two processes: at most 1.3 times;
- 8 LightGBM fits of about 5 s, against the same: at least 0.95 of its throughput;
- 10,000 trials of no cost without Ray: the last thousand costs a trial at most twice what the
  second one does, and the driver's memory grows by at most 4 kB a trial.

Median of the ratios of `ROUNDS` pairs, with the smallest and the largest; fails where a bar is
missed. A trial's ledger record is fsynced; the peers keep nothing.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from raymm.artifacts import Float
from raymm.cluster import connect
from raymm.config import RayConfig
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.random import Random
from raymm.search.session import Session
from raymm.search.trial import Rung

ROUNDS = 3
SPACE = {"x": Float(-1.0, 1.0)}


def empty(config: Mapping[str, Any]) -> float:
    """Cost nothing."""
    return float(config["x"]) ** 2


class Fit:
    """A LightGBM fit of about so many seconds on one thread, as calibrated here."""

    def __init__(self, seconds: float) -> None:
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(4000, 10)).astype(np.float32)
        self.y = (self.x[:, 0] * self.x[:, 1] + generator.normal(size=4000) > 0).astype(int)
        self.rounds = 50
        self({"x": 0.0})
        began = time.process_time()
        self({"x": 0.0})
        self.rounds = max(1, round(50 * seconds / (time.process_time() - began)))

    def __call__(self, config: Mapping[str, Any]) -> float:
        """Train, and return a score."""
        import lightgbm

        parameters = {
            "objective": "binary",
            "num_threads": 1,
            "verbosity": -1,
            "learning_rate": 0.05 + 0.01 * float(config["x"]),
        }
        data = lightgbm.Dataset(self.x, self.y)
        booster = lightgbm.train(parameters, data, num_boost_round=self.rounds)
        return float(np.mean((booster.predict(self.x[:500]) > 0.5) == self.y[:500]))


def by_raymm(function: Callable[..., Any], count: int) -> None:
    """Search with raymm."""
    from raymm.search.tune import tune_function

    searcher = Random(SPACE, mode="minimize", generator=np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as storage, Ledger.open(storage, "bench") as ledger:
        done = tune_function(
            function,
            SPACE,
            searcher,
            ledger,
            metric="loss",
            mode="minimize",
            trials=count,
            seconds=None,
            parallel=2,
        )
    assert len(done.leaderboard) == count


def by_tune(function: Callable[..., Any], count: int) -> None:
    """Search with Ray Tune alone: a class trainable and reused actors."""
    from ray import tune

    class Trial(tune.Trainable):
        def step(self) -> dict[str, Any]:
            return {"loss": function(self.config), "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            return None

        def load_checkpoint(self, checkpoint: Any) -> None:
            return None

    with tempfile.TemporaryDirectory() as storage:
        results = tune.Tuner(
            tune.with_resources(Trial, {"cpu": 1}),
            param_space={"x": tune.uniform(-1.0, 1.0)},
            tune_config=tune.TuneConfig(
                num_samples=count, metric="loss", mode="min", reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=storage, verbose=0),
        ).fit()
    assert len(results) == count


def by_joblib(function: Callable[..., Any], count: int) -> None:
    """Call the function on random points with joblib's two processes."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    points = np.random.default_rng(0).uniform(-1.0, 1.0, count)
    values = Parallel(n_jobs=2)(delayed(function)({"x": float(x)}) for x in points)
    get_reusable_executor().shutdown(wait=True)
    assert len(values) == count


def compare(
    name: str, ours: Callable[[], None], theirs: Callable[[], None], bar: float
) -> tuple[str, bool]:
    """Return a line with the ratio of our time to theirs, and whether the bar is kept."""
    took: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        took.append((middle - began, time.perf_counter() - middle))
    ratios = [one / other for one, other in took]
    ratio = statistics.median(ratios)
    shown = [statistics.median(column) for column in zip(*took, strict=True)]
    line = (
        f"{name:44s} {shown[0]:6.2f} s  {shown[1]:6.2f} s  {ratio:5.2f} "
        f"[{min(ratios):.2f}, {max(ratios):.2f}]  at most {bar:.2f}"
    )
    return line, ratio <= bar


def grow(count: int = 10_000, step: int = 1000) -> tuple[str, bool]:
    """Return what a trial costs and how memory grows over many trials of no cost."""
    costs, sizes = [], []
    searcher = Random(SPACE, mode="minimize", generator=np.random.default_rng(0))
    limits = Limits(metric="loss", direction="minimize", trials=count)
    with tempfile.TemporaryDirectory() as storage, Ledger.open(storage, "bench") as ledger:
        session = Session(searcher, None, ledger, limits=limits)
        while session.done < count:
            began = time.process_time()
            for _ in range(step):
                opened = session.next()
                assert opened is not None
                value = empty(opened.suggestion.config)
                session.rung(opened.number, Rung(rounds=1, value=value, done=True))
                session.end(opened.number, "finished")
            costs.append((time.process_time() - began) / step)
            sizes.append(resident())
        began = time.process_time()
        Session(
            Random(SPACE, mode="minimize", generator=searcher.generator),
            None,
            ledger,
            limits=limits,
        )
        replayed = (time.process_time() - began) / count
    each = (sizes[-1] - sizes[1]) / (count - 2 * step)
    line = (
        f"{count:,} trials of no cost: a trial {1000 * costs[1]:.2f} ms, then "
        f"{1000 * costs[-1]:.2f} ms of CPU; {each / 1000:.1f} kB a trial; replaying one "
        f"{1000 * replayed:.2f} ms"
    )
    return line, costs[-1] <= 2 * costs[1] and each <= 4000


def resident() -> int:
    """Return this process's memory in bytes."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def main() -> int:
    """Print a line a bar; return 0 where all are kept."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    lines = [grow()]
    print(lines[0][0], flush=True)
    short, long = Fit(0.1), Fit(5.0)
    print(f"{'':44s} {'raymm':>8s}  {'peer':>8s}  ratio [least, most]")
    with connect(RayConfig(address="local"), cpus=2):
        # Whoever comes first would pay for the imports of the driver.
        by_raymm(empty, 2)
        by_tune(empty, 2)
        pairs: list[tuple[str, Callable[..., Any], int, Callable[..., Any], float]] = [
            ("200 trials of no cost, against Tune", empty, 200, by_tune, 1.1),
            ("50 fits of 0.1 s, against joblib", short, 50, by_joblib, 1.3),
            ("8 fits of 5 s, against joblib", long, 8, by_joblib, 1 / 0.95),
        ]
        for name, function, count, peer, bar in pairs:
            line = compare(
                name,
                lambda function=function, count=count: by_raymm(function, count),  # type: ignore[misc]
                lambda function=function, count=count, peer=peer: peer(function, count),  # type: ignore[misc]
                bar,
            )
            print(line[0], flush=True)
            lines.append(line)
    return int(not all(kept for _, kept in lines))


if __name__ == "__main__":
    sys.exit(main())
