from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from raymm import endpoint, keeping, lifecycle
from raymm.artifacts import Release, Wish, as_record, from_record
from raymm.config import parse
from raymm.errors import (
    ClusterError,
    DataError,
    Interrupted,
    NotBlessed,
    RegistryError,
    ServingError,
)
from raymm.hands import RegistryHands
from raymm.lease import Lease
from raymm.monitoring.loop import RETRY, TRIES, Situation, Step
from raymm.monitoring.triggers import Policy
from raymm.monitoring.verdict import Trial
from raymm.registry.releases import Change
from raymm.registry.shared import SharedFile
from raymm.registry.versions import Registry
from raymm.sections import EventsConfig, MonitoringConfig
from raymm.standing import Standing

TRIAL = Trial(labels=10, requests=1, patience=100.0)
POLICY = Policy(on=("drift",), windows=1, pause=0.0)
QUICK = {"labels": 30, "requests": 1, "patience": 100}


_requests = itertools.count(1000, 1000)


def one(value: float) -> dict[str, Any]:
    count = next(_requests)  # from report to report there are new ones
    recent = {
        "metric": "accuracy",
        "direction": "maximize",
        "value": value,
        "n": 500,
        "level": 0.95,
    }
    recent |= {"low": value - 0.01, "high": value + 0.01}
    return {"requests": count, "errors": {}, "quality": {"recent": recent, "joined": count}}


def report(new: float = 0.9) -> dict[str, Any]:
    features = {"x": {"streak": 1, "reasons": ["location"]}}
    versions = {"1": one(0.8), "2": one(new)}
    return {
        "model": "m", "version": 1, "features": features, "versions": versions, "drifted": ["x"],
    }  # fmt: skip


def at(now: float) -> Any:
    """Return a clock that stands still."""
    return lambda: now


class Hands:
    """Keeps what it is asked to do."""

    def __init__(self, error: Exception | None = None, served: Any = ()) -> None:
        self.done: list[tuple[str, int]] = list(served)
        self.error = error

    def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
        if self.error is not None:
            raise self.error
        return 2, "blessed"

    def act(self, step: Any, number: int) -> None:
        self.done.append((step.action, number))

    def record(self, step: Any, number: int | None) -> None:
        pass

    def release(self) -> Release:
        roles = {step: n for step, n in self.done[-1:] if step in ("shadow", "canary")}
        return Release(name="m", champion=1, **roles)

    def reason(self, number: int) -> str | None:
        return None

    def blessed(self, number: int) -> bool:
        return True

    def settle(self) -> None:
        pass

    def wish(self) -> Wish | None:
        return None

    def take(self, wish: Wish) -> Wish | None:
        return wish


def test_a_trigger_leads_to_a_champion_step_by_step() -> None:
    hands, situation = Hands(), Situation()
    for now in (1.0, 2.0, 3.0):
        steps = keeping.tend(situation, report(), hands, policy=POLICY, trial=TRIAL, clock=at(now))
        situation = steps[-1].situation
    assert hands.done == [("shadow", 2), ("canary", 2), ("promote", 2)]
    assert situation.stage == "watching"


def test_a_worse_challenger_is_taken_out() -> None:
    hands = Hands(served=[("canary", 2)])
    tried = Situation(stage="canary", number=2, since=0.0)
    keeping.tend(tried, report(0.7), hands, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert hands.done == [("canary", 2), ("reject", 2)]


def test_what_fails_leaves_everything_as_it_was() -> None:
    hands = Hands(DataError("the table is gone."))
    steps = keeping.tend(Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert [step.action for step in steps] == ["train", "reject"]
    # What goes to webhooks may hold no value of a row; what is said here may.
    assert "DataError" in steps[-1].reason
    assert "the table is gone" not in steps[-1].reason
    assert steps[-1].detail == "the table is gone."
    assert (hands.done, steps[-1].situation.stage) == ([], "watching")


class Killed(BaseException):
    """No Exception: the process ends."""


def test_a_training_that_is_killed_is_remembered_and_its_pause_kept(tmp_path: Path) -> None:
    path, begun = tmp_path / "at.json", []

    class Dying(Hands):
        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            begun.append(reason)
            raise Killed

    config = MonitoringConfig(retrain="drift", windows=1, trial=QUICK)
    with pytest.raises(Killed):
        keeping.keep(
            "m", report, Dying(), config=config, standing=Standing(path),
            say=lambda _: None, pauses=(0.0,),
        )  # fmt: skip
    keeping.keep(
        "m", report, Dying(), config=config, standing=Standing(path),
        say=lambda _: None, pauses=(0.0,),
    )  # fmt: skip
    assert len(begun) == 1


@pytest.mark.parametrize("how", ["fails", "is killed", "comes to an end"])
def test_the_schedule_waits_a_period_for_what_came_to_an_end_and_a_pause_for_what_did_not(
    tmp_path: Path, how: str
) -> None:
    path, begun = tmp_path / "at.json", []

    class Counting(Hands):
        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            begun.append(reason)
            if how == "is killed":
                raise Killed
            if how == "fails":
                raise DataError("the table is gone.")
            return None, "version 2 is not blessed"

    config = MonitoringConfig(retrain="schedule", every="7d", pause="1h")
    calm = {**report(), "features": {}, "drifted": [], "since": 0.0}
    week, hour = 7 * 86400.0, 3600.0

    def trains(now: float) -> bool:
        before = len(begun)
        with contextlib.suppress(Killed):
            keeping.keep(
                "m", lambda: calm, Counting(), config=config, standing=Standing(path),
                say=lambda _: None, pauses=(0.0,), clock=at(now),
            )  # fmt: skip
        return len(begun) > before

    assert [trains(now) for now in (week - 1, week, week + hour - 1)] == [False, True, False]
    assert trains(week + hour) is (how != "comes to an end")
    assert trains(2 * week) is True


def test_what_called_for_a_training_is_written_down_before_it_and_its_end_after(
    tmp_path: Path,
) -> None:
    releases, _ = served(tmp_path)
    releases.promote(1)
    decisions = Registry(str(tmp_path)).decisions("m")

    class Seeing(RegistryHands):
        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            assert [one.action for one in decisions.all()] == ["train"]
            return None, "version 2 is not blessed: it is too slow"

    seeing = Seeing(
        name="m", storage=str(tmp_path), source="", changes={}, share=0.1, notify=lambda _: None
    )
    steps = keeping.tend(Situation(), report(), seeing, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert [step.action for step in steps] == ["train", "reject"]
    told = [(one.action, one.reason) for one in decisions.all()]
    assert told[0] == ("train", "x drifted for 1 windows in a row.")
    assert told[1] == ("reject", "version 2 is not blessed: it is too slow")


def test_a_step_that_cannot_be_written_down_is_done_all_the_same() -> None:
    class Forgetful(Hands):
        def record(self, step: Any, number: int | None) -> None:
            raise RegistryError("storage is full.")

    hands = Forgetful()
    steps = keeping.tend(Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert hands.done == [("shadow", 2)]
    assert "storage is full" in steps[-1].detail


def test_a_trial_begins_when_its_training_ends_and_against_who_reigns_then() -> None:
    class Slow(Hands):
        now, champion = 1000.0, 1

        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            self.now += 500.0
            self.champion = 3
            return super().train(reason, source)

        def release(self) -> Release:
            return Release(name="m", champion=self.champion)

    hands = Slow()
    steps = keeping.tend(
        Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=lambda: hands.now
    )
    tried = steps[-1].situation
    assert (tried.stage, tried.since, tried.trained_at) == ("shadow", 1500.0, 1000.0)
    assert tried.champion == 3


def test_what_was_trained_while_the_registry_went_away_is_tried_later() -> None:
    class Leaving(Hands):
        away = False

        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            self.away = True
            return super().train(reason, source)

        def release(self) -> Release:
            if self.away:
                raise RegistryError("storage is away.")
            return super().release()

    hands, begun = Leaving(), []
    steps = keeping.tend(
        Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=at(1.0), begun=begun.append
    )
    assert [step.action for step in steps] == ["train", "fail"]
    assert begun[-1] == steps[-1].situation
    hands.away = False
    steps = keeping.tend(begun[-1], report(), hands, policy=POLICY, trial=TRIAL, clock=at(2.0))
    assert (steps[-1].action, hands.done) == ("shadow", [("shadow", 2)])


def test_a_training_may_fail_in_any_way() -> None:
    for error in (ValueError("no numbers"), MemoryError()):
        steps = keeping.tend(
            Situation(), report(), Hands(error), policy=POLICY, trial=TRIAL, clock=at(1)
        )
        assert "training failed" in steps[-1].reason


def test_who_ends_the_loop_in_a_training_ends_it() -> None:
    """And nothing is said to have failed: its next start takes the training up again."""
    hands, begun = Hands(Interrupted("by hand.")), []
    with pytest.raises(Interrupted):
        keeping.tend(
            Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=at(1),
            begun=begun.append,
        )  # fmt: skip
    assert begun[-1].trained_at == 1
    assert hands.done == []


@pytest.mark.parametrize(("stage", "new"), [("watching", 0.9), ("canary", 0.7), ("canary", 0.9)])
def test_a_step_that_fails_for_storage_is_tried_again(stage: Any, new: float) -> None:
    class Away(Hands):
        away = True

        def act(self, step: Any, number: int) -> None:
            if self.away:
                raise RegistryError("storage is away.")
            super().act(step, number)

    hands = Away(served=[(stage, 2)])
    tried = Situation(stage=stage, number=None if stage == "watching" else 2)
    for now in (1.0, 2.0):
        steps = keeping.tend(tried, report(new), hands, policy=POLICY, trial=TRIAL, clock=at(now))
        assert steps[-1].action == "fail"
        tried = steps[-1].situation
    hands.away = False
    steps = keeping.tend(tried, report(new), hands, policy=POLICY, trial=TRIAL, clock=at(3.0))
    assert hands.done == [(stage, 2), (steps[-1].action, 2)]


def test_what_may_never_be_released_is_given_up() -> None:
    class Refused(Hands):
        def act(self, step: Any, number: int) -> None:
            raise NotBlessed("it did not pass.")

    steps = keeping.tend(
        Situation(), report(), Refused(), policy=POLICY, trial=TRIAL, clock=at(1.0)
    )
    assert (steps[-1].action, steps[-1].situation.stage) == ("reject", "watching")


def test_who_watches_ends_what_the_loop_brought_in_and_nothing_else(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path))
    for n in range(3):
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    releases = registry.releases("m")
    hands = RegistryHands(
        name="m", storage=str(tmp_path), source="", changes={}, share=0.1, notify=lambda _: None
    )
    releases.promote(1)
    releases.shadow(2, who="policy")
    releases.canary(3, 0.1, who="somebody")
    keeping.tend(Situation(), {}, hands, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert (releases.current().shadow, releases.current().canary) == (None, 3)


def test_rounds_are_told_and_gone_on_from(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    config = MonitoringConfig(
        retrain="drift", windows=1, trial=QUICK, events=EventsConfig(log=str(log))
    )
    said: list[str] = []
    hands = Hands()
    for _ in range(3):  # each as if started anew
        keeping.keep(
            "m", report, hands, config=config,
            standing=Standing(tmp_path / "at.json"),
            say=said.append, pauses=(0.0,),
        )  # fmt: skip
    kinds = [json.loads(line)["kind"] for line in log.read_text().splitlines()]
    assert [kind for kind in kinds if kind != "drift"] == ["train", "shadow", "canary", "promote"]
    assert any("canary" in line for line in said)


def test_troubles_are_told_once_each_by_the_bound_that_is_configured(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    config = MonitoringConfig(quality_at_least=0.9, events=EventsConfig(log=str(log)))
    told = [{**report(), "drifted": [], "prediction": {"drifted": True}} for _ in range(4)]
    for one, value in zip(told, (0.8, 0.8, 0.95, 0.95), strict=True):
        ends = {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 400}
        one["quality"] = {"recent": {"metric": "accuracy", "direction": "maximize", **ends}}
    told[3]["prediction"] = {"drifted": False}
    reports = iter(told)
    keeping.keep(
        "m", lambda: next(reports), Hands(), config=config,
        standing=Standing(tmp_path / "at.json"), say=lambda _: None, pauses=(0.0,) * 4,
    )  # fmt: skip
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["kind"] for event in events] == [
        "prediction_drift", "quality", "quality_calm", "prediction_calm",
    ]  # fmt: skip
    assert events[1]["figures"]["quality_at_least"] == 0.9


def test_what_is_new_is_told_before_the_training_and_its_beginning_as_it_begins(
    tmp_path: Path,
) -> None:
    log = tmp_path / "events.jsonl"
    config = MonitoringConfig(
        retrain="drift", windows=1, quality_at_least=0.9, events=EventsConfig(log=str(log))
    )
    worse = report()
    worse["quality"] = worse["versions"]["1"]["quality"]

    def kinds() -> list[str]:
        return [json.loads(line)["kind"] for line in log.read_text().splitlines()]

    class Slow(Hands):
        dies = True

        def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
            heard.append(kinds())
            if self.dies:
                raise Killed
            return 2, "blessed"

    heard: list[list[str]] = []
    hands = Slow()
    for path in ("killed", "whole"):
        log.unlink(missing_ok=True)
        with pytest.raises(Killed) if hands.dies else contextlib.nullcontext():
            keeping.keep(
                "m", lambda: worse, hands, config=config, standing=Standing(tmp_path / path),
                say=lambda _: None, pauses=(0.0,),
            )  # fmt: skip
        assert kinds() == ["drift", "quality", "train", "shadow"][: 3 if hands.dies else 4]
        hands.dies = False
    assert heard == [["drift", "quality", "train"]] * 2


def test_a_monitor_that_is_away_is_asked_again_and_told_of_once_and_when_it_is_back(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    asked = iter(["away", "away", "here", "here", "away"])

    def away() -> dict[str, Any]:
        if next(asked) == "here":
            return {}
        raise ServingError("no answer.")

    keeping.keep(
        "m", away, Hands(), config=MonitoringConfig(),
        standing=Standing(tmp_path / "at.json"),
        say=said.append, pauses=(0.0,) * 5,
    )  # fmt: skip
    begins = "m: the monitor cannot be reached: no answer."
    assert said == [begins, "m: the monitor answers again", begins]
    assert next(asked, None) is None


def test_that_late_labels_are_waited_for_is_said_once(tmp_path: Path) -> None:
    path, said = tmp_path / "at.json", []
    Standing(path).remember(Situation(stage="shadow", since=0.0, number=2, champion=1))
    told = report()
    told["versions"]["1"]["quality"] = {"joined": 500, "delay": {"p95": 2 * 86400.0}}
    told["versions"]["2"] |= {"requests": 10_000, "quality": {"joined": 0}}
    keeping.keep(
        "m", lambda: told, Hands(served=[("shadow", 2)]), config=MonitoringConfig(),
        standing=Standing(path),
        say=said.append, pauses=(0.0, 0.0, 0.0), clock=at(3 * 86400.0),
    )  # fmt: skip
    (line,) = [line for line in said if "labels" in line]
    assert "up to 2 days late" in line
    assert "until 6 days" in line


@pytest.mark.parametrize(("age", "steps"), [(keeping.OLDEST, 1), (keeping.OLDEST + 1, 0)])
def test_nothing_is_done_by_a_report_that_is_old(tmp_path: Path, age: float, steps: int) -> None:
    said: list[str] = []
    hands = Hands()
    config = MonitoringConfig(retrain="drift", windows=1, trial=QUICK)
    keeping.keep(
        "m", lambda: {**report(), "age": age}, hands, config=config,
        standing=Standing(tmp_path / "at.json"),
        say=said.append, pauses=(0.0,),
    )  # fmt: skip
    assert len(hands.done) == steps
    assert any("31 s old" in line for line in said) is not bool(steps)


def served(storage: Path, versions: int = 2) -> tuple[Any, RegistryHands]:
    """Register versions of a model; returns its releases and the hands that change them."""
    registry = Registry(str(storage))
    for n in range(versions):
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=True, summary={}, parts={})
    hands = RegistryHands(
        name="m", storage=str(storage), source="", changes={}, share=0.1, notify=lambda _: None
    )
    return registry.releases("m"), hands


def compared(gain: float) -> dict[str, Any]:
    """Report version 2 as the champion, compared with version 1 on the same rows."""
    versions = {"1": one(0.8), "2": one(0.8 + gain)}
    versions["1"]["paired"] = {
        "metric": "accuracy", "direction": "maximize", "n": 500, "old": 0.8 + gain, "new": 0.8,
        "gain": -gain, "deviation": 0.01,
    }  # fmt: skip
    return {"model": "m", "version": 2, "features": {}, "versions": versions}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "action", "champion"), [(-0.1, "rollback", 1), (0.1, "confirm", 2)]
)
def test_a_new_champion_that_is_worse_is_taken_back_and_the_history_says_why(
    tmp_path: Path, gain: float, action: str, champion: int
) -> None:
    releases, hands = served(tmp_path)
    releases.promote(1)
    situation = Situation()

    def round_(seen: dict[str, Any], now: float) -> str:
        nonlocal situation
        steps = keeping.tend(situation, seen, hands, policy=Policy(), trial=TRIAL, clock=at(now))
        situation = steps[-1].situation
        return steps[-1].action

    assert round_({**report(), "features": {}}, 1.0) == "wait"
    releases.promote(2, reason="it looked good", who="somebody")
    assert round_(compared(gain), 2.0) == "guard"
    now = releases.current()
    assert (now.champion, now.shadow) == (2, 1)
    assert round_(compared(gain), 3.0) == action
    now = releases.current()
    assert (now.champion, now.shadow) == (champion, None)
    last = releases.changes()[-1]
    assert last.who == "policy"
    assert "same 500 labelled rows" in last.reason
    assert round_(compared(gain), 4.0) == "wait"  # and it is not done again
    assert len(releases.changes()) == last.sequence
    decisions = Registry(str(tmp_path)).decisions("m").all()
    assert [(one.action, one.number) for one in decisions] == [("guard", 2), (action, 2)]
    assert decisions[-1].reason == last.reason


def test_a_loop_that_is_killed_after_a_step_goes_on_from_it(tmp_path: Path) -> None:
    """What it did is in the registry and not in its file: it is no change of somebody else's."""
    releases, hands = served(tmp_path)
    releases.promote(1)
    for action, stage, then in (
        ("shadow", "training", "shadow"),
        ("canary", "shadow", "canary"),
        ("promote", "canary", "watching"),
    ):
        hands.act(Step(action=action, reason="as good", situation=Situation()), 2)
        before = Situation(stage=stage, number=2, champion=1)  # as its file has it
        seen = {**report(), "features": {}}
        seen["versions"]["2"]["requests"] = 0  # so that nothing is judged
        trial = Trial(requests=10, patience=1e9)
        steps = keeping.tend(before, seen, hands, policy=Policy(), trial=trial, clock=at(1.0))
        assert steps[-1].action in ("wait", "shadow")
        assert (steps[-1].situation.stage, steps[-1].situation.champion) == (then, 1)
    assert [one.action for one in releases.changes()] == ["promote", "shadow", "canary", "promote"]


def test_a_version_that_raymm_took_out_is_rejected_for_the_reason_that_is_recorded(
    tmp_path: Path,
) -> None:
    releases, hands = served(tmp_path)
    releases.promote(1)
    for who, told in (("policy", "the canary is worse: it failed"), ("ann", "somebody changed")):
        releases.canary(2, 0.1, who="policy")
        releases.end("canary", reason="the canary is worse: it failed", who=who)
        steps = keeping.tend(
            Situation(stage="canary", number=2, champion=1), report(), hands,
            policy=Policy(), trial=TRIAL, clock=at(1.0),
        )  # fmt: skip
        assert (steps[-1].action, steps[-1].reason[: len(told)]) == ("reject", told)


@pytest.mark.slow
def test_what_was_promoted_by_force_is_left_alone_and_a_persons_shadow_too(tmp_path: Path) -> None:
    releases, hands = served(tmp_path, 3)
    Registry(str(tmp_path)).register("m", b"forced", run="r", blessed=False, summary={}, parts={})
    releases.promote(1)
    releases.shadow(3, who="somebody")
    releases.promote(2)
    guard = Step(action="guard", reason="why", situation=Situation())
    hands.act(guard, 2)
    assert releases.current().shadow == 3
    releases.promote(4, force=True, reason="I know")
    known = Situation(champion=2)
    steps = keeping.tend(known, compared(-0.1), hands, policy=Policy(), trial=TRIAL, clock=at(1.0))
    assert (steps[-1].action, steps[-1].situation.champion) == ("reject", 4)
    assert "left alone" in steps[-1].reason
    assert releases.current().champion == 4


def test_what_is_blessed_and_was_promoted_by_force_is_left_alone_too(tmp_path: Path) -> None:
    releases, hands = served(tmp_path)
    releases.promote(1)
    assert releases.promote(2, force=True).insisted
    steps = keeping.tend(
        Situation(champion=1), compared(-0.1), hands, policy=Policy(), trial=TRIAL, clock=at(1.0)
    )
    assert "by force" in steps[-1].reason
    assert releases.current().shadow is None
    first = releases.changes()[0]
    record = {key: value for key, value in as_record(first).items() if key != "insisted"}
    assert from_record(Change, record) == first  # as older records have it


def test_a_champion_that_cannot_be_guarded_is_watched_all_the_same() -> None:
    class Damaged(Hands):
        def act(self, step: Any, number: int) -> None:
            if step.action == "guard":
                raise RegistryError("the bundle of version 0 is damaged.")
            super().act(step, number)

        def release(self) -> Release:
            return Release(name="m", champion=1, earlier=(0,))

    hands, situation, actions = Damaged(), Situation(champion=0), []
    for now in (1.0, 2.0):
        steps = keeping.tend(situation, report(), hands, policy=POLICY, trial=TRIAL, clock=at(now))
        situation = steps[-1].situation
        actions += [step.action for step in steps]
    assert actions == ["fail", "train", "shadow"]


def test_a_version_that_was_gone_back_to_is_guarded_once_and_left_alone(tmp_path: Path) -> None:
    releases, hands = served(tmp_path, 3)
    for number in (1, 2, 3):
        releases.promote(number)
    releases.rollback(reason="version 3 was no good", who="somebody")
    situation, actions = Situation(champion=1), []
    for now in (1.0, 2.0, 3.0):
        steps = keeping.tend(
            situation, compared(-0.1), hands, policy=Policy(), trial=TRIAL, clock=at(now)
        )
        situation = steps[-1].situation
        actions.append(steps[-1].action)
    assert actions == ["reject", "wait", "wait"]
    assert situation.champion == 2
    assert len(releases.changes()) == 4


def test_a_rollback_that_changes_nothing_is_no_rollback_and_is_not_done_again(
    tmp_path: Path,
) -> None:
    """While version 2 was compared, somebody promoted version 3 and went back to version 2."""
    releases, hands = served(tmp_path, 3)
    for number in (1, 2, 3):
        releases.promote(number)
    releases.rollback(who="somebody")
    situation = Situation(stage="probation", number=2, champion=2, earlier=1)
    actions = []
    for now in (1.0, 2.0, 3.0):
        steps = keeping.tend(
            situation, compared(-0.1), hands, policy=Policy(), trial=TRIAL, clock=at(now)
        )
        situation = steps[-1].situation
        actions.append(steps[-1].action)
    assert actions == ["reject", "wait", "wait"]
    assert releases.current().champion == 2


def test_two_that_keep_one_model_do_not_both_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    monkeypatch.setattr(endpoint, "find", lambda _: SimpleNamespace(url="http://here"))
    monkeypatch.setattr(
        lifecycle, "again", lambda *_: parse({"data": {"source": "x", "target": "y"}})
    )
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    (tmp_path / "loops").mkdir()
    registry = Registry(str(tmp_path))
    registry.register("m", b"b", run="r", blessed=True, summary={}, parts={})
    registry.promote("m", 1)
    kept = keeping.Kept(name="m", source="x", storage=str(tmp_path))
    given: Any = {"say": print, "notify": lambda _: None, "pauses": (), "asks": "at once"}
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "loops" / "m.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ServingError, match="raymm keep of m runs already"):
            keeping.beside(kept, **given)
        # The loop that runs is not asked for what the other's person asked of that one.
        assert registry.wishes("m").all() == ()
    finally:
        other.kill()
        other.wait()
    keeping.beside(kept, **given)
    assert [one.reason for one in registry.wishes("m").all()] == ["at once"]


@pytest.mark.parametrize(
    ("retrain", "told"),
    [
        ("off", "trains again only when asked (raymm retrain m --trial), from s3://b/x"),
        (("drift", "age"), "trains again on drift, age, and when asked (raymm retrain m --trial)"),
    ],
)
def test_what_begins_says_what_it_watches_and_when_it_trains(retrain: Any, told: str) -> None:
    config = MonitoringConfig(retrain=retrain, max_age="1d")
    kept = keeping.Kept(name="m", source="s3://b/x", storage="")
    said = keeping._begun(kept, "http://there:8000", config)
    assert said.startswith("watching m at http://there:8000 every 10 s; ")
    assert told in said


@pytest.mark.slow
def test_the_service_is_looked_up_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deployed anew it has another token; taken away meanwhile, it is waited for."""
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path))
    monkeypatch.setattr(
        lifecycle, "again", lambda *_: parse({"data": {"source": "x", "target": "y"}})
    )
    asked: list[str] = []
    monkeypatch.setattr(endpoint, "ask", lambda to, _: asked.append(to.token) or {"report": {}})
    endpoint.record(endpoint.Service(name="m", url="http://h:1", token="a", storage=""))

    def rounds() -> Any:
        yield 0.0
        endpoint.path_of("m").unlink()
        yield 0.0
        endpoint.record(endpoint.Service(name="m", url="http://h:1", token="b", storage=""))
        yield 0.0

    said: list[str] = []
    kept = keeping.Kept(name="m", source="x", storage=str(tmp_path))
    given: Any = {"say": said.append, "notify": lambda _: None}
    keeping.beside(kept, pauses=rounds(), **given)
    assert asked == ["a", "b"]
    assert ["no service of m is recorded" in line for line in said[1:]] == [True, False]  # and back
    there = endpoint.elsewhere("m", "http://there:8000", "c")
    keeping.beside(kept, pauses=(0.0,), **given, there=there)
    assert asked[-1] == "c"


@pytest.mark.slow
def test_where_the_loop_stands_lies_in_the_home_and_in_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        lifecycle, "again", lambda *_: parse({"data": {"source": "x", "target": "y"}})
    )
    monkeypatch.setattr(endpoint, "ask", lambda *_: {"report": report()})
    storage = tmp_path / "storage"
    served(storage)[0].promote(1)
    there = endpoint.elsewhere("m", "http://there:8000", "c")
    kept = keeping.Kept(name="m", source="x", storage=str(storage))
    keeping.beside(kept, say=print, notify=lambda _: None, pauses=(0.0,), there=there)
    monkeypatch.setenv("RAYMM_HOME", str(tmp_path / "another"))  # which need not wait
    said: list[str] = []
    keeping.beside(kept, say=said.append, notify=lambda _: None, pauses=(0.0,), there=there)
    assert not any("another loop" in line for line in said)
    lie = [tmp_path / "home" / "loops" / "m.json", storage / "keeping" / "m" / "state.json"]
    assert [json.loads(path.read_text())["champion"] for path in lie] == [1, 1]


@pytest.mark.parametrize("blessed", [True, False])
def test_a_training_tells_whether_its_version_is_blessed(blessed: bool) -> None:
    hands = Hands()
    hands.blessed = lambda _: blessed  # type: ignore[method-assign]
    steps = keeping.tend(Situation(), report(), hands, policy=POLICY, trial=TRIAL, clock=at(1.0))
    assert steps[-1].action == "shadow"
    assert steps[-1].situation.blessed is blessed


# ------------------------------------------------------------------ what persons ask for


LEASE = 30.0
CALM = MonitoringConfig(retrain="off", trial=QUICK)


class Asked(RegistryHands):
    """Changes a real registry; its trainings make version 2, and are counted."""

    begun: ClassVar[list[str]] = []
    dies: ClassVar[list[bool]] = []
    fails: ClassVar[list[Exception]] = []

    def train(self, reason: str, source: str = "") -> tuple[int | None, str]:
        self.begun.append(source or reason)
        if self.fails:
            raise self.fails.pop()
        if self.dies and self.dies.pop():
            raise Killed
        return 2, f"{reason} version 2 is blessed"


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    """Rounds of a loop on a registry with two versions, as another process each time."""
    releases, _ = served(tmp_path)
    releases.promote(1)
    Asked.begun.clear()
    Asked.dies.clear()
    Asked.fails.clear()
    said: list[str] = []

    def rounds(
        count: int = 1,
        home: str = "a",
        *,
        new: float = 0.9,
        seen: Any = None,
        now: float = 5.0,
        shared: bool = False,
    ) -> Any:
        hands = Asked(
            name="m", storage=str(tmp_path), source="", changes={}, share=0.1,
            notify=lambda _: None,
        )  # fmt: skip
        state, lease = (
            SharedFile(storage=str(tmp_path), path=f"keeping/m/{file}.json")
            for file in ("state", "lease")
        )
        standing = Standing(tmp_path / f"{home}.json")
        if shared:
            held = Lease(lease, home=home, told=f"ann@{home}", clock=at(now), lasts=LEASE, wait=id)
            standing = Standing(tmp_path / f"{home}.json", state, lease=held)
        keeping.keep(
            "m", lambda: seen or {**report(new), "features": {}, "drifted": []}, hands,
            config=CALM, standing=standing, say=said.append, pauses=(0.0,) * count, clock=at(now),
        )  # fmt: skip
        return standing.recall()

    registry = Registry(str(tmp_path))
    return SimpleNamespace(
        rounds=rounds,
        ask=registry.wishes("m").add,
        said=said,
        wishes=lambda: Registry(str(tmp_path)).wishes("m"),
        steps=lambda: [(one.action, one.reason) for one in registry.decisions("m").all()],
        release=releases.current,
    )


@pytest.mark.parametrize(("new", "end", "champion"), [(0.9, "promote", 2), (0.7, "reject", 1)])
def test_what_a_person_asks_for_is_trained_tried_and_decided_where_training_is_off(
    asked: Any, new: float, end: str, champion: int
) -> None:
    asked.rounds()
    asked.ask(reason="new prices.", who="ann@desk")
    assert asked.rounds(new=new).trained_at == 5.0  # which counts for the pause of triggers
    asked.rounds(2, new=new)
    kinds = [action for action, _ in asked.steps()]
    assert kinds == ["train", "shadow", *(["canary"] if champion == 2 else []), end]
    assert asked.steps()[0][1] == "asked for by ann@desk: new prices."
    assert "asked for by ann@desk" in asked.steps()[1][1]
    assert asked.release().champion == champion
    asked.rounds(2, new=new)
    assert len(Asked.begun) == 1  # and it is not done again


def test_two_who_ask_at_once_are_answered_by_one_training(asked: Any) -> None:
    asked.ask(who="ann@desk")
    asked.ask(who="bob@desk", reason="me too")
    asked.rounds()
    assert asked.steps()[0] == ("train", "asked for by ann@desk; bob@desk: me too.")
    assert asked.wishes().next() is None


def test_a_person_may_name_other_data(asked: Any) -> None:
    asked.ask(source="new.csv")
    asked.rounds()
    assert Asked.begun == ["new.csv"]


def test_of_two_loops_in_two_homes_one_trains(asked: Any) -> None:
    asked.ask()
    for home in "ab":
        asked.rounds(home=home)
    assert len(Asked.begun) == 1


def test_what_is_asked_for_in_a_trial_waits_for_its_end_and_is_told_once(asked: Any) -> None:
    asked.ask(who="ann@desk")
    assert asked.rounds().stage == "shadow"
    asked.ask(who="bob@desk")
    none = {**report(), "features": {}, "drifted": []}
    none["versions"]["2"]["requests"] = 0  # so that nothing is judged
    assert asked.rounds(3, seen=none).stage == "shadow"
    (line,) = [line for line in asked.said if "bob@desk" in line]
    told = "m: asked to train by bob@desk: begins when the shadow of version 2 is over"
    assert (line, len(Asked.begun)) == (told, 1)
    asked.rounds(2)
    assert (asked.release().champion, len(Asked.begun)) == (2, 1)
    asked.rounds()  # the new champion is compared with the one before it
    assert asked.wishes().next() is not None


def test_a_loop_killed_in_the_training_goes_on_with_it_and_takes_nothing_up_twice(
    asked: Any,
) -> None:
    asked.ask(who="ann@desk")
    Asked.dies.append(True)
    with pytest.raises(Killed):
        asked.rounds()
    assert asked.wishes().next() is None
    asked.rounds(home="b")  # a loop elsewhere leaves it to the one that took it up
    assert len(Asked.begun) == 1
    assert asked.rounds().stage == "shadow"
    assert [kind for kind, _ in asked.steps()] == ["train", "train", "shadow"]
    assert asked.steps()[1][1].endswith("It did not end before, and goes on: try 2 of 3.")
    asked.rounds(3)
    assert len(Asked.begun) == 2
    assert [one.action for one in asked.wishes().all()] == ["ask", "take"]


def test_a_loop_whose_home_is_gone_goes_on_with_its_trial_and_keeps_its_pause(
    asked: Any,
) -> None:
    asked.ask(who="ann@desk")
    none = {**report(), "features": {}, "drifted": []}
    none["versions"]["2"]["requests"] = 0  # so that nothing is judged
    before = asked.rounds(2, home="a", seen=none, shared=True)
    assert (before.stage, before.trained_at, asked.release().shadow) == ("shadow", 5.0, 2)
    after = asked.rounds(2, home="b", seen=none, now=40.0, shared=True)
    assert (after, asked.release().shadow) == (before, 2)
    asked.rounds(2, home="c", now=75.0, shared=True)
    assert (asked.release().champion, len(Asked.begun)) == (2, 1)
    assert [kind for kind, _ in asked.steps()] == ["train", "shadow", "canary", "promote"]


def test_a_request_outlives_the_home_of_the_loop_that_was_killed_in_its_training(
    asked: Any,
) -> None:
    asked.ask(who="ann@desk")
    Asked.dies.append(True)
    with pytest.raises(Killed):
        asked.rounds(home="a", shared=True)
    assert asked.rounds(home="b", now=5.0 + LEASE, shared=True).stage == "shadow"
    assert asked.steps()[1][1].endswith("It did not end before, and goes on: try 2 of 3.")
    assert len(Asked.begun) == 2


def test_of_two_loops_that_share_a_storage_one_acts_and_the_other_watches(asked: Any) -> None:
    asked.ask(who="ann@desk")
    none = {**report(), "features": {}, "drifted": []}
    none["versions"]["2"]["requests"] = 0  # so that nothing is judged
    before = asked.rounds(home="a", seen=none, shared=True)
    asked.ask(who="bob@desk")
    asked.rounds(3, home="b", seen=none, now=4.0 + LEASE, shared=True)
    (line,) = [line for line in asked.said if "another loop acts" in line]
    assert "that of ann@a; this one watches" in line
    assert (asked.release().shadow, asked.wishes().next().told) == (2, "bob@desk")
    after = asked.rounds(home="b", seen=none, now=5.0 + LEASE, shared=True)
    assert replace(after, marks=()) == before
    asked.rounds(3, home="a", now=6.0 + LEASE, shared=True)  # it lives, and watches now
    assert [kind for kind, _ in asked.steps()] == ["train", "shadow"]


def test_nothing_is_done_before_it_is_known_where_the_loop_stands(tmp_path: Path) -> None:
    """Storage that is away must not end a trial as one that nobody knows of."""
    releases, hands = served(tmp_path)
    releases.promote(1)
    releases.shadow(2, who="policy")
    shared = SharedFile(storage=str(tmp_path), path="keeping/m/state.json")
    Standing(tmp_path / "a.json", shared).remember(
        Situation(stage="shadow", number=2, champion=1, since=1.0)
    )
    answers = [RegistryError("storage is away."), RegistryError("storage is away."), None]

    class Flaky:
        def read(self, limit: int) -> bytes:
            if (error := answers.pop(0)) is not None:
                raise error
            return shared.read(limit)

        def replace(self, data: bytes) -> None:
            shared.replace(data)

    said: list[str] = []
    none = {**report(), "features": {}, "drifted": []}
    none["versions"]["2"]["requests"] = 0
    standing = Standing(tmp_path / "b.json", Flaky())
    keeping.keep(
        "m", lambda: none, hands, config=CALM, standing=standing, say=said.append,
        pauses=(0.0,) * 3, clock=at(2.0),
    )  # fmt: skip
    assert releases.current().shadow == 2
    assert sum("where the loop stands cannot be read" in line for line in said) == 1


def test_a_training_that_kills_its_loop_is_left_after_three_tries(asked: Any) -> None:
    asked.ask(who="ann@desk")
    Asked.dies.extend([True] * TRIES)
    for _ in range(TRIES):
        with pytest.raises(Killed):
            asked.rounds()
    asked.rounds(2)
    assert len(Asked.begun) == TRIES
    assert asked.steps()[-1][0] == "reject"
    assert "cut off 3 times" in asked.steps()[-1][1]


def test_a_training_that_fails_for_what_passes_is_begun_again_later(asked: Any) -> None:
    asked.ask(who="ann@desk", source="new.csv")
    Asked.fails.append(ClusterError("Ray cannot be started."))
    assert asked.rounds(2).stage == "watching"
    assert asked.rounds(now=4.0 + RETRY).stage == "watching"
    assert Asked.begun == ["new.csv"]
    assert asked.rounds(now=5.0 + RETRY).stage == "shadow"
    assert Asked.begun == ["new.csv"] * 2
    assert [kind for kind, _ in asked.steps()] == ["train", "fail", "train", "shadow"]
    assert "ClusterError" in asked.steps()[1][1]
    assert "in 10 minutes, try 1 of 3" in asked.steps()[1][1]
    assert asked.steps()[2][1].endswith("goes on: try 2 of 3.")
    assert any("Ray cannot be started" in line for line in asked.said)


def test_a_training_that_fails_each_time_is_left_after_three_tries(asked: Any) -> None:
    asked.ask(who="ann@desk")
    Asked.fails.extend([DataError("no such file.") for _ in range(TRIES + 1)])
    for n in range(TRIES + 2):
        asked.rounds(now=5.0 + n * RETRY)
    assert len(Asked.begun) == TRIES
    kinds = [kind for kind, _ in asked.steps()]
    assert kinds == [*["train", "fail"] * (TRIES - 1), "train", "reject"]
    assert asked.steps()[-1][1].startswith("asked for by ann@desk: training failed with DataError")
    assert [one.action for one in asked.wishes().all()] == ["ask", "take"]


def test_a_training_that_nothing_came_of_is_not_begun_again(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.ask()
    monkeypatch.setattr(Asked, "train", lambda *_: Asked.begun.append("") or (None, "not blessed"))
    for n in range(3):
        asked.rounds(now=5.0 + n * RETRY)
    assert (len(Asked.begun), asked.steps()[-1]) == (1, ("reject", "not blessed"))


def test_the_reason_names_those_alone_whose_request_this_loop_takes_up(
    asked: Any, tmp_path: Path
) -> None:
    asked.ask(who="ann@desk", reason="prices.")
    wish = asked.wishes().next()
    asked.ask(who="bob@desk")
    both = replace(asked.wishes().next(), claim="ours", tries=1)
    asked.wishes().take(replace(wish, claim="theirs"))
    hands = Asked(
        name="m", storage=str(tmp_path), source="", changes={}, share=0.1, notify=lambda _: None
    )  # fmt: skip
    step = Step(action="train", reason="", situation=Situation(wish=both))
    step = keeping._taken(hands, step, Situation())
    assert step.reason == "asked for by bob@desk."
    assert step.situation.wish is not None
    assert step.situation.wish.numbers == (2,)


def test_a_loop_killed_before_it_has_taken_up_what_it_remembers_takes_it_up(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.ask()
    take = Asked.take

    def dying(self: Any, wish: Wish) -> Wish | None:
        raise Killed

    monkeypatch.setattr(Asked, "take", dying)
    with pytest.raises(Killed):
        asked.rounds()
    assert asked.wishes().next() is not None
    monkeypatch.setattr(Asked, "take", take)
    asked.rounds(3)
    assert len(Asked.begun) == 1
    assert asked.release().champion == 2


def test_what_cannot_be_taken_up_for_storage_is_tried_again(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.ask()
    take = Asked.take

    def away(self: Any, wish: Wish) -> Wish | None:
        raise RegistryError("storage is away.")

    monkeypatch.setattr(Asked, "take", away)
    for _ in range(TRIES + 1):
        assert asked.rounds().stage == "watching"
    assert any("storage is away" in line for line in asked.said)
    monkeypatch.setattr(Asked, "take", take)
    assert asked.rounds().stage == "shadow"
    assert len(Asked.begun) == 1


def test_requests_that_cannot_be_read_are_told_and_keep_no_trial_from_its_end(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.ask()
    asked.rounds()

    def damaged(self: Any) -> Wish | None:
        raise RegistryError("a record is damaged.")

    monkeypatch.setattr(Asked, "wish", damaged)
    asked.rounds(2)
    assert asked.release().champion == 2
    asked.rounds(3)
    assert any("cannot be read, which is tried again: a record" in line for line in asked.said)


def test_a_new_champion_is_guarded_first_and_the_cut_off_training_goes_on_after(
    asked: Any,
) -> None:
    wish = Wish(numbers=(1,), told="ann@desk", claim="c", tries=1)
    guarded = keeping.tend(
        Situation(champion=0, wish=wish), report(), Watching(), policy=Policy(), trial=TRIAL,
        clock=at(1.0),
    )[-1]  # fmt: skip
    assert (guarded.action, guarded.situation.wish) == ("guard", wish)
    over = Situation(stage="probation", number=1, champion=1, earlier=0, wish=wish)
    off = replace(TRIAL, rollback=False)
    steps = keeping.tend(over, report(), Watching(), policy=Policy(), trial=off, clock=at(2.0))
    assert (steps[-1].action, steps[-1].situation.wish) == ("confirm", wish)


class Watching(Hands):
    """Sees version 1 reign, and version 0 before it."""

    def release(self) -> Release:
        return Release(name="m", champion=1, earlier=(0,))
