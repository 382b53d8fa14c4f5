from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Release
from raymm.monitoring.loop import Situation, Trial, advance, judge, trained
from raymm.monitoring.triggers import Policy

TRIAL = Trial(labels=200, requests=100, patience=1000.0)
POLICY = Policy(on=("drift",), windows=1, pause=500.0)


def version(
    value: float | None = None, n: int = 0, *, requests: int = 1000, **more: Any
) -> dict[str, Any]:
    recent = {"metric": "accuracy", "direction": "maximize", "value": value, "n": n}
    recent |= {"low": None if value is None else value - 0.02}
    recent |= {"high": None if value is None else value + 0.02}
    return {
        "requests": requests,
        "errors": {},
        "latency": {"p99": 0.01},
        "quality": {"recent": recent, "joined": n},
        **more,
    }


def report(old: dict[str, Any], new: dict[str, Any] | None = None, streak: int = 0) -> Any:
    versions = {"1": old} if new is None else {"1": old, "2": new}
    return {"version": 1, "features": {"x": {"streak": streak}}, "versions": versions}


@pytest.mark.parametrize(
    ("old", "new", "waited", "verdict", "words"),
    [
        (version(0.8, 800), version(0.85, 799), 0, "unknown", "too few"),
        (version(0.8, 800), version(0.85, 800), 0, "good", "0.85 on 800"),
        (version(0.8, 800), version(0.81, 800), 0, "worse", "0.81 on 800"),  # it may be chance
        (version(0.8, 800), version(0.7, 300), 0, "worse", "0.7 on 300"),  # surely harm
        (version(0.8, 800), version(0.85, 300), 1001, "good", "0.85 on 300"),
        (version(0.8, 800), version(0.79, 300), 1001, "worse", "0.79 on 300"),
        (version(0.8, 500), version(0.9, 199), 0, "unknown", "too few"),
        (version(0.8, 500), version(0.9, 500, window={"rows": 500}), 0, "good", "0.9 on 500"),
        (version(0.8, 150), version(0.9, 150, window={"rows": 150}), 0, "good", "0.9 on 150"),
        (version(), version(), 1001, "good", "answers were not judged"),
        (version(), version(requests=99), 0, "unknown", "99 of 100"),
        (version(), version(requests=99), 1001, "worse", "99 of 100"),
        (version(), version(0.9, 500, latency={"p99": 0.03}), 0, "worse", "30 ms"),
        (version(0.8, 500), version(0.9, 500, errors={"BundleError": 50}), 0, "worse", "failed 50"),
        (version(0.8, 500), version(0.9, 500, errors={"InputError": 500}), 1001, "good", "0.9"),
    ],
)
def test_labels_decide_where_there_are_enough(
    old: Any, new: Any, waited: float, verdict: str, words: str
) -> None:
    found = judge(old, new, TRIAL, waited=waited)
    assert found.verdict == verdict
    assert words in found.reason


def test_the_champion_is_judged_on_the_challengers_rows_where_they_are_known() -> None:
    new = version(0.8, 800)
    assert judge(version(0.9, 900), new, TRIAL, waited=0).verdict == "worse"
    new["champion"] = version(0.7, 800)["quality"]["recent"]
    assert judge(version(0.9, 500), new, TRIAL, waited=0).verdict == "good"


def test_smaller_errors_are_better() -> None:
    old, new = version(2.0, 800), version(1.5, 800)
    for one in (old, new):
        one["quality"]["recent"]["direction"] = "minimize"
    assert judge(old, new, TRIAL, waited=0).verdict == "good"
    assert judge(new, old, TRIAL, waited=0).verdict == "worse"


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
        seen = report(version(0.8, 900), version(0.9, n, requests=requests))
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


def test_a_challenger_two_points_worse_is_seldom_called_good_however_often_one_looks() -> None:
    rng, good = np.random.default_rng(0), 0
    for _ in range(200):
        sides = [(rng.random(1000) < rate).cumsum() for rate in (0.80, 0.78)]
        for n in range(200, 1001, 50):
            old, new = (version(hits[n - 1] / n, n) for hits in sides)
            for one in (old, new):
                recent = one["quality"]["recent"]
                reach = 1.96 * (recent["value"] * (1 - recent["value"]) / n) ** 0.5
                recent |= {"low": recent["value"] - reach, "high": recent["value"] + reach}
            verdict = judge(old, new, TRIAL, waited=0).verdict
            if verdict != "unknown":
                break
        good += verdict == "good"
    assert good <= 10


def test_a_silent_challenger_is_given_up() -> None:
    tried = Situation(stage="shadow", number=2, since=0.0)
    for now, action in ((999.0, "wait"), (1001.0, "reject")):
        step = advance(tried, report(version()), policy=POLICY, trial=TRIAL, now=now)
        assert step.action == action
