"""Drivers killed at random moments, and state files cut at random places.

`RAYMM_CHAOS` is how many kills; ``make chaos-search`` sets it to 200. A driver is a fork of this
process with a pool whose workers are in it, so that a kill costs no start of Python or of Ray;
`test_kills_on_ray` kills drivers whose workers are Ray's.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
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


def begun(storage: Path, run: str) -> Counter[str]:
    """Return how often each trial (and budget) has begun."""
    log = storage / f"{run}.log"
    return Counter(log.read_text().splitlines() if log.exists() else ())


def ended(storage: Path, run: str) -> int:
    """Return how many ends the ledger holds; it must be readable at any moment."""
    place = storage / "runs" / run / "ledger.jsonl"
    return len(Ledger.read(str(storage), run).records("trial")) if place.exists() else 0


def _over(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def killed(
    storage: Path, run: str, algorithm: str, here: Any, *, calm: float, size: int = 1
) -> tuple[str, int]:
    """Search in a fork that is killed at a random moment.

    ``calm`` is how long the whole search takes undisturbed. One kill of eight comes at any time
    from the fork on, the others within two trials' time after a random number of further ends.

    Returns
    -------
    str, int
        "early" before a trial of this session began, "late" when the search was over, else
        "middle"; and how many ends the driver told.
    """
    generator = np.random.default_rng()
    left = max(1, TRIALS - ended(storage, run))
    before = sum(begun(storage, run).values())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            search(storage, run, algorithm, here, told=writer, size=size)
        finally:
            os._exit(0)
    os.close(writer)
    told = 0
    if generator.random() < 1 / 8:
        time.sleep(float(generator.uniform(0, calm * left / TRIALS)))
    else:
        wanted = int(generator.integers(max(1, left - 4)))
        while told < wanted and (chunk := os.read(reader, wanted - told)):
            told += len(chunk)
        while sum(begun(storage, run).values()) == before and not _over(child):
            time.sleep(1e-3)
        time.sleep(float(generator.uniform(0, 2 * calm / TRIALS)))
    over, _ = os.waitpid(child, os.WNOHANG)
    if not over:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    while chunk := os.read(reader, 65536):
        told += len(chunk)
    os.close(reader)
    if over:
        return "late", told
    return ("middle" if sum(begun(storage, run).values()) > before else "early"), told


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_killed_drivers_lose_nothing_and_end_as_calm_ones(
    tmp_path: Path, here: Any, algorithm: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    calm = search(tmp_path, "calm", algorithm, here)
    seconds = time.monotonic() - began
    moments: Counter[str] = Counter()
    repeated, runs, wanted = 0, 0, max(4, KILLS // 2)
    while moments["early"] + moments["middle"] < wanted:
        run, runs = f"run{runs}", runs + 1
        for _ in range(4):
            before = ended(tmp_path, run)
            if before == TRIALS:
                break
            moment, told = killed(tmp_path, run, algorithm, here, calm=seconds)
            moments[moment] += 1
            assert ended(tmp_path, run) >= before + told, "a trial that was told is lost"
        done = search(tmp_path, run, algorithm, here)
        # The seconds of a trial differ; all else is the same.
        assert [(t.id, t.config, t.value, t.rungs, t.status) for t in done.trials] == [
            (t.id, t.config, t.value, t.rungs, t.status) for t in calm.trials
        ]
        count = begun(tmp_path, run)
        assert sum(count.values()) - len(count) <= 4, "more was repeated than the trials that ran"
        repeated += sum(count.values()) - len(count)
    kills = moments["early"] + moments["middle"]
    # Seven of eight kills wait for a trial to begin. Six standard deviations of the number that
    # does not wait are 6 sqrt(n 7/8 1/8) = 2 sqrt(n).
    assert moments["middle"] >= 7 / 8 * kills - 2 * kills**0.5
    say(
        f"{algorithm}: {kills} drivers killed ({moments['middle']} in the middle of a search, "
        f"{moments['early']} before its first trial; {moments['late']} more came too late), "
        f"{runs} searches of {TRIALS} trials resumed: 0 trials lost, {repeated} repeated"
    )


@pytest.mark.slow
def test_with_several_workers_every_trial_ends_once(
    tmp_path: Path, here: Any, say: Callable[[str], None]
) -> None:
    moments: Counter[str] = Counter()
    repeated, runs = 0, max(1, KILLS // 8)
    for number in range(runs):
        run = f"run{number}"
        for _ in range(2):
            before = ended(tmp_path, run)
            moment, told = killed(tmp_path, run, "random", here, calm=0.2, size=4)
            moments[moment] += 1
            assert ended(tmp_path, run) >= before + told, "a trial that was told is lost"
        done = search(tmp_path, run, "random", here, size=4)
        assert [trial.number for trial in done.trials] == list(range(TRIALS))
        assert ended(tmp_path, run) == TRIALS
        count = begun(tmp_path, run)
        assert max(count.values()) <= 3
        assert sum(count.values()) - len(count) <= 2 * 4, "more than the four that ran"
        repeated += sum(count.values()) - len(count)
    say(
        f"four workers: {2 * runs} drivers killed ({moments['middle']} in the middle), "
        f"{runs} searches resumed: 0 trials lost, {repeated} repeated"
    )


def recovered(storage: Path, run: str, algorithm: str, here: Any) -> Trials | None:
    """Return the search's trials, or None where the ledger is refused."""
    try:
        return search(storage, run, algorithm, here)
    except RegistryError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["random", "hyperband"])
def test_a_cut_file_recovers_or_is_refused_and_never_ends_with_fewer(
    tmp_path: Path, here: Any, algorithm: str, say: Callable[[str], None]
) -> None:
    calm = search(tmp_path, "calm", algorithm, here)
    home = tmp_path / "runs" / "calm"
    generator = np.random.default_rng()
    files = sorted(path for path in home.iterdir() if path.is_file())
    assert [path.name for path in files] == ["ledger.jsonl", "lock"]
    whole, refused = files[0].read_bytes(), 0
    for number in range(max(2, KILLS // 2)):
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
            refused += 1
            assert number % 2, "what was only cut off must not be refused"
            continue
        assert [(t.config, t.value) for t in done.trials] == [
            (t.config, t.value) for t in calm.trials
        ], f"cut at {offset}"
    cuts = (number + 2) // 2
    say(
        f"{algorithm}: each state file cut at {cuts} random places, all recovered with {TRIALS} "
        f"trials; {number + 1 - cuts} times 40 bytes taken out, {refused} of them refused"
    )
