from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Release, Wish
from raymm.monitoring.answered import Answered, bucket
from raymm.monitoring.loop import MARK_EVERY, TRIES, Situation, advance, marked, trained
from raymm.monitoring.triggers import Policy
from raymm.monitoring.verdict import Trial

TRIAL = Trial(labels=200, requests=100, patience=1000.0)
POLICY = Policy(on=("drift",), windows=1, pause=500.0)


def took(seconds: float, requests: int = 1000) -> dict[str, Any]:
    """Return a report's latency of so many answers that took as long."""
    return {"within": {str(bucket(seconds)): requests}}


def version(
    value: float | None = None, n: int = 0, *, requests: int = 1000, **more: Any
) -> dict[str, Any]:
    recent = {"metric": "accuracy", "direction": "maximize", "value": value, "n": n}
    recent |= {"low": None if value is None else value - 0.02}
    recent |= {"high": None if value is None else value + 0.02}
    return {
        "requests": requests,
        "errors": {},
        "latency": took(0.01, requests),
        "quality": {"recent": recent, "joined": n},
        **more,
    }


def report(old: dict[str, Any], new: dict[str, Any] | None = None, streak: int = 0) -> Any:
    versions = {"1": old} if new is None else {"1": old, "2": new}
    return {"version": 1, "features": {"x": {"streak": streak}}, "versions": versions}


def test_a_good_challenger_goes_all_the_way_and_each_step_says_why() -> None:
    steps = [advance(Situation(), report(version(), streak=1), policy=POLICY, trial=TRIAL, now=9.0)]
    steps.append(advance(steps[-1].situation, {}, policy=POLICY, trial=TRIAL, now=10.0))
    steps.append(trained(steps[-1].situation, number=2, reason="blessed", now=20.0))
    better = report(version(0.8, 900), version(0.9, 900))
    more = report(version(0.8, 900), version(0.9, 1700, requests=1100))
    for now, seen in ((30.0, better), (35.0, better), (40.0, more)):
        steps.append(advance(steps[-1].situation, seen, policy=POLICY, trial=TRIAL, now=now))
    assert [one.action for one in steps] == [
        "train", "wait", "shadow", "canary", "wait", "promote",
    ]  # fmt: skip
    assert all(one.reason for one in steps)
    assert steps[-1].situation == Situation(since=40.0, trained_at=9.0)
    # The same drift asks again, but not before the pause is over.
    again = report(version(), streak=1)
    for now, action in ((41.0, "wait"), (510.0, "train")):
        step = advance(steps[-1].situation, again, policy=POLICY, trial=TRIAL, now=now)
        assert step.action == action


def test_each_stage_counts_requests_and_labels_of_its_own() -> None:
    tried = Situation(stage="canary", number=2, since=0.0, requests=1000, labels=500)
    for requests, n, action in (
        (1099, 1300, "wait"),
        (1100, 1299, "wait"),
        (1100, 1300, "promote"),
    ):
        seen = report(version(0.8, 900), version(0.84, n, requests=requests))
        assert advance(tried, seen, policy=POLICY, trial=TRIAL, now=1.0).action == action
    seen = report(version(0.8, 900), version(0.9, 900))
    step = trained(Situation(stage="training"), number=2, reason="why", now=1.0, report=seen)
    assert (step.situation.requests, step.situation.labels) == (1000, 900)


@pytest.mark.parametrize(
    ("release", "action"),
    [
        (Release(name="m", champion=1, shadow=2), "canary"),
        (Release(name="m", champion=1), "reject"),  # somebody took it out
        (Release(name="m", champion=1, canary=2), "reject"),  # somebody let it answer
        (Release(name="m", champion=3, shadow=2), "reject"),  # tried against another
    ],
)
def test_a_trial_is_of_what_the_registry_says_is_served(release: Release, action: str) -> None:
    tried = Situation(stage="shadow", number=2, since=0.0, champion=1)
    seen = report(version(0.8, 900), version(0.9, 900))
    step = advance(tried, seen, policy=POLICY, trial=TRIAL, now=1.0, release=release)
    assert step.action == action
    late = {**seen, "version": 3}  # the monitor has not heard of the champion
    if action == "canary":
        step = advance(tried, late, policy=POLICY, trial=TRIAL, now=1.0, release=release)
        assert step.action == "wait"


def test_nothing_comes_of_an_unblessed_version() -> None:
    training = Situation(stage="training", since=1.0, trained_at=1.0)
    step = trained(training, number=None, reason="not blessed", now=5.0)
    assert (step.action, step.situation.stage, step.situation.trained_at) == (
        "reject", "watching", 1.0,
    )  # fmt: skip


def test_what_is_not_blessed_is_given_up_where_labels_do_not_show_that_it_is_no_worse() -> None:
    training = Situation(stage="training", since=1.0, trained_at=1.0)
    for blessed, action in ((True, "canary"), (False, "reject")):
        begun = replace(training, blessed=blessed)
        step = trained(begun, number=2, reason="why", now=5.0)
        assert (step.action, step.situation.blessed) == ("shadow", blessed)
        seen = report(version(), version())
        after = advance(step.situation, seen, policy=POLICY, trial=TRIAL, now=1006.0)
        assert after.action == action


def test_a_challenger_that_somebody_promoted_is_tried_no_longer() -> None:
    shadow = Situation(stage="shadow", number=2, since=0.0)
    now_champion = {**report(version(), version()), "version": 2}
    step = advance(shadow, now_champion, policy=POLICY, trial=TRIAL, now=1.0)
    assert (step.action, step.situation.stage) == ("wait", "watching")


@given(
    stage=st.sampled_from(["shadow", "canary"]),
    old=st.floats(0, 1),
    new=st.floats(0, 1),
    n=st.integers(0, 2000),
    now=st.floats(0, 5000),
)
def test_no_challenger_with_worse_labels_takes_over(
    stage: Any, old: float, new: float, n: int, now: float
) -> None:
    tried = Situation(stage=stage, number=2, since=0.0)
    seen = report(version(old, n), version(new, n))
    step = advance(tried, seen, policy=POLICY, trial=TRIAL, now=now)
    if step.action in ("canary", "promote") and n >= 4 * TRIAL.labels:
        assert new >= old
    if step.action == "promote":
        assert stage == "canary"


def test_a_silent_challenger_is_given_up() -> None:
    tried = Situation(stage="shadow", number=2, since=0.0)
    for now, action in ((999.0, "wait"), (1001.0, "reject")):
        step = advance(tried, report(version()), policy=POLICY, trial=TRIAL, now=now)
        assert step.action == action


def probation(action: str, now: float = 1.0, **change: Any) -> None:
    """Advance a champion, version 2, that took the place of version 1, and look at the step."""
    on = Situation(stage="probation", number=2, champion=2, earlier=1, requests=0, labels=0)
    old = version(0.8, 900)
    old["paired"] = {
        "metric": "accuracy", "direction": "maximize", "n": 900, "old": change.pop("value", 0.7),
        "new": 0.8, "gain": 0.1, "deviation": 0.01,
    }  # fmt: skip
    old["paired"]["gain"] = old["paired"]["new"] - old["paired"]["old"]
    release = change.pop("release", Release(name="m", champion=2, shadow=1, earlier=(1,)))
    seen = {**report(old, version(0.8, 900)), "version": 2, **change}
    step = advance(on, seen, policy=POLICY, trial=TRIAL, now=now, release=release)
    assert step.action == action
    assert step.reason
    if action in ("confirm", "rollback"):
        assert step.situation.stage == "watching"
        assert step.situation.champion == (2 if action == "confirm" else 1)


def test_a_new_champion_is_confirmed_or_taken_back() -> None:
    probation("rollback", value=0.7)
    probation("confirm", value=0.8)
    probation("wait", version=1)  # the monitor has not heard of it
    for changed in (
        Release(name="m", champion=3, earlier=(2, 1)),
        Release(name="m", champion=1),
    ):
        probation("wait", value=0.7, release=changed)


def test_another_champion_is_put_on_probation_once() -> None:
    seen = {**report(version(), version()), "version": 2}
    taken = Release(name="m", champion=2, earlier=(1,))
    first = Release(name="m", champion=1)

    def step(situation: Situation, release: Release, trial: Trial = TRIAL) -> Any:
        return advance(situation, seen, policy=Policy(), trial=trial, now=5.0, release=release)

    known = step(Situation(), first).situation
    assert known.champion == 1
    guarded = step(known, taken)
    assert (guarded.action, guarded.situation.stage) == ("guard", "probation")
    assert (guarded.situation.number, guarded.situation.earlier) == (2, 1)
    assert step(known, taken, Trial(rollback=False)).action == "wait"
    # Neither a rollback nor the first look at a model calls for one.
    assert step(Situation(champion=2), first).action == "wait"
    assert step(Situation(), taken).action == "wait"


def test_labels_that_let_a_challenger_go_on_settle_it_and_patience_does_not() -> None:
    shadow = Situation(stage="shadow", number=2, since=0.0)
    for seen, now in (
        (report(version(0.8, 900), version(0.9, 900)), 1.0),
        (report(version(), version()), 1001.0),
    ):
        step = advance(shadow, seen, policy=POLICY, trial=TRIAL, now=now)
        assert (step.action, step.situation.settled) == ("canary", now == 1.0)
    # By chance it looks no better now, and is promoted all the same.
    tried = Situation(stage="canary", number=2, since=0.0, settled=True)
    seen = report(version(0.8, 900), version(0.8, 900))
    assert advance(tried, seen, policy=POLICY, trial=TRIAL, now=1.0).action == "promote"


def test_what_a_champion_took_while_it_answered_is_what_the_next_may_take() -> None:
    release = Release(name="m", champion=2, earlier=(1,), shadow=1)
    slow = {"latency": took(0.03), "errors": {"Exception": 20}}
    seen = {**report(version(**slow), version(**slow, requests=500)), "version": 2}
    begun = advance(
        Situation(champion=1), seen, policy=POLICY, trial=TRIAL, now=1.0, release=release
    )
    assert begun.action == "guard"
    # In shadow it has computed 9,000 answers since, without the time that requests take to come.
    seen = {**report(version(requests=10_000), version(**slow)), "version": 2}
    step = advance(begun.situation, seen, policy=POLICY, trial=TRIAL, now=2.0, release=release)
    assert (step.action, step.situation.stage) == ("wait", "probation")
    slower = version(latency=took(0.07))
    seen = {**report(version(requests=10_000), slower), "version": 2}
    step = advance(begun.situation, seen, policy=POLICY, trial=TRIAL, now=3.0, release=release)
    assert step.action == "rollback"


def test_a_champion_that_has_gone_answers_for_its_last_day_alone() -> None:
    """It answered small requests for months; those of many rows have come for two days."""
    situation, day = Situation(champion=1), 2 * MARK_EVERY
    quick = {"-26": 1_000_000}
    for hour in range(48):
        within = {**quick, "-10": 100 * hour}
        count = 1_000_000 + 100 * hour
        seen = report(version(requests=count, latency={"within": within}))
        situation = marked(situation, seen, hour * day / 24)
    assert len(situation.marks) == 2
    usual = version(requests=1_004_800, latency={"within": {**quick, "-10": 4800}})
    now = {**report(usual, version(requests=0, latency={})), "version": 2}
    release = Release(name="m", champion=2, earlier=(1,), shadow=1)
    given: Any = {"policy": POLICY, "trial": TRIAL, "release": release}
    begun = advance(situation, now, now=2 * day, **given).situation
    assert set(dict(begun.usual.within)) == {-10}
    assert 1200 <= begun.usual.requests <= 2500
    now["versions"]["2"] = version(latency={"within": {"-10": 1000}})
    assert advance(begun, now, now=2 * day, **given).action == "wait"
    without = advance(Situation(champion=1), {**now, "version": 2}, now=0.0, **given).situation
    assert without.usual.requests == 1_004_800  # without marks, all that is known
    assert marked(situation, {}, 9e9).marks == situation.marks
    assert marked(Situation(champion=2, marks=situation.marks), {}, 0.0).marks == ()


def test_a_stage_is_judged_by_what_came_in_it() -> None:
    """The challenger failed in an earlier trial; the champion was asked little rows for a year."""
    old = version(requests=1_000_000, latency={"within": {"-26": 1_000_000}})
    known = version(requests=50, errors={"Exception": 50}, latency={})
    step = trained(Situation(), number=2, reason="", now=0.0, report=report(old, known), champion=1)
    assert step.situation.counted == Answered(requests=50, failed=50)
    old = version(requests=1_000_500, latency={"within": {"-26": 1_000_000, "-10": 500}})
    new = version(requests=550, errors={"Exception": 50}, latency={"within": {"-10": 500}})
    given: Any = {"policy": POLICY, "trial": TRIAL, "now": 9.0}
    found = advance(step.situation, report(old, new), **given)
    assert (found.action, found.reason) == ("wait", "labels of its answers are still too few")
    onward = advance(step.situation, report(old, new), **{**given, "now": 2000.0}).situation
    assert (onward.stage, onward.counted.requests, onward.other.requests) == (
        "canary", 550, 1_000_500,
    )  # fmt: skip


def test_a_probation_ends_where_rollback_is_off_since() -> None:
    on = Situation(stage="probation", number=2, champion=2, earlier=1)
    release = Release(name="m", champion=2, shadow=1, earlier=(1,))
    failing = version(errors={"Exception": 900})
    seen = {**report(version(), failing), "version": 2}
    for rollback, action in ((True, "rollback"), (False, "confirm")):
        trial = Trial(rollback=rollback)
        step = advance(on, seen, policy=POLICY, trial=trial, now=1.0, release=release)
        assert (step.action, step.situation.stage) == (action, "watching")


WISH = Wish(numbers=(1,), told="ann@desk: new prices", claim="c")


def test_a_persons_wish_needs_no_trigger_and_no_pause_and_counts_for_those_of_triggers() -> None:
    known = Situation(trained_at=9.0)
    calm = report(version())
    asked = advance(known, calm, policy=Policy(), trial=TRIAL, now=10.0, wish=WISH)
    assert (asked.action, asked.reason) == ("train", "asked for by ann@desk: new prices.")
    assert asked.situation.wish == replace(WISH, tries=1)
    after = trained(asked.situation, number=None, reason="not blessed", now=20.0).situation
    assert (after.trained_at, after.wish) == (10.0, None)
    drifted = report(version(), streak=1)
    for now, action in ((509.0, "wait"), (510.0, "train")):
        assert advance(after, drifted, policy=POLICY, trial=TRIAL, now=now).action == action


@pytest.mark.parametrize("stage", ["shadow", "canary", "probation"])
def test_a_wish_is_not_taken_up_while_a_version_is_tried(stage: Any) -> None:
    tried = Situation(stage=stage, number=2, champion=1, earlier=1)
    step = advance(
        tried, report(version(), version()), policy=POLICY, trial=TRIAL, now=1.0, wish=WISH
    )
    assert (step.action, step.situation.wish) == ("wait", None)


def test_a_training_that_was_cut_off_comes_before_another_wish() -> None:
    cut = Situation(wish=replace(WISH, tries=1))
    other = Wish(numbers=(2,), told="bob@desk")
    step = advance(cut, report(version()), policy=Policy(), trial=TRIAL, now=1.0, wish=other)
    assert (step.action, step.situation.wish) == ("train", replace(WISH, tries=2))
    tired = Situation(wish=replace(WISH, tries=TRIES))
    step = advance(tired, report(version()), policy=Policy(), trial=TRIAL, now=1.0, wish=other)
    assert (step.action, step.situation) == ("reject", Situation())
