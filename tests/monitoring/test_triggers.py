from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.monitoring.triggers import Policy, decide
from raymm.sections import MonitoringConfig


def report(*streaks: int, prediction: int = 0) -> dict[str, Any]:
    return {
        "features": {f"f{n}": {"streak": streak} for n, streak in enumerate(streaks)},
        "prediction": {"streak": prediction},
    }


@pytest.mark.slow
@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 9), st.integers(1, 9))
def test_training_again_needs_drift_that_lasts(
    streaks: list[int], prediction: int, windows: int
) -> None:
    policy = Policy(on=("drift",), windows=windows)
    decision = decide(report(*streaks, prediction=prediction), policy, now=0.0)
    lasting = max([prediction, *streaks]) >= windows
    assert decision.action == ("retrain" if lasting else "none")


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_training_again_waits_for_the_pause(since: float, pause: float) -> None:
    policy = Policy(on=("drift",), pause=pause)
    decision = decide(report(3), policy, now=since, last=0.0)
    assert decision.action == ("retrain" if since >= pause else "none")


def test_off_unless_asked_for() -> None:
    assert decide(report(99), Policy.of(MonitoringConfig()), now=0.0).action == "none"
    asked = Policy.of(MonitoringConfig(retrain="drift"))
    assert decide(report(99), asked, now=0.0).reason == "f0 drifted for 3 windows in a row."


def test_an_empty_report_decides_nothing() -> None:
    assert decide({}, Policy(on=("drift",)), now=0.0).action == "none"


def test_a_policy_is_checked() -> None:
    with pytest.raises(ValueError, match="windows=0"):
        Policy(windows=0)


def quality(value: float, low: float, high: float, direction: str = "maximize") -> dict[str, Any]:
    recent = {
        "metric": "roc_auc", "value": value, "low": low, "high": high, "n": 500,
        "direction": direction,
    }  # fmt: skip
    return {"quality": {"recent": recent}}


def test_quality_must_be_surely_poor() -> None:
    policy = Policy(on=("quality",), quality_at_least=0.8)
    assert decide(quality(0.7, 0.6, 0.81), policy, now=0.0).action == "none"
    decision = decide(quality(0.7, 0.6, 0.79), policy, now=0.0)
    assert (decision.action, decision.trigger) == ("retrain", "quality")
    assert decision.reason == ("roc_auc of the last 500 labelled rows is 0.7, surely below 0.8.")
    errors = Policy(on=("quality",), quality_at_least=2.0)
    assert decide(quality(3, 1.9, 4, "minimize"), errors, now=0.0).action == "none"
    assert decide(quality(3, 2.1, 4, "minimize"), errors, now=0.0).action == "retrain"
    assert decide({"quality": {"recent": {"low": None}}}, policy, now=0.0).action == "none"


def test_age_and_schedule_fire_in_time() -> None:
    age = Policy(on=("age",), max_age=100.0)
    assert decide({"since": 0.0}, age, now=99.0).action == "none"
    assert decide({"since": 0.0}, age, now=100.0).trigger == "age"
    every = Policy(on=("schedule",), every=50.0, pause=0.0)
    assert decide({"since": 0.0}, every, now=60.0, completed=20.0).action == "none"
    assert decide({"since": 0.0}, every, now=70.0, completed=20.0).trigger == "schedule"


def test_the_schedule_counts_from_what_came_to_an_end_and_the_pause_from_what_began() -> None:
    every = Policy(on=("schedule",), every=500.0, pause=50.0)
    for now, action in ((619.0, "none"), (649.0, "none"), (650.0, "retrain")):
        assert decide({}, every, now=now, last=600.0, completed=100.0).action == action
    # One that never came to an end leaves the schedule to count from the champion's beginning.
    assert decide({"since": 0.0}, every, now=650.0, last=600.0).action == "retrain"


def test_the_first_of_several_triggers_is_named_and_all_reasons_told() -> None:
    policy = Policy(on=("quality", "drift"), quality_at_least=0.8)
    decision = decide({**report(3), **quality(0.7, 0.6, 0.7)}, policy, now=0.0)
    assert decision.trigger == "quality"
    assert "f0 drifted" in decision.reason


def test_a_person_waits_for_nothing() -> None:
    decision = decide({}, Policy(), now=1.0, last=0.0, asked="ann")
    assert (decision.action, decision.trigger) == ("retrain", "person")
    assert decision.reason == "asked for by ann."
