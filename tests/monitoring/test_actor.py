from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Batch, ColumnStatistics, Feedback, Statistics
from raymm.errors import ConfigError, NotFound
from raymm.monitoring.actor import (
    ActorWatcher,
    _Shown,
    actor_name,
    find,
    reported,
    start,
    stop,
)
from raymm.monitoring.buffer import MOST_BYTES, MOST_ROWS
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
STATISTICS = Statistics(rows=400, columns=(COLUMN,))


def told(rows: int = 10) -> Batch:
    values = np.linspace(-1, 1, rows, dtype=np.float32)
    return Batch(rows=rows, version=1, seconds=0.1, tensors={"x": values}, predictions=values)


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not true within {seconds} s")


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="must match"):
        actor_name("../x")


def test_telling_is_fast_never_raises_and_drops_what_is_too_much() -> None:
    watcher = ActorWatcher("nobody", period=1000)
    began = time.perf_counter()
    for _ in range(1000):
        watcher.tell(told(1))
    # Some ten microseconds a call; the bound is a hundred times that, for a busy machine.
    assert time.perf_counter() - began < 1.0
    for _ in range(3):
        watcher.tell(Batch(rows=MOST_ROWS, version=1, seconds=0.1))
    assert watcher._buffer.rows == 1000
    assert watcher._buffer.dropped == 3
    labels = tuple(map(str, range(MOST_ROWS)))
    for _ in range(2):
        watcher.learn(Feedback(ids=labels, labels=labels))
    assert watcher._buffer.dropped_labels == MOST_ROWS
    assert watcher.report() == {}


def test_features_of_any_name_are_shown_as_metrics_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray takes labels of ASCII alone, and must not keep the features behind one that is not."""
    from ray.util.metrics import Gauge

    shown: list[str] = []
    whole = Gauge.set

    def kept(self: Any, value: float, tags: dict[str, str]) -> None:
        whole(self, value, tags=tags)
        shown.append(tags["feature"])

    monkeypatch.setattr(Gauge, "set", kept)
    features = {name: {"statistic": 1.0} for name in ("naïve (€)", 'a "b"\n', "plain")}
    _Shown("m").show({"latency": {"p99": None}, "features": features})
    assert shown == ["na\\xefve (\\u20ac)", 'a "b"\n', "plain"]


def test_what_waits_is_bounded_in_bytes() -> None:
    watcher = ActorWatcher("nobody", period=1000)
    text = np.array(["x" * (MOST_BYTES // 4)], dtype=object)
    for _ in range(5):
        watcher.tell(Batch(rows=1, version=1, seconds=0.1, tensors={"c": text}))
    watcher.learn(Feedback(ids=("a",), labels=("y" * (MOST_BYTES // 2),)))
    assert (watcher._buffer.rows, watcher._buffer.dropped, watcher._buffer.dropped_labels) == (
        3,
        2,
        1,
    )


class Remote:
    """Stands in for the actor's handle: keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.answers: list[Any] = []
        self.shown: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if name == "tell":
                return self.answers.pop(0) if self.answers else 1
            return self.shown if name == "report" else None

        return type("Method", (), {"remote": staticmethod(remote)})


def test_labels_go_the_way_of_batches_and_a_lost_state_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = Remote()
    monkeypatch.setattr("raymm.monitoring.actor.find", lambda name: actor)
    monkeypatch.setattr("ray.get", lambda value, timeout=None: value)
    monkeypatch.setattr(ActorWatcher, "_begin", lambda self: None)
    watcher = ActorWatcher("churn", refresh=-1.0)
    watcher.watch(1, STATISTICS)
    watcher.watch(2, STATISTICS, champion=False)
    watcher.tell(told())
    watcher.learn(Feedback(ids=("a",), labels=(1,)))
    actor.answers = [None]  # the first telling finds no state
    actor.shown = {"versions": {"2": {}}}
    watcher._exchange()
    watcher._exchange()
    watcher._exchange()  # the report lacks version 1, of which it was told
    watches = [arguments for name, arguments in actor.calls if name == "watch"]
    assert [(w[0], w[2], w[4]) for w in watches] == [
        (1, True, True), (2, True, False), (1, False, True), (2, False, False), (1, False, True),
    ]  # fmt: skip
    tells = [arguments for name, arguments in actor.calls if name == "tell"]
    assert len(tells) == 2
    assert tells[0] == tells[1]  # the same number, so that it counts once
    assert (len(tells[0][0]), tells[0][3][0].ids) == (1, ("a",))
    watcher._fetched -= 40  # of which the monitor is silent
    assert watcher.report()["age"] >= 40


def test_a_report_comes_in_time_or_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    actor, waited = Remote(), []
    actor.shown = {"version": 1}

    def get(value: Any, timeout: float) -> Any:
        waited.append(timeout)
        return value

    monkeypatch.setattr("ray.get", get)
    monkeypatch.setattr("raymm.monitoring.actor.find", lambda name: actor)
    assert reported("churn", timeout=0.5) == {"version": 1}
    assert waited == [0.5]
    for error in (TimeoutError("slow"), ConnectionError("away"), NotFound("none")):

        def fails(*given: Any, error: Exception = error, **how: Any) -> Any:
            raise error

        monkeypatch.setattr("ray.get", fails)
        assert reported("churn", timeout=0.5) == {}
    monkeypatch.setattr("raymm.monitoring.actor.find", fails)
    assert reported("churn", timeout=0.5) == {}


@pytest.mark.ray
def test_the_actor_counts_what_it_is_told_and_survives_a_kill(
    ray_cluster: object, tmp_path: Path
) -> None:
    import ray

    config = MonitoringConfig(window=50, flush=0.2)
    handle = start("churn", config=config, state_dir=str(tmp_path))
    assert start("churn", config=config, state_dir=str(tmp_path))._actor_id == handle._actor_id
    watcher = ActorWatcher("churn", period=0.1, refresh=0.1)
    watcher.watch(1, STATISTICS)
    for _ in range(100):
        watcher.tell(told())
    watcher.learn(Feedback(ids=("a", "b"), labels=(1, 2)))

    def requests() -> int:
        return int(watcher.report().get("requests", 0))

    until(lambda: requests() == 100)
    until(lambda: watcher.report()["labels"]["labels"] == 2)
    assert watcher.report()["rows"] == 1000
    assert watcher.report()["window"]["complete"] == 20
    time.sleep(1.0)  # several flushes: all of it is durable
    pid = ray.get(handle.pid.remote())
    os.kill(pid, signal.SIGKILL)
    for _ in range(50):
        watcher.tell(told())
        time.sleep(0.01)
    until(lambda: requests() == 150)
    assert ray.get(handle.pid.remote()) != pid
    assert watcher.report()["rows"] == 1500

    # With the state gone too, the watcher says again what it serves.
    os.kill(ray.get(handle.pid.remote()), signal.SIGKILL)
    (tmp_path / "raymm-monitor-churn.json").unlink()  # long before the actor is up again
    watcher.tell(told())
    until(lambda: requests() == 1)
    assert watcher.report()["dropped"] == 0
    watcher.close()
    stop("churn")
    stop("churn")
    until(lambda: _gone("churn"))


def _gone(name: str) -> bool:
    try:
        find(name)
    except NotFound:
        return True
    return False
