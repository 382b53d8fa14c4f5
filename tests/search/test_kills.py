"""Figure 5: drivers killed at random moments, and state files cut at random places.

`RAYMM_CHAOS` is how many of each; ``make chaos-search`` sets it to 200. A driver is a fork of this
process with a pool whose workers are in it, so that a kill costs no start of Python or of Ray.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm import plugins
from raymm.artifacts import Categorical, Config, Float, Space, Trials
from raymm.errors import RegistryError
from raymm.search.desk import Desk
from raymm.search.halving import Halving
from raymm.search.ledger import Ledger
from raymm.search.limits import Limits
from raymm.search.session import Session
from raymm.search.trial import Rung
from raymm.search.workers import Pool

KILLS = int(os.environ.get("RAYMM_CHAOS", "4"))
TRIALS = 60
SPACE: Space = {
    "kind": Categorical(["a", "b"]),
    "x": Float(-1.0, 1.0),
    "y": Float(1e-3, 1.0, log=True, when={"kind": ["b"]}),
}


class Cheap:
    """Three steps, or as many as the budget, whose last value depends on everything."""

    def __init__(self, log: Path, number: int, config: Config, budget: float | None) -> None:
        self.number, self.budget = number, budget
        self.loss = float(config["x"] or 0) ** 2 + float(config.get("y") or 0.3)
        self.count, self.end, self.log = 0, int(budget or 3), log

    def advance(self) -> Rung:
        if self.count == 0:
            with self.log.open("a") as file:
                file.write(f"{self.number} {self.budget}\n")
        self.count += 1
        time.sleep(2e-4)
        value = self.loss + 1 / self.count
        return Rung(rounds=self.count, value=value, done=self.count >= self.end)


def search(
    storage: Path, run: str, algorithm: str, here: Any, *, size: int = 1, told: int = -1
) -> Trials:
    """Search; every trial that is told to the person is written to the handle ``told``."""
    kind: Any = plugins.searchers.get(algorithm)
    budgets = {"min_budget": 1, "max_budget": 9} if kind.multi_fidelity else {}
    searcher = kind(SPACE, mode="minimize", generator=np.random.default_rng(0), **budgets)
    log = storage / f"{run}.log"
    backend = here(lambda *task: Cheap(log, *task))
    halving = None if kind.multi_fidelity else Halving("minimize", minimum=1)
    limits = Limits(metric="loss", direction="minimize", trials=TRIALS)

    def notify(progress: Any) -> None:
        if told >= 0:
            os.write(told, b"x")

    with Ledger.open(str(storage), run) as ledger, ledger.searching():
        session = Session(searcher, halving, ledger, limits=limits, notify=notify)
        desk = Desk(session, timeout=None, grace=0.0, kill=backend.kill)
        Pool(desk, backend, size=size, max_failures=2).run()
        if desk.fault is not None:
            raise desk.fault
        return session.result("trials")


def killed(storage: Path, run: str, algorithm: str, here: Any, after: float, **how: Any) -> int:
    """Search in a fork that is killed after so many seconds; return how many ends it told."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            search(storage, run, algorithm, here, told=writer, **how)
        finally:
            os._exit(0)
    os.close(writer)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told = 0
    while chunk := os.read(reader, 65536):
        told += len(chunk)
    os.close(reader)
    return told


def ends(storage: Path, run: str) -> int:
    return len(Ledger.read(str(storage), run).records("trial"))


@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_killed_drivers_lose_nothing_and_end_as_calm_ones(
    tmp_path: Path, here: Any, algorithm: str
) -> None:
    began = time.monotonic()
    calm = search(tmp_path, "calm", algorithm, here)
    seconds = time.monotonic() - began
    generator = np.random.default_rng()
    for number in range(max(1, KILLS // 2)):
        run, kills, before = f"run{number}", 0, 0
        while kills < 3:
            after = float(generator.uniform(0, seconds))
            told = killed(tmp_path, run, algorithm, here, after)
            kills += 1
            place = tmp_path / "runs" / run / "ledger.jsonl"
            kept = ends(tmp_path, run) if place.exists() else 0
            assert kept >= before + told, f"killed after {after} s: a trial that was told is lost"
            before = kept
        done = search(tmp_path, run, algorithm, here)
        # The seconds of a trial differ; all else is the same.
        assert [(t.id, t.config, t.value, t.rungs, t.status) for t in done.trials] == [
            (t.id, t.config, t.value, t.rungs, t.status) for t in calm.trials
        ]
        begun = Counter((tmp_path / f"{run}.log").read_text().splitlines())
        repeated = sum(begun.values()) - len(begun)
        assert repeated <= kills, "more was repeated than the trials that ran"


def test_with_several_workers_every_trial_ends_once(tmp_path: Path, here: Any) -> None:
    generator = np.random.default_rng()
    for number in range(max(1, KILLS // 8)):
        run = f"run{number}"
        for _ in range(2):
            killed(tmp_path, run, "random", here, float(generator.uniform(0, 0.5)), size=4)
        done = search(tmp_path, run, "random", here, size=4)
        assert [trial.number for trial in done.trials] == list(range(TRIALS))
        assert ends(tmp_path, run) == TRIALS


def recovered(storage: Path, run: str, algorithm: str, here: Any) -> Trials | None:
    """Return the search's trials, or None where the ledger is refused."""
    try:
        return search(storage, run, algorithm, here)
    except RegistryError:
        return None


@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_a_cut_file_recovers_or_is_refused_and_never_ends_with_fewer(
    tmp_path: Path, here: Any, algorithm: str
) -> None:
    calm = search(tmp_path, "calm", algorithm, here)
    home = tmp_path / "runs" / "calm"
    generator = np.random.default_rng()
    files = sorted(path for path in home.iterdir() if path.is_file())
    assert [path.name for path in files] == ["ledger.jsonl", "lock"]
    for number in range(max(2, KILLS // 4)):
        whole = files[0].read_bytes()
        other = tmp_path / "runs" / f"cut{number}"
        other.mkdir()
        offset = int(generator.integers(0, len(whole) + 1))
        for path in files:
            content = path.read_bytes()
            (other / path.name).write_bytes(content[: offset % (len(content) + 1)])
        if number % 2:
            # A hole in the middle, as a damaged disk leaves it, is refused.
            (other / files[0].name).write_bytes(whole[:offset] + whole[offset + 40 :])
        done = recovered(tmp_path, f"cut{number}", algorithm, here)
        if done is None:
            assert number % 2, "what was only cut off must not be refused"
            continue
        assert [(t.config, t.value) for t in done.trials] == [
            (t.config, t.value) for t in calm.trials
        ], f"cut at {offset}"
