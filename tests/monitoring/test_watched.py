"""Labels through the whole observer: late, doubled, orphaned and out of order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Batch, ColumnStatistics, Feedback, Statistics, Target, as_record
from raymm.monitoring.observer import Observer
from raymm.monitoring.paired import paired
from raymm.monitoring.watched import Watched
from raymm.plugins import metrics
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
RECORD = as_record(Statistics(rows=400, columns=(COLUMN,)))
TARGET = as_record(Target(task="multiclass", classes=("a", "b", "c"), metric="log_loss"))
ROWS = 3000


def observer(folder: Path, clock: Any) -> Observer:
    return Observer("m", config=MonitoringConfig(), path=folder / "state.json", clock=clock)


def events(generator: np.random.Generator, truth: np.ndarray) -> list[tuple[str, Any]]:
    """Predictions in batches of ten; 30 % of labels late, 10 % doubled, 5 % orphaned; shuffled."""
    told: list[tuple[float, str, Any]] = []
    for start in range(0, ROWS, 10):
        told.append((start + 9, "predict", start))
    for row in range(ROWS):
        late = generator.random() < 0.3
        when = row + (generator.exponential(2000) if late else generator.normal(0, 30))
        told.append((when, "label", (f"id{row}", "abc"[truth[row]])))
        if generator.random() < 0.1:
            wrong = "abc"[(truth[row] + 1) % 3]
            told.append((when + generator.exponential(500) + 1e-9, "label", (f"id{row}", wrong)))
        if generator.random() < 0.05:
            told.append((when, "label", (f"nobody{row}", "a")))
    return [(kind, what) for _, kind, what in sorted(told, key=lambda one: one[0])]


@pytest.mark.slow
def test_joined_quality_is_the_offline_figure(tmp_path: Path, clock: Any) -> None:
    generator = np.random.default_rng(0)
    rows = generator.dirichlet([1, 1, 1], ROWS).astype(np.float32)
    truth = np.array([generator.choice(3, p=row / row.sum()) for row in rows.astype(np.float64)])
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD, target=TARGET)
    watched.watch(2, RECORD, target=TARGET, champion=False)
    given = events(generator, truth)
    for place, (kind, what) in enumerate(given):
        clock.now += 1
        if kind == "predict":
            some = slice(what, what + 10)
            ids = tuple(f"id{row}" for row in range(what, what + 10))
            for version, predictions in ((1, rows[some]), (2, rows[some, ::-1])):
                batch = Batch(
                    rows=10, version=version, seconds=0.1, predictions=predictions, ids=ids
                )
                watched.tell([batch])
        else:
            watched.tell([], feedback=[Feedback(ids=(what[0],), labels=(what[1],))])
        if place == len(given) // 2:
            watched.flush()
            watched = observer(tmp_path, clock)
    report = watched.report()
    loss = metrics.get("log_loss")()
    assert report["quality"]["value"] == loss(truth, rows)
    assert report["versions"]["2"]["quality"]["value"] == loss(truth, rows[:, ::-1].copy())
    assert report["quality"]["coverage"] == 1.0
    assert report["versions"]["2"]["champion"] == report["quality"]["recent"]
    labels = [what for kind, what in given if kind == "label"]
    orphaned = sum(name.startswith("nobody") for name, _ in labels)
    assert report["labels"]["orphaned"] == orphaned
    assert report["labels"]["doubled"] == len(labels) - orphaned - ROWS
    assert report["quality"]["delay"]["p99"] > 1000


def test_without_a_target_nothing_waits(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD)
    batch = Batch(rows=1, version=1, seconds=0.1, predictions=np.ones((1, 3)), ids=("a",))
    watched.tell([batch])
    assert "quality" not in watched.report()
    assert watched.report()["labels"]["predictions"] == 0
    watched.watch(1, RECORD, target=TARGET)
    watched.tell([batch])
    assert watched.report()["requests"] == 2
    assert watched.report()["quality"]["waiting"] == 1


def test_other_reports_lie_beside_it(tmp_path: Path, clock: Any) -> None:
    watched = observer(tmp_path, clock)
    watched.watch(1, RECORD, target=TARGET)
    watched.tell([Batch(rows=1, version=1, seconds=0.1, tensors={"x": np.ones(1, np.float32)})])
    report = watched.report()
    assert report["features"]["x"]["missing"] == 0
    assert report["quality"]["n"] == 0


def test_versions_are_compared_anew_only_where_labels_have_come(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counting(*given: Any, **how: Any) -> Any:
        compared.append(1)
        return paired(*given, **how)

    monkeypatch.setattr("raymm.monitoring.watched.paired", counting)
    watched = observer(tmp_path, clock)
    rows = np.eye(3, dtype=np.float32)
    for version in (1, 2):
        watched.watch(version, RECORD, target=TARGET, champion=version == 1)
        ids = ("x", "y", "z")
        batch = Batch(rows=3, version=version, seconds=0.1, predictions=rows, ids=ids)
        watched.tell([batch])
    for labels in (("x",), ("y", "z")):
        watched.tell([], feedback=[Feedback(ids=labels, labels=("a",) * len(labels))])
        first, second = (watched.report()["versions"]["2"]["paired"] for _ in range(2))
        assert first == second
    assert first["n"] == 3
    assert len(compared) == 2


def test_windows_of_quality_meet_those_of_drift_after_a_state_that_had_none(clock: Any) -> None:
    config = MonitoringConfig()

    def made() -> Watched:
        return Watched(1, RECORD, None, config=config, clock=clock)

    def told(rows: int, value: float) -> Batch:
        tensors = {"x": np.full(rows, value, np.float32)}
        return Batch(rows=rows, version=1, seconds=0.1, tensors=tensors)

    before = made()
    before.update(told(config.window // 2, 1.0))
    state = json.loads(json.dumps(before.state()))
    state["monitors"]["quality"] = {"seen": state["monitors"]["quality"]["seen"]}
    watched, shares = made().restore(state), []
    for rows in (config.window // 2, config.window - 1, 1):
        watched.update(told(rows, np.nan if shares else 1.0))
        report = watched.report(0)
        shares.append((report["window"]["complete"], report["features"]["x"]["missing"]))
    assert shares == [(1, 0.0), (1, 0.0), (2, 1.0)]
