"""What the distributed layer costs a trial: ``python tests/benchmarks/bench_tune.py``.

In one run, on one cluster of two CPUs, alternating who goes first, each with worker processes of
its own:

- 200 trials of no cost, against bare Ray Tune with reused actors: at most 1.1 times its time;
- 50 LightGBM fits of about 0.1 s, against joblib with two processes: at most 1.3 times;
- 8 LightGBM fits of about 5 s, against the same: at least 0.95 of its throughput.

Median of the ratios of `ROUNDS` pairs, with the smallest and the largest. A trial's ledger record
is fsynced; the peers keep nothing.

Then 10,000 trials of no cost, without Ray by ``random``, ``tpe`` and ``auto``, and on the workers
by ``random``. The processor time of the driver for the last thousand trials is at most twice that
for the second thousand ("flat"), and of the memory that it grows by a trial what the searcher
keeps is the larger part: at most `LEAST` bytes for ``random``, which remembers what it suggested,
and `MODELS` for those that model configurations and values.

Fails where a bar is missed. ``--only pairs`` or ``--only growth`` runs one half, and then says
that the other was not judged and exits with 3.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from raymm import plugins
from raymm.artifacts import Float, Progress
from raymm.cluster import connect
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.random import Random
from raymm.search.session import Session
from raymm.search.trial import Rung
from raymm.sections import RayConfig

ROUNDS = 4
SPACE = {"x": Float(-1.0, 1.0)}
PLANE = {**SPACE, "y": Float(-1.0, 1.0)}
COUNT, STEP = 10_000, 1000
LEAST, MODELS = 1000, 6000
HALF = 3


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


def by_raymm(
    function: Callable[..., Any], count: int, notify: Callable[[Progress], None] | None = None
) -> None:
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
            notify=notify,
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
    for number in range(ROUNDS):
        first, second = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        began = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        pair = (middle - began, time.perf_counter() - middle)
        took.append(pair if number % 2 == 0 else (pair[1], pair[0]))
    ratios = [one / other for one, other in took]
    ratio = statistics.median(ratios)
    shown = [statistics.median(column) for column in zip(*took, strict=True)]
    line = (
        f"{name:44s} {shown[0]:6.2f} s  {shown[1]:6.2f} s  {ratio:5.2f} "
        f"[{min(ratios):.2f}, {max(ratios):.2f}]  at most {bar:.2f}"
    )
    return line, ratio <= bar


class Growth:
    """The driver's processor time and memory after each thousand trials."""

    def __init__(self) -> None:
        self.times, self.sizes = [time.process_time()], [resident()]

    def note(self, done: int) -> None:
        """Take in that so many trials have ended."""
        if done % STEP == 0 and done // STEP == len(self.times):
            self.times.append(time.process_time())
            self.sizes.append(resident())

    def line(self, name: str, bytes_allowed: int) -> tuple[str, bool]:
        """Return a line, and whether the bars are kept."""
        costs = np.diff(self.times) / STEP
        # The first two thousand are left out: they load what is needed.
        each = (self.sizes[-1] - self.sizes[2]) / (COUNT - 2 * STEP)
        kept = bool(costs[-1] <= 2 * costs[1] and each <= bytes_allowed)
        return (
            f"{'kept' if kept else 'MISSED'}: {COUNT:,} trials of no cost {name}: a trial "
            f"{1000 * costs[1]:.2f} ms, then {1000 * costs[-1]:.2f} ms of CPU; "
            f"{each / 1000:.2f} kB a trial (at most {bytes_allowed / 1000:g})"
        ), kept


def grow(algorithm: str, bytes_allowed: int) -> tuple[str, bool]:
    """Return what a trial costs and how memory grows over many trials, without workers."""
    space = SPACE if algorithm == "random" else PLANE
    kind = plugins.searchers.get(algorithm)
    searcher = kind(space, mode="minimize", generator=np.random.default_rng(0))
    limits = Limits(metric="loss", direction="minimize", trials=COUNT)
    with tempfile.TemporaryDirectory() as storage, Ledger.open(storage, "bench") as ledger:
        session, growth = Session(searcher, None, ledger, limits=limits), Growth()
        while (opened := session.next()) is not None:
            value = sum(float(x) ** 2 for x in opened.suggestion.config.values())  # type: ignore[arg-type]
            session.rung(opened.number, Rung(rounds=1, value=value, done=True))
            session.end(opened.number, "finished")
            growth.note(session.done)
    return growth.line(f"by {algorithm}", bytes_allowed)


def grow_on_workers() -> tuple[str, bool]:
    """Return the same of a whole search on Ray's workers."""
    growth = Growth()
    by_raymm(empty, COUNT, lambda progress: growth.note(progress.done))
    return growth.line("by random, on two workers", LEAST)


def resident() -> int:
    """Return this process's memory in bytes."""
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def pairs() -> list[bool]:
    """Compare with the peers, print a line each, and return whether the bars are kept."""
    short, long = Fit(0.1), Fit(5.0)
    print(f"{'':44s} {'raymm':>8s}  {'peer':>8s}  ratio [least, most]")
    # Whoever comes first would pay for the imports of the driver.
    by_raymm(empty, 2)
    by_tune(empty, 2)
    kept = []
    known: list[tuple[str, Callable[..., Any], int, Callable[..., Any], float]] = [
        ("200 trials of no cost, against Tune", empty, 200, by_tune, 1.1),
        ("50 fits of 0.1 s, against joblib", short, 50, by_joblib, 1.3),
        ("8 fits of 5 s, against joblib", long, 8, by_joblib, 1 / 0.95),
    ]
    for name, function, count, peer, bar in known:
        line, good = compare(
            name,
            lambda function=function, count=count: by_raymm(function, count),  # type: ignore[misc]
            lambda function=function, count=count, peer=peer: peer(function, count),  # type: ignore[misc]
            bar,
        )
        print(f"{'kept' if good else 'MISSED'}: {line}", flush=True)
        kept.append(good)
    return kept


def growths() -> list[bool]:
    """Print a line for each search of ten thousand; return whether the bars are kept."""
    kept = []
    line, good = grow_on_workers()
    print(line, flush=True)
    kept.append(good)
    for algorithm in ("random", "tpe", "auto"):
        line, good = grow(algorithm, LEAST if algorithm == "random" else MODELS)
        print(line, flush=True)
        kept.append(good)
    return kept


def main() -> int:
    """Print a line a bar; return 0 where all are kept, `HALF` where some were not judged."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=("pairs", "growth"))
    only = parser.parse_args().only
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    kept: list[bool] = []
    with connect(RayConfig(address="local"), cpus=2):
        if only != "growth":
            kept += pairs()
        if only != "pairs":
            kept += growths()
    if only and all(kept):
        print(f"not judged: all but {only}")
        return HALF
    return int(not all(kept))


if __name__ == "__main__":
    sys.exit(main())
