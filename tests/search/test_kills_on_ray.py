"""Drivers of searches on Ray, killed at random moments, on a cluster that stays up.

`RAYMM_CHAOS` is how many kills. This file is also a script: ``cluster`` starts a cluster and
holds it, ``nursery`` imports what a driver needs and forks one for each line that it reads, so
that a kill costs no start of Python and none of Ray.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm import plugins
from raymm.artifacts import Categorical, Float, Space, Trial
from raymm.search.ledger import Ledger

KILLS = int(os.environ.get("RAYMM_CHAOS", "8"))
EACH = 4
TRIALS = 60
STEPS, STEP = 3, 0.005
LONGEST = 300.0
SPACE: Space = {
    "kind": Categorical(["a", "b"]),
    "x": Float(-1.0, 1.0),
    "y": Float(1e-3, 1.0, log=True, when={"kind": ["b"]}),
}


# ---------------------------------------------------------------------------------- processes


class Cheap:
    """The function that is tuned: three values, the first noted in a log."""

    def __init__(self, log: str) -> None:
        self.log = log

    def __call__(self, config: dict[str, Any]) -> Iterator[float]:
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {config['x']}\n")
        for count in range(1, STEPS + 1):
            time.sleep(STEP)
            yield config["x"] ** 2 + float(config.get("y") or 0.3) + 1 / count


def drive(address: str, task: dict[str, Any]) -> None:
    """Search, and note in a file every trial of whose end the person is told."""
    from raymm.cluster import connect
    from raymm.search.halving import Halving
    from raymm.search.tune import tune_function
    from raymm.sections import RayConfig

    storage, run = task["storage"], task["run"]
    searcher = plugins.searchers.get("random")(
        SPACE, mode="minimize", generator=np.random.default_rng(0)
    )
    told = os.open(f"{storage}/{run}.told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with connect(RayConfig(address=address)), Ledger.open(storage, run) as ledger:
        tune_function(
            Cheap(f"{storage}/{run}.log"),
            SPACE,
            searcher,
            ledger,
            metric="loss",
            mode="minimize",
            trials=TRIALS,
            seconds=None,
            parallel=task["parallel"],
            halving=Halving("minimize", minimum=1),
            notify=lambda progress: os.write(told, b"x") if progress.done else None,  # type: ignore[arg-type,return-value]
        )


def nursery(address: str) -> None:
    """Fork a driver for each task that is read; tell its process, and when asked how it ended."""
    import ray  # noqa: F401 - what is imported here is not imported by each driver

    import raymm.search.halving
    import raymm.search.tune  # noqa: F401

    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                task = json.loads(line)
                drive(address, task)
                Path(task["storage"], f"{task['run']}.over").touch()
                code = 0
            finally:
                os._exit(code)
        print(child, flush=True)
        # Until then the number is its own, even when it is over.
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def cluster() -> None:
    """Start a cluster of two CPUs, tell its address, and hold it until the input ends."""
    from raymm.cluster import connect
    from raymm.sections import RayConfig

    with connect(RayConfig(address="local"), cpus=2) as connection:
        print(connection.address, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def script(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS",)}
    process = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "RAY_AUTH_MODE": "disabled"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(120)
        process.stdout.close()


# -------------------------------------------------------------------------------------- the law


class Run:
    """One search of sixty trials, whose driver is killed again and again."""

    def __init__(self, drivers: subprocess.Popen[str], storage: Path, run: str, size: int) -> None:
        self.drivers, self.storage, self.run, self.size = drivers, storage, run, size
        self.kept: dict[int, Trial] = {}
        self.told = 0

    def _lines(self, kind: str) -> list[str]:
        path = self.storage / f"{self.run}.{kind}"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def tellings(self) -> int:
        path = self.storage / f"{self.run}.told"
        return path.stat().st_size if path.exists() else 0

    @property
    def begun(self) -> list[str]:
        """The trials that began, by their x."""
        return [line.split()[1] for line in self._lines("log") if len(line.split()) == 2]

    def _ask(self, line: str) -> int:
        assert self.drivers.stdin is not None
        assert self.drivers.stdout is not None
        self.drivers.stdin.write(line + "\n")
        self.drivers.stdin.flush()
        return int(self.drivers.stdout.readline())

    def begin(self) -> int:
        """Start a driver and return its process."""
        (self.storage / f"{self.run}.over").unlink(missing_ok=True)
        task = {"storage": str(self.storage), "run": self.run, "parallel": self.size}
        return self._ask(json.dumps(task))

    def end(self) -> int:
        """Wait for the driver and return how it ended."""
        return self._ask("")

    def kill(self, generator: np.random.Generator, started: float) -> str:
        """Kill a driver at a random moment and say when it was: "early", "middle" or "late".

        One kill of eight comes at any time from the fork on until a search usually has begun,
        the others within four trials' time after a random number of further ends.
        """
        before = len(self.begun)
        pid = self.begin()
        if generator.random() < 1 / 8:
            time.sleep(float(generator.uniform(0, started)))
        else:
            left = TRIALS - len(self.kept)
            wanted = self.tellings + int(generator.integers(max(1, left - 4)))
            end = time.monotonic() + LONGEST
            over = self.storage / f"{self.run}.over"
            while (self.tellings < wanted or len(self.begun) == before) and not over.exists():
                assert time.monotonic() < end, "the driver came to nothing"
                time.sleep(0.002)
            time.sleep(float(generator.uniform(0, 4 * STEPS * STEP)))
        os.kill(pid, signal.SIGKILL)
        killed, began = self.end() == -signal.SIGKILL, len(self.begun) > before
        self.look()
        if not killed:
            return "late"
        return "middle" if began and len(self.kept) < TRIALS else "late" if began else "early"

    def look(self) -> None:
        """The ledger loads, and holds every trial that it held and every one that was told."""
        place = self.storage / "runs" / self.run / "ledger.jsonl"
        trials = Ledger.read(str(self.storage), self.run).trials() if place.exists() else ()
        kept = {trial.number: trial for trial in trials}
        assert all(kept.get(number) == trial for number, trial in self.kept.items())
        assert len(kept) >= self.tellings, "a trial that was told is lost"
        self.kept = kept

    def finish(self) -> int:
        """Let a driver end the search; return how many trials had begun more than once."""
        self.begin()
        assert self.end() == 0
        self.look()
        assert sorted(self.kept) == list(range(TRIALS))
        assert len(Ledger.read(str(self.storage), self.run).records("trial")) == TRIALS
        return len(self.begun) - len(set(self.begun))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_killed_drivers_lose_nothing_on_ray(tmp_path: Path, say: Callable[[str], None]) -> None:
    generator = np.random.default_rng()
    moments: Counter[str] = Counter()
    repeated, began = 0, time.monotonic()
    with script("cluster") as held:
        assert held.stdout is not None
        address = held.stdout.readline().strip()
        with script("nursery", address) as drivers:
            calm = Run(drivers, tmp_path, "calm", 1)
            started = time.monotonic()
            assert calm.finish() == 0
            started = time.monotonic() - started
            runs = 0
            while moments["early"] + moments["middle"] < KILLS:
                run = Run(drivers, tmp_path, f"run{runs}", 1 + runs % 2)
                runs += 1
                for _ in range(EACH):
                    if len(run.kept) < TRIALS:
                        moments[run.kill(generator, started)] += 1
                again = run.finish()
                assert again <= EACH * run.size, "more was repeated than the trials that ran"
                repeated += again
                configs = {n: trial.config for n, trial in run.kept.items()}
                assert configs == {n: trial.config for n, trial in calm.kept.items()}
                if run.size == 1:
                    # Alone a worker gives the same values and the same early ends each time.
                    assert [(t.value, t.rungs) for t in run.kept.values()] == [
                        (t.value, t.rungs) for t in calm.kept.values()
                    ]
    kills = moments["early"] + moments["middle"]
    # Seven of eight kills wait for a trial to begin. Six standard deviations of the number that
    # does not wait are 6 sqrt(n 7/8 1/8) = 2 sqrt(n).
    assert moments["middle"] >= 7 / 8 * kills - 2 * kills**0.5
    say(
        f"on Ray: {kills} drivers killed ({moments['middle']} in the middle of a search, "
        f"{moments['early']} before its first trial; {moments['late']} more came too late), "
        f"{runs} searches of {TRIALS} trials resumed: 0 trials lost, {repeated} repeated; "
        f"{time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    {"cluster": cluster, "nursery": nursery}[sys.argv[1]](*sys.argv[2:])
