"""What labels say of a canary, by the reports of a real monitor."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raymm import keeping
from raymm.artifacts import Batch, ColumnStatistics, Feedback, Statistics, Target, as_record
from raymm.hands import RegistryHands
from raymm.monitoring.loop import Situation
from raymm.monitoring.merging import merge
from raymm.monitoring.observer import Observer
from raymm.monitoring.triggers import Policy
from raymm.monitoring.verdict import Trial
from raymm.opinion import SECONDS, LabelOpinion
from raymm.registry.versions import Registry
from raymm.sections import MonitoringConfig
from raymm.serving.desk import Desk
from raymm.serving.tally import Tally
from raymm.shelf import RegistryShelf

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)
STATISTICS = Statistics(rows=400, columns=(COLUMN,))
TARGET = Target(task="binary", classes=("no", "yes"), metric="accuracy")
WINDOW = 400
TRIAL = Trial(labels=100, margin=0.01, requests=100)


class Monitored:
    """Two versions, of which it is said how often they are right."""

    def __init__(self, path: Path) -> None:
        self.seen = 0
        self.observer = Observer(
            "m", config=MonitoringConfig(window=WINDOW), path=path, clock=lambda: 0.0
        )
        for number in (1, 2):
            self.observer.watch(
                number, as_record(STATISTICS), target=as_record(TARGET), champion=number == 1
            )

    def answer(self, number: int, rows: int, right: float, **more: Any) -> None:
        """Answer each row in a request of its own; all of them are "yes"."""
        batches, names = told(number, rows, right, self.seen)
        self.seen += rows
        self.observer.tell(batches, feedback=[Feedback(ids=names, labels=("yes",) * rows)])

    def report(self, model: str) -> dict[str, Any]:
        assert model == "m"
        return self.observer.report()


def told(number: int, rows: int, right: float, first: int) -> tuple[list[Batch], tuple[str, ...]]:
    names = tuple(f"row {first + n}" for n in range(rows))
    hits = np.floor(np.arange(1, rows + 1) * right) > np.floor(np.arange(rows) * right)
    batches = [
        Batch(
            rows=1, version=number, seconds=0.01, ids=(name,),
            predictions=np.array([[1 - hit, hit]], np.float32),
        )
        for name, hit in zip(names, hits, strict=True)
    ]  # fmt: skip
    return batches, names


@pytest.fixture
def monitored(tmp_path: Path) -> Monitored:
    return Monitored(tmp_path / "state.json")


def opinion_of(monitored: Monitored) -> LabelOpinion:
    return LabelOpinion(trials={"m": TRIAL}, report=monitored.report)


def standing(requests: int) -> dict[str, Any]:
    tallies = {"1": Tally(), "2": Tally()}
    for one in tallies.values():
        for _ in range(requests):
            one.answered(0.01)
    counts = {number: one.counts().record() for number, one in tallies.items()}
    return {"sequence": 2, "champion": 1, "canary": 2, "shadow": None, "counts": counts}


def test_a_canary_that_answers_worse_is_ended_by_the_desk(monitored: Monitored) -> None:
    refused: list[str] = []
    desk = Desk(
        alive=lambda: {"a"},
        refuse=lambda *what, reason, **how: refused.append(reason),
        opinion=opinion_of(monitored),
    )
    monitored.answer(1, 400, 0.9)
    monitored.answer(2, 50, 0.5)
    desk.report("a", "m", standing(50))
    monitored.answer(2, 50, 0.5)
    desk.report("a", "m", standing(100))
    assert refused == []  # fifty labels since it was asked first are too few
    monitored.answer(2, 400, 0.5)
    desk.report("a", "m", standing(450))
    (reason,) = refused
    assert reason.startswith("the canary is worse: accuracy is 0.5 on 400 labelled rows, the")


def test_one_that_is_not_surely_worse_goes_on_until_hardly_any_doubt_is_left(
    monitored: Monitored,
) -> None:
    """0.85 of 400 rows has a deviation of 0.018, and a difference of two such of 0.025."""
    opinion = opinion_of(monitored)
    monitored.answer(1, 400, 0.85)
    monitored.answer(2, 1, 1.0)
    assert opinion("m", 1, 2) == ""
    monitored.answer(2, 400, 0.82)  # one deviation below: a trial would not let it go on
    assert opinion("m", 1, 2) == ""
    for right in (0.9, 0.77):  # three deviations below, asked again and again
        monitored.answer(2, 400, right)
        assert opinion("m", 1, 2) == ""
    monitored.answer(2, 400, 0.7)
    assert "0.7 on 400" in opinion("m", 1, 2)
    # Another that was not asked about before needs no such proof.
    fresh = opinion_of(monitored)
    assert fresh("m", 1, 2) == ""
    monitored.answer(2, 400, 0.77)
    assert "0.77 on 400" in fresh("m", 1, 2)


def test_labels_of_before_it_was_a_canary_count_for_nothing(monitored: Monitored) -> None:
    opinion = opinion_of(monitored)
    monitored.answer(1, 400, 0.9)
    monitored.answer(2, 800, 0.2)
    for _ in range(3):
        assert opinion("m", 1, 2) == ""
    monitored.answer(2, 400, 0.9)
    assert opinion("m", 1, 2) == ""


def test_labels_alone_speak(monitored: Monitored) -> None:
    """Errors and times are the desk's, which knows since when both answer."""
    opinion = opinion_of(monitored)
    monitored.answer(1, 400, 0.9)
    monitored.answer(2, 1, 0.9)
    assert opinion("m", 1, 2) == ""
    slow = Batch(rows=1, version=2, seconds=60.0, predictions=np.array([[0, 1]], np.float32))
    failed = Batch(rows=0, version=2, seconds=1.0, error="Exception")
    monitored.observer.tell([slow] * 400 + [failed] * 400)
    assert opinion("m", 1, 2) == ""


def test_a_monitor_that_is_away_says_nothing(monitored: Monitored) -> None:
    monitored.answer(1, 400, 0.9)
    worse = opinion_of(monitored)
    assert worse("m", 1, 2) == ""
    monitored.answer(2, 400, 0.5)
    away = LabelOpinion(trials={"m": TRIAL}, report=lambda model: {})
    bare = {"version": 1, "versions": {"1": {"requests": 400}, "2": {"requests": 400}}}
    unlabelled = LabelOpinion(trials={"m": TRIAL}, report=lambda model: bare)
    for opinion in (away, unlabelled):
        assert [opinion("m", 1, 2) for _ in range(3)] == [""] * 3
    assert worse("m", 3, 2) == worse("m", 1, 3) == ""
    assert worse("m", 1, 2) != ""


def test_a_monitor_that_takes_another_version_for_the_champion_is_not_asked(
    monitored: Monitored,
) -> None:
    """The release has changed, and what its monitor compares is still of before."""
    opinion = opinion_of(monitored)
    assert opinion("m", 2, 1) == ""
    monitored.answer(2, 400, 0.9)
    monitored.answer(1, 400, 0.5)
    assert opinion("m", 2, 1) == ""
    monitored.observer.watch(2, as_record(STATISTICS), target=as_record(TARGET))
    assert opinion("m", 2, 1) == ""
    monitored.answer(2, 400, 0.9)
    monitored.answer(1, 400, 0.5)
    assert "0.5 on 400" in opinion("m", 2, 1)


def test_it_travels_and_looks_alike_whatever_it_has_seen(monitored: Monitored) -> None:
    """The desk's name is made of how it looks."""
    opinion = LabelOpinion(trials={"m": TRIAL})
    assert pickle.loads(pickle.dumps(opinion)) == opinion
    before = repr(opinion_of(monitored))
    assert before == repr(opinion) != repr(LabelOpinion(trials={"m": Trial()}))
    opinion = opinion_of(monitored)
    monitored.answer(2, 200, 0.5)
    opinion("m", 1, 2)
    assert repr(opinion) == before


def test_the_loop_takes_a_canary_that_the_desk_ended_for_rejected(
    tmp_path: Path, monitored: Monitored
) -> None:
    registry = Registry(str(tmp_path / "storage"))
    for n in range(2):
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    releases = registry.releases("m")
    releases.promote(1)
    releases.canary(2, 0.1, who="policy")
    shelf = RegistryShelf(storage=str(tmp_path / "storage"))
    desk = Desk(alive=lambda: {"a"}, refuse=shelf.refuse, opinion=opinion_of(monitored))
    monitored.answer(1, 400, 0.9)
    desk.report("a", "m", standing(50))
    monitored.answer(2, 400, 0.5)
    desk.report("a", "m", standing(400))
    assert releases.current().canary is None
    hands = RegistryHands(
        name="m", storage=str(tmp_path / "storage"), source="", changes={}, share=0.1,
        notify=lambda _: None,
    )  # fmt: skip
    steps = keeping.tend(
        Situation(stage="canary", number=2, champion=1), monitored.report("m"), hands,
        policy=Policy(), trial=TRIAL, clock=lambda: 1.0,
    )  # fmt: skip
    (step,) = steps
    assert (step.action, step.situation.stage) == ("reject", "watching")
    assert step.reason.startswith("the canary is worse: accuracy is 0.5")


@pytest.mark.ray
def test_a_desks_actor_asks_the_monitors_actor(ray_cluster: object, tmp_path: Path) -> None:
    import ray

    from raymm.monitoring import actor

    def refuse(model: str, canary: int, *, since: int, reason: str) -> None:
        refused.write_text(f"{model} {canary} {since} {reason}")

    name, refused = "judged", tmp_path / "refused"
    desk: Any = ray.remote(Desk).remote(
        alive=lambda: {"a"},
        refuse=refuse,
        opinion=LabelOpinion(trials={name: TRIAL}),
    )
    ray.get(desk.report.remote("a", name, standing(50)))  # no monitor runs yet
    config = MonitoringConfig(window=WINDOW)
    monitor = actor.start(name, config=config, state_dir=str(tmp_path))
    try:
        for number in (1, 2):
            record, target = as_record(STATISTICS), as_record(TARGET)
            ray.get(monitor.watch.remote(number, record, True, target, number == 1))
        answers = ((1, 400, 0.9), (2, 50, 0.5), (2, 400, 0.5))
        for sequence, (number, rows, right) in enumerate(answers, start=1):
            batches, names = told(number, rows, right, sequence * 1000)
            labels = [Feedback(ids=names, labels=("yes",) * rows)]
            ray.get(monitor.tell.remote(merge(batches), "test", sequence, labels))
            begun = time.monotonic()
            ray.get(desk.report.remote("a", name, standing(100 * 2**sequence)))
            assert time.monotonic() - begun < SECONDS
            assert refused.exists() == (sequence == 3)
    finally:
        actor.stop(name)
    assert refused.read_text().startswith(f"{name} 2 2 the canary is worse: accur")
