"""Each trouble that a report tells of is told when it begins and when it ends, once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Target
from raymm.monitoring.events import Event
from raymm.monitoring.judged import Judged
from raymm.monitoring.labels import Pair
from raymm.monitoring.news import LEAST_ROWS, News


def report(*drifted: str, version: int = 1, **parts: Any) -> dict[str, Any]:
    features = {name: {"reasons": ["location"]} for name in drifted}
    whole = {"model": "m", "version": version, "drifted": list(drifted), "features": features}
    return {**whole, **parts}


def kinds(reports: Iterable[dict[str, Any]], **options: Any) -> list[list[str]]:
    """Return the kinds of what is told of each report, one after another."""
    news = News(**options)
    return [[event.kind for event in news.of(one, at=1.0)] for one in reports]


def test_features_that_drift_are_told_as_they_come_and_once_they_are_calm() -> None:
    news = News()
    (first,) = news.of(report("a"), at=5.0)
    assert (first.kind, first.model, first.number, first.at) == ("drift", "m", 1, 5.0)
    assert news.of(report("a"), at=6.0) == ()
    (event,) = news.of(report("a", "b"), at=7.0)
    assert (event.reason, list(event.figures)) == ("b drifted.", ["a", "b"])
    assert news.of(report("b"), at=8.0) == ()
    assert [one.kind for one in news.of(report(), at=9.0)] == ["calm"]


def prediction(drifted: bool, version: int = 1) -> dict[str, Any]:
    one = {"against": "test rows", "statistic": 0.4, "threshold": 0.1, "edges": [17.25]}
    return report(version=version, prediction={**one, "drifted": drifted, "reasons": ["location"]})


def test_predictions_that_drift_are_told_when_they_begin_and_end() -> None:
    rounds = [prediction(False), prediction(True), prediction(True), prediction(False)]
    assert kinds(rounds) == [[], ["prediction_drift"], [], ["prediction_calm"]]
    (event,) = News().of(prediction(True), at=1.0)
    assert event.reason == "The predictions drifted, compared with the test rows."
    assert event.figures["statistic"] == 0.4
    assert b"17.25" not in event.encode()  # where bins end is what was predicted


def test_nothing_known_changes_nothing_and_another_champion_begins_anew() -> None:
    rounds = [prediction(True), {}, report(), prediction(True), prediction(False, version=2)]
    assert kinds(rounds) == [["prediction_drift"], [], [], [], []]
    assert kinds([report("a"), {}, report("a"), report(version=2)]) == [["drift"], [], [], []]


def quality(
    value: float, reach: float = 0.02, *, whole: float = 0.9, n: int = 10_000, **more: Any
) -> dict[str, Any]:
    """Report the quality of the last window, whose interval reaches so far, and of all rows."""
    named = {"metric": "accuracy", "direction": "maximize", **more}
    recent = {**named, "value": value, "low": value - reach, "high": value + reach, "n": 500}
    all_ = {**named, "value": whole, "low": whole - 0.005, "high": whole + 0.005, "n": n}
    return report(quality={**all_, "recent": recent})


def test_quality_below_its_bound_is_told_once_however_it_wavers() -> None:
    # sure below 0.9; then unsure, sure and unsure again; then back
    rounds = [quality(value, whole=0.88) for value in (0.91, 0.875, 0.89, 0.87, 0.89, 0.905, 0.89)]
    told = [[], ["quality"], [], [], [], ["quality_calm"], []]
    assert kinds(rounds, quality_at_least=0.9) == told
    assert kinds(rounds) == [[]] * len(rounds)
    (event,) = News(quality_at_least=0.9).of(quality(0.875, whole=0.88), at=1.0)
    assert "accuracy of the last 500 labelled rows is 0.875, surely below 0.9" in event.reason
    assert event.figures["recent"]["high"] == pytest.approx(0.895)


def test_of_errors_the_bound_is_a_ceiling() -> None:
    rounds = [
        quality(value, whole=1.0, metric="rmse", direction="minimize") for value in (1.0, 1.1, 0.9)
    ]
    assert kinds(rounds, quality_at_least=1.05) == [[], ["quality"], ["quality_calm"]]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_a_window_that_is_surely_worse_than_all_rows_is_told_without_a_bound(
    direction: str, sign: int
) -> None:
    # the difference of both has an interval of hypot(0.02, 0.005) = 0.0206 to each side
    falls = (0.0, 0.035, 0.045, 0.035, 0.0202, -0.1)
    rounds = [quality(0.9 - sign * fall, direction=direction) for fall in falls]
    assert kinds(rounds) == [[], [], ["quality"], [], ["quality_calm"], []]
    few = [quality(0.1, n=n) for n in (LEAST_ROWS - 1, LEAST_ROWS)]  # the window is all there is
    assert kinds(few) == [[], []]


def test_quality_is_calm_once_nothing_of_it_stands() -> None:
    rounds = [quality(0.8), quality(0.89), quality(0.96)]
    news = News(quality_at_least=0.95)
    (event,) = news.of(rounds[0], at=1.0)
    assert "surely below 0.95" in event.reason
    assert "surely worse than of all 10000" in event.reason
    assert news.of(rounds[1], at=1.0) == ()  # no worse than all rows, and still below the bound
    assert [one.kind for one in news.of(rounds[2], at=1.0)] == ["quality_calm"]


def calibration(chance: float | None, value: float = 0.2, *, worse: bool = False) -> dict[str, Any]:
    one = {"measure": "calibration_error", "value": value, "low": 0.1, "high": 0.3, "n": 900}
    one |= {"chance": chance, "worse": worse, "test": {"value": 0.05, "n": 400}}
    recent = {"value": None, "chance": None}
    return report(quality={"calibration": {**one, "recent": recent}})


def test_calibration_is_told_once_it_is_surely_worse_and_once_that_is_over() -> None:
    rounds = [
        calibration(0.5), calibration(1e-6, worse=True), calibration(1e-3),
        calibration(1e-6, worse=True), calibration(0.02), calibration(1e-6, worse=True),
        calibration(1e-6, value=0.01), calibration(None),
    ]  # fmt: skip
    begun, ended = ["calibration"], ["calibration_calm"]
    assert kinds(rounds) == [[], begun, [], [], ended, begun, ended, []]


def _judged(share: float, target: Target, rng: np.random.Generator, judged: Judged) -> None:
    """Let 1,000 rows of two classes be labelled of which so large a share is right."""
    rows, row = 1000, np.array([0.1, 0.9], np.float32).tobytes()
    right = rng.random(rows) < share
    pairs = [
        Pair(
            version=1, number=judged.joined + place, key=judged.joined + place,
            truth=float(right[place]), row=row, delay=1.0,
        )
        for place in range(rows)
    ]  # fmt: skip
    judged.add(pairs, np.dtype("f4"))


def test_a_real_report_of_labels_is_read() -> None:
    target = Target(task="binary", classes=("no", "yes"), metric="accuracy")
    judged, rng, news = Judged(target, most=50_000, recent=1000), np.random.default_rng(0), News()
    told: list[Event] = []
    for share in (0.9, 0.9, 0.9, 0.5, 0.9):
        _judged(share, target, rng, judged)
        told += news.of(report(quality=judged.report()), at=1.0)
    assert [event.kind for event in told] == ["quality", "quality_calm"]
    assert told[0].figures["recent"]["n"] == 1000
