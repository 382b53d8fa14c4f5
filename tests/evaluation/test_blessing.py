from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.artifacts import Blessing, Check, Evaluation, Score, SliceScore
from raymm.evaluation.blessing import bless, one_answer, undecided
from raymm.sections import Goal, Limits


def score(value: float, low: float, high: float, metric: str = "roc_auc") -> Score:
    return Score(metric=metric, value=value, low=low, high=high, level=0.9)


GOOD = Evaluation(
    direction="maximize",
    rows=500,
    score=score(0.85, 0.83, 0.87),
    others=(),
    baseline=0.5,
    gain=score(0.35, 0.33, 0.37),
)
ERROR = Evaluation(
    direction="minimize",
    rows=500,
    score=score(10, 9, 11, "rmse"),
    others=(),
    baseline=20,
    gain=score(10, 9, 11, "rmse"),
)


def failed(blessing: Blessing) -> set[str]:
    names = {check.name for check in blessing.checks if not check.passed}
    assert blessing.blessed == (not names)
    return names


@pytest.mark.parametrize(("at_least", "expected"), [(0.83, set()), (0.831, {"at_least"})])
def test_the_bound_and_not_the_score_must_reach_the_goal(
    at_least: float, expected: set[str]
) -> None:
    result = bless(GOOD, Goal(at_least=at_least), bundle_bytes=1)
    assert failed(result) == expected
    statement = next(one.statement for one in result.checks if one.name == "at_least")
    assert "0.83" in statement
    assert "95 % confidence" in statement
    assert ("more test rows" in statement) == bool(expected)


@pytest.mark.parametrize(("at_least", "expected"), [(11, set()), (10.9, {"at_least"})])
def test_an_error_must_stay_under_the_goal(at_least: float, expected: set[str]) -> None:
    assert failed(bless(ERROR, Goal(at_least=at_least), bundle_bytes=1)) == expected


def test_a_model_not_shown_to_beat_the_trivial_prediction_is_refused() -> None:
    result = dataclasses.replace(GOOD, gain=score(0.01, 0.0, 0.02))
    assert failed(bless(result, Goal(), bundle_bytes=1)) == {"baseline"}


@pytest.mark.parametrize(
    ("evaluation", "low", "expected"),
    [
        (GOOD, -0.009, set()),
        (GOOD, -0.011, {"champion"}),
        (ERROR, -0.109, set()),  # the champion's rmse is 10 + 1, of which 1 % is allowed
        (ERROR, -0.111, {"champion"}),
    ],
)
def test_no_worse_than_the_champion_but_for_a_margin(
    evaluation: Evaluation, low: float, expected: set[str]
) -> None:
    gain = score(1.0, low, 2.0, evaluation.score.metric)
    rivalled = dataclasses.replace(evaluation, champion="old@3", champion_gain=gain)
    result = bless(rivalled, Goal(), bundle_bytes=1)
    assert failed(result) == expected
    assert any("old@3" in one.statement for one in result.checks)


def test_a_slice_shown_to_be_worse_than_the_champion_refuses() -> None:
    gain = score(0.02, 0.01, 0.03)
    parts = tuple(
        SliceScore(
            column="c",
            value=value,
            rows=90,
            score=GOOD.score,
            champion_gain=score(-0.2, -0.3, high),
        )
        for value, high in (("poor", -0.1), ("noisy", 0.0))
    )
    rivalled = dataclasses.replace(GOOD, champion="o@1", champion_gain=gain, slices=parts)
    result = bless(rivalled, Goal(), bundle_bytes=1)
    assert failed(result) == {"slices"}
    assert any("c = poor (90 rows)" in one.statement for one in result.checks)


@pytest.mark.parametrize(
    ("size", "time", "expected"),
    [
        (2_000_000, 4999.0, set()),
        (2_000_001, 5001.0, {"bundle_mb", "latency_p99_ms"}),
        (1, None, {"latency_p99_ms"}),
    ],
)
def test_limits_are_kept(size: int, time: float | None, expected: set[str]) -> None:
    goal = Goal(limits=Limits(bundle_mb=2, latency_p99_ms=5))
    assert failed(bless(GOOD, goal, bundle_bytes=size, row_microseconds=time)) == expected


def test_a_score_that_is_not_a_number_is_refused() -> None:
    nan = score(np.nan, np.nan, np.nan)
    result = dataclasses.replace(GOOD, score=nan, gain=nan)
    checks = failed(bless(result, Goal(at_least=0.1), bundle_bytes=1))
    assert checks == {"finite", "baseline", "at_least"}


def test_intervals_narrower_than_the_goal_asks_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"confidence=0\.99"):
        bless(GOOD, Goal(confidence=0.99), bundle_bytes=1)


@pytest.mark.parametrize(
    ("low", "high", "baseline", "found"),
    [
        (-0.05, 0.03, 0.33, True),  # it may be better, and worse
        (-0.05, -0.005, 0.33, True),  # worse, by less than is allowed
        (-0.05, -0.02, 0.33, False),  # it is worse
        (0.01, 0.03, 0.33, False),  # it is blessed
        (-0.05, 0.03, -0.1, False),  # it lacks something else too
        (-0.05, float("nan"), 0.33, False),
    ],
)
def test_what_rows_leave_open_is_undecided(
    low: float, high: float, baseline: float, found: bool
) -> None:
    evaluation = dataclasses.replace(
        GOOD, gain=score(0.35, baseline, 0.37), champion="old@3",
        champion_gain=score((low + high) / 2, low, high),
    )  # fmt: skip
    assert undecided(evaluation, bless(evaluation, Goal(), bundle_bytes=1)) is found


def test_without_a_champion_to_compare_with_nothing_is_undecided() -> None:
    refused = Blessing(blessed=False, checks=(Check(name="champion", passed=False, statement=""),))
    assert not undecided(GOOD, refused)


@pytest.mark.parametrize(
    ("truth", "decision", "told"),
    [
        ([0, 0, 0, 1], (), "answers no for all 4 test rows, of which 75.0% are that"),
        ([0, 0, 0, 1], (1.0, 2.5), None),  # a moved decision answers both
        ([0, 0, 0, 1], (1.0, 9.0), "answers yes for all 4 test rows, of which 25.0% are that"),
        ([0, 0, 0, 0], (), None),  # there is nothing else to answer
    ],
)
def test_one_answer_for_all_rows_is_noted(truth, decision, told) -> None:
    chances = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    note = one_answer(
        np.column_stack([1 - chances, chances]),
        np.array(truth),
        decision=decision,
        classes=("no", "yes"),
    )
    assert (note is None) == (told is None)
    if note is not None and told is not None:
        assert told in note.statement
        assert (note.word, note.passed) == ("note", True)
