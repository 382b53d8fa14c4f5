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


@given(st.lists(st.integers(0, 9), max_size=5), st.integers(0, 9), st.integers(1, 9))
def test_training_again_needs_drift_that_lasts(
    streaks: list[int], prediction: int, windows: int
) -> None:
    policy = Policy(on="drift", windows=windows)
    decision = decide(report(*streaks, prediction=prediction), policy, now=0.0)
    lasting = max([prediction, *streaks]) >= windows
    assert decision.action == ("retrain" if lasting else "none")


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_training_again_waits_for_the_pause(since: float, pause: float) -> None:
    policy = Policy(on="drift", pause=pause)
    decision = decide(report(3), policy, now=since, last=0.0)
    assert decision.action == ("retrain" if since >= pause else "none")


def test_off_unless_asked_for() -> None:
    assert decide(report(99), Policy.of(MonitoringConfig()), now=0.0).action == "none"
    asked = Policy.of(MonitoringConfig(retrain="drift"))
    assert decide(report(99), asked, now=0.0).reason == "f0 drifted for 3 windows in a row."


def test_an_empty_report_decides_nothing() -> None:
    assert decide({}, Policy(on="drift"), now=0.0).action == "none"


def test_a_policy_is_checked() -> None:
    with pytest.raises(ValueError, match="windows=0"):
        Policy(windows=0)
