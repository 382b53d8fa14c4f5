"""Searches on a real cluster of two CPUs: order, deadlines, failures, kills and resuming."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Float, Space, Trials
from raymm.errors import ClusterError, ConfigError, SearchError
from raymm.search.asha import Asha
from raymm.search.ledger import Ledger
from raymm.search.random import Random
from raymm.search.searcher import Searcher
from raymm.sections import SearchConfig

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]

SPACE: Space = {"x": Float(-1.0, 1.0)}


def go(
    storage: Path,
    function: Callable[..., Any],
    run: str = "run",
    searcher: Searcher | None = None,
    **how: Any,
) -> Trials:
    from raymm.search.tune import tune_function

    options: dict[str, Any] = {"trials": None, "seconds": None, "parallel": 2, **how}
    searcher = searcher or Random(SPACE, mode="minimize", generator=np.random.default_rng(0))
    with Ledger.open(str(storage), run) as ledger:
        return tune_function(
            function, SPACE, searcher, ledger, metric="loss", mode="minimize", **options
        )


def test_one_worker_gives_the_same_leaderboard_each_time(tmp_path: Path) -> None:
    first = go(tmp_path, lambda c: c["x"] ** 2, "a", trials=8, parallel=1)
    second = go(tmp_path, lambda c: c["x"] ** 2, "b", trials=8, parallel=1)
    assert len(first.trials) == 8
    assert [(t.number, t.config, t.value) for t in first.leaderboard] == [
        (t.number, t.config, t.value) for t in second.leaderboard
    ]
    assert Ledger.read(str(tmp_path), "a").digest() == Ledger.read(str(tmp_path), "b").digest()


def test_an_interrupted_search_is_waited_for_before_ray_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before Python 3.13 one whose `join` was interrupted counted as ended while it went on."""
    from raymm.search import tune

    monkeypatch.setattr(tune, "PATIENCE", 0.2)
    session = SimpleNamespace(spending=SimpleNamespace(seconds_left=None), finished=False)
    desk: Any = SimpleNamespace(session=session, interrupted=False, fault=None)
    going = threading.Event()
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    tune._wait_for(desk, going.wait, (60.0,))
    assert desk.interrupted
    (thread,) = (one for one in threading.enumerate() if one.name == tune.THREAD)
    assert thread.is_alive()
    going.set()
    tune.settle()
    assert not thread.is_alive()


def test_finished_trials_are_never_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def function(config: dict[str, Any]) -> float:
        with log.open("a") as file:
            file.write("x\n")
        return float(config["x"])

    go(tmp_path, function, trials=4)
    trials = go(tmp_path, function, trials=6)
    assert (len(trials.trials), trials.resumed) == (6, 4)
    assert len(log.read_text().splitlines()) == 6


def test_the_deadline_is_hard_and_keeps_what_was_reported(tmp_path: Path) -> None:
    def endless(config: dict[str, Any]) -> Iterator[float]:
        yield 1.0
        time.sleep(600)

    began = time.monotonic()
    trials = go(tmp_path, endless, seconds=20.0)
    assert time.monotonic() - began < 20.0 * 1.05 + 1.0
    assert trials.stopped_by == "time"
    assert {(t.status, t.value) for t in trials.trials} == {("stopped", 1.0)}


def test_failures_are_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    def function(config: dict[str, Any]) -> float:
        if config["x"] < 0:
            raise ValueError("x is below zero")
        return float(config["x"])

    trials = go(tmp_path, function, trials=10)
    failed = [t for t in trials.trials if t.status == "failed"]
    assert 0 < len(failed) < 10
    assert all(t.error.startswith("ValueError: x is below zero") for t in failed)
    assert all(t.error.endswith("in function") for t in failed)


def test_a_function_that_always_fails_ends_the_search(tmp_path: Path) -> None:
    def function(config: dict[str, Any]) -> float:
        raise KeyError("nothing works")

    with pytest.raises(SearchError, match="nothing works"):
        go(tmp_path, function, trials=50)
    assert 5 <= len(Ledger.read(str(tmp_path), "run").trials()) <= 6


def test_by_tune_the_leaderboard_is_the_same(tmp_path: Path) -> None:
    def function(config: dict[str, Any]) -> Iterator[float]:
        for step in range(1, 4):
            yield config["x"] ** 2 + 1 / step

    boards = []
    for runner in ("actors", "tune"):
        told: list[str] = []
        go(
            tmp_path,
            function,
            runner,
            trials=6,
            parallel=1,
            settings=SearchConfig(trials=6, runner=runner),
            notify=lambda progress, told=told: told.append(progress.message),  # type: ignore[misc]
        )
        assert ("by Ray Tune" in told[0]) == (runner == "tune")
        boards.append(Ledger.read(str(tmp_path), runner).digest())
    assert boards[0] == boards[1]


def test_a_trial_goes_on_from_its_checkpoint_with_either_runner(tmp_path: Path) -> None:
    def function(config: dict[str, Any], report: Any) -> None:
        with open(config_log, "a") as file:
            file.write(f"{report.step}\n")
        for step in range(report.step, 9):
            report(config["x"] ** 2 + 1 / (step + 1), checkpoint=step)

    boards = []
    for runner in ("actors", "tune"):
        config_log = str(tmp_path / runner)
        searcher = Asha(
            SPACE,
            mode="minimize",
            generator=np.random.default_rng(0),
            min_budget=1,
            max_budget=9,
        )
        done = go(
            tmp_path,
            function,
            runner,
            searcher,
            trials=9,
            parallel=1,
            settings=SearchConfig(trials=9, runner=runner),  # type: ignore[arg-type]
        )
        starts = Path(config_log).read_text().split()
        assert len(done.trials) == starts.count("0") == 9
        assert set(starts) == {"0", "1", "3"}
        boards.append([(t.config, t.rungs) for t in done.trials])
    assert boards[0] == boards[1]


def test_a_tuner_takes_an_algorithm_of_ours(tmp_path: Path) -> None:
    from ray import tune

    from raymm.search.tune import search_alg

    def function(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": (config["x"] - 0.5) ** 2}

    algorithm = search_alg("tpe", SPACE, metric="loss", mode="min", seed=1)
    results = tune.Tuner(
        function,
        tune_config=tune.TuneConfig(search_alg=algorithm, num_samples=4),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    ).fit()
    assert len(results) == 4
    assert results.num_errors == 0
    tried = {result.config["x"] for result in results}
    assert len(tried) == 4
    assert results.get_best_result("loss", "min").metrics["loss"] < 2.25
    with pytest.raises(ConfigError, match='"min" or "max"'):
        search_alg("tpe", SPACE, metric="loss", mode="minimise")


def test_what_can_never_be_had_is_an_error_before_the_first_trial(tmp_path: Path) -> None:
    settings = SearchConfig(trials=1, gpus=1)
    with pytest.raises(ClusterError, match="1 CPU and 1 GPUs on one node"):
        go(tmp_path, lambda c: 0.0, trials=1, settings=settings)
    assert not Ledger.read(str(tmp_path), "run").records("suggestion")


def test_a_plateau_and_compute_end_the_search_and_say_so(tmp_path: Path) -> None:
    flat = go(
        tmp_path, lambda c: 1.0, "flat", parallel=1, settings=SearchConfig(trials=1, plateau=4)
    )
    assert flat.stopped_by.startswith("plateau: none of the last 4 trials")
    assert len(flat.trials) == 5

    def slow(config: dict[str, Any]) -> float:
        time.sleep(0.2)
        return float(config["x"])

    cut = go(tmp_path, slow, "cut", parallel=1, settings=SearchConfig(trials=1, compute=0.9))
    assert cut.stopped_by == "compute"
    assert 2 <= len(cut.trials) <= 4


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_workers_killed_all_the_time_lose_no_trial(
    tmp_path: Path, say: Callable[[str], None]
) -> None:
    generator = np.random.default_rng()
    kills = repeated = failed = 0
    searches = max(1, int(os.environ.get("RAYMM_CHAOS", "1")) // 50)
    for number in range(searches):
        pids = tmp_path / f"pids{number}"

        def function(config: dict[str, Any], pids: Path = pids) -> float:
            with pids.open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.3)
            return float(config["x"]) ** 2

        with killing(pids, generator) as killed:
            done = go(tmp_path, function, f"run{number}", trials=60)
        assert killed
        assert [trial.number for trial in done.trials] == list(range(60))
        assert len(Ledger.read(str(tmp_path), f"run{number}").records("trial")) == 60
        # A trial fails only where three kills hit it.
        lost = sum(trial.status == "failed" for trial in done.trials)
        assert lost <= len(killed) // 3
        again = len(pids.read_text().splitlines()) - 60
        assert again <= len(killed), "more was repeated than the trials whose workers died"
        kills, repeated, failed = kills + len(killed), repeated + again, failed + lost
    say(
        f"on Ray: {kills} workers killed in {searches} searches of 60 trials: 0 trials lost, "
        f"{repeated} repeated, {failed} failed for being killed three times"
    )


@contextlib.contextmanager
def killing(pids: Path, generator: np.random.Generator) -> Iterator[list[int]]:
    """Kill the worker that was the latest to begin a trial, every 0.5 to 3 seconds."""
    stop, killed = threading.Event(), []

    def kill() -> None:
        while not stop.wait(float(generator.uniform(0.5, 3.0))):
            if pids.exists():
                # It is one of ours, and at work or idle for an instant.
                pid = int(pids.read_text().split()[-1])
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def test_a_worker_that_dies_is_retried_once(tmp_path: Path) -> None:
    mark = tmp_path / "died"

    def function(config: dict[str, Any]) -> float:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(config["x"])

    trials = go(tmp_path, function, trials=3, parallel=1)
    assert [t.status for t in trials.trials] == ["finished"] * 3


def test_a_hanging_trial_is_killed_and_fails(tmp_path: Path) -> None:
    def function(config: dict[str, Any]) -> float:
        if config["x"] < 0:
            time.sleep(600)
        return float(config["x"])

    trials = go(tmp_path, function, trials=6, trial_timeout=3.0)
    failed = [t for t in trials.trials if t.status == "failed"]
    assert failed
    assert all("longer than 3 s" in t.error for t in failed)
    assert all(t.error.endswith("in function") for t in failed), "a sleep can be interrupted"


DRIVER = """
import sys, time, numpy as np
from raymm.artifacts import Float
from raymm.cluster import connect
from raymm.sections import RayConfig
from raymm.search.ledger import Ledger
from raymm.search.random import Random
from raymm.search.tune import tune_function

def function(config):
    time.sleep(0.3)
    return config["x"] ** 2

space = {"x": Float(-1.0, 1.0)}
searcher = Random(space, mode="minimize", generator=np.random.default_rng(0))
with connect(RayConfig(address=sys.argv[2])), Ledger.open(sys.argv[1], "run") as ledger:
    tune_function(function, space, searcher, ledger, metric="loss", mode="minimize",
                  trials=12, seconds=None, parallel=1,
                  notify=lambda p: print(p.done, flush=True))
"""


@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_driver_goes_on_exactly(
    tmp_path: Path, ray_cluster: Any, number: signal.Signals
) -> None:
    arguments = [sys.executable, "-c", DRIVER, str(tmp_path), ray_cluster.address]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line) if line.strip().isdigit() else told
        if told == 5:
            break
    process.send_signal(number)
    process.wait(60)
    process.stdout.close()
    kept = Ledger.read(str(tmp_path), "run").trials()
    assert len(kept) >= 5
    trials = go(tmp_path, lambda c: c["x"] ** 2, trials=12, parallel=1)
    whole = go(tmp_path, lambda c: c["x"] ** 2, "whole", trials=12, parallel=1)
    assert trials.resumed == len(kept)
    assert json.dumps([(t.config, t.value) for t in trials.leaderboard]) == json.dumps(
        [(t.config, t.value) for t in whole.leaderboard]
    )
