from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm import bootstrap
from raymm.artifacts import Errors, Predictions, Reliability, Target
from raymm.evaluation.calibration import CalibrationError
from raymm.monitoring.calibration import (
    CHANCE,
    LEAST_ROWS,
    calibration,
    calibration_error,
    came_true_otherwise,
    counted_error,
    moved,
)
from raymm.monitoring.estimates import reliability
from raymm.monitoring.predictions import bins_of, errors_of

BINARY = Target(task="binary", classes=("n", "y"))
NUMBER = Target(task="regression")


def drawn(
    generator: np.random.Generator, rows: int, *, slope: float = 1.0, centre: float = -1.0
) -> tuple[Any, Any]:
    """Draw labels and what is told of them: the true log-odds times a slope, 1 where it is true."""
    odds = generator.normal(centre, 1.5, size=rows)
    told = 1 / (1 + np.exp(-slope * odds))
    truth = (generator.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return truth, np.column_stack([1 - told, told])


@given(rows=st.integers(1, 400), classes=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_it_is_the_error_of_the_evaluation(rows: int, classes: int, seed: int) -> None:
    """To float32, in which the evaluation adds up resamples: of sums up to 400, 400 · 6e-8."""
    generator = np.random.default_rng(seed)
    told = generator.dirichlet(np.ones(classes), size=rows).round(2)
    truth = generator.integers(0, classes, size=rows)
    value, low, high = calibration_error(truth, told, 0.95)
    assert value == pytest.approx(CalibrationError()(truth, told), abs=3e-5)
    assert 0 <= low <= value <= high <= 1


@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_its_interval_is_as_wide_as_the_bootstrap_s(slope: float) -> None:
    """A deviation of 1,000 resamples is off by 1 / sqrt(2000) = 2 %; sizes of bins vary in them."""
    truth, rows = drawn(np.random.default_rng(0), 3000, slope=slope)
    draws = bootstrap.replicates(
        CalibrationError(), truth, [rows], count=1000, generator=np.random.default_rng(1)
    )
    value, low, high = calibration_error(truth, rows, 0.95)
    assert (high - value) / 1.96 == pytest.approx(float(draws.std()), rel=0.15)
    assert value - low == pytest.approx(high - value)


@pytest.mark.parametrize("classes", [2, 4])
def test_counts_tell_the_error_of_the_rows(classes: int) -> None:
    """Probabilities are off by 0.00625 at most, and a bin's end by a share of a fine one."""
    generator = np.random.default_rng(2)
    told = generator.dirichlet(np.ones(classes), size=4000)
    truth = generator.integers(0, classes, size=4000)
    task: Any = "binary" if classes == 2 else "multiclass"
    target = Target(task=task, classes=tuple("abcd"[:classes]))
    known = reliability(target, truth, told)
    assert counted_error(known) == pytest.approx(CalibrationError()(truth, told), abs=0.00625)


def chances(count: int, before: Any, now: Any) -> Any:
    made = [came_true_otherwise(before(), now())[0] for _ in range(count)]
    return np.array([1.0 if one is None else one for one in made])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("test", "rows", "slope", "centre"),
    [
        pytest.param(200, 1000, 1.0, -1.0, marks=pytest.mark.long),
        (700, 1000, 2.0, 0.5),
        (1000, 1000, 1.0, -4.0),
    ],
)
def test_chance_calls_calibration_another_no_oftener_than_it_says(
    test: int, rows: int, slope: float, centre: float
) -> None:
    """Also where probabilities are wrong from the start, and rows changed (covariate shift).

    Of 1,000 draws at 5 %, 50 and four binomial deviations of 6.9 are 77.6; at 1 %, 22.6.
    """
    generator = np.random.default_rng(3)
    found = chances(
        1000,
        lambda: reliability(BINARY, *drawn(generator, test, slope=slope)),
        lambda: reliability(BINARY, *drawn(generator, rows, slope=slope, centre=centre)),
    )
    assert (found < 0.05).sum() <= 77
    assert (found < 0.01).sum() <= 22


def test_what_became_overconfident_is_found_and_what_became_true_is_not_worse() -> None:
    """At twice the log-odds, frequencies are off by up to 0.12, of 1,000 rows 8 deviations."""
    generator = np.random.default_rng(4)
    true = reliability(BINARY, *drawn(generator, 1000))
    over = reliability(BINARY, *drawn(generator, 1000, slope=2.5))
    worse, better = came_true_otherwise(true, over), came_true_otherwise(over, true)
    assert worse[0] is not None
    assert worse[0] < CHANCE
    assert (worse[1], better) == (True, (worse[0], False))


def test_rows_too_few_or_all_alike_say_nothing() -> None:
    truth, rows = drawn(np.random.default_rng(5), 300)
    known = reliability(BINARY, truth, rows)
    none = reliability(BINARY, np.zeros(300, np.int64), rows)
    assert came_true_otherwise(none, none) == (None, False)
    target = Target(task="binary", classes=("n", "y"), reliability=known)
    few = calibration(target, truth[:199], rows[:199], recent=50, level=0.95)
    assert (few["chance"], few["worse"], few["recent"]["n"]) == (None, False, 50)
    assert few["test"] == {"value": counted_error(known), "n": 300}
    empty = calibration(BINARY, truth[:0], rows[:0], recent=50, level=0.95)
    assert (empty["value"], empty["n"], empty["test"]) == (None, 0, None)
    rows[3] = np.nan
    assert calibration(target, truth, rows, recent=50, level=0.95)["value"] is None
    foreign = Target(
        task="binary", classes=("n", "y"), reliability=Reliability(rows=(9,), hits=(1,))
    )
    assert calibration(foreign, truth[:250], rows[:250], recent=9, level=0.95)["test"] is None


def test_of_few_rows_no_error_is_told_and_of_more_an_interval_that_has_a_width() -> None:
    truth, rows = drawn(np.random.default_rng(0), LEAST_ROWS)
    for n in (0, 1, LEAST_ROWS - 1):
        told = calibration(BINARY, truth[:n], rows[:n], recent=n, level=0.95)
        assert (told["n"], told["least"]) == (n, LEAST_ROWS)
        assert (told["value"], told["low"], told["high"], told["chance"]) == (None,) * 4
    told = calibration(BINARY, truth, rows, recent=LEAST_ROWS, level=0.95)
    assert told["low"] < told["value"] < told["high"]
    one = np.array([1.0])
    assert calibration(NUMBER, one, one - 2, recent=1, level=0.95)["value"] is None


def test_of_weighted_classes_no_test_rows_are_told_beside_the_metric() -> None:
    """They were counted by the probability of what was answered, which is not the likeliest."""
    generator = np.random.default_rng(6)
    told, truth = generator.dirichlet(np.ones(3), size=400), generator.integers(0, 3, size=400)
    for decision, known in (((), True), ((1.0, 1.0, 1.0), True), ((1.0, 2.0, 1.0), False)):
        plain = Target(task="multiclass", classes=("a", "b", "c"), decision=decision)
        made = Target(
            task="multiclass", classes=plain.classes, decision=decision,
            reliability=reliability(plain, truth, told),
        )  # fmt: skip
        found = calibration(made, truth, told, recent=100, level=0.95)
        assert (found["test"] is not None) is known
        assert found["chance"] is not None


def test_a_regression_is_judged_by_its_bias() -> None:
    generator = np.random.default_rng(7)
    truth = generator.normal(size=500)
    errors = errors_of(truth)
    target = Target(
        task="regression", predictions=Predictions(column=bins_of(truth), errors=errors)
    )
    found = calibration(target, truth + 0.5, np.zeros(500), recent=200, level=0.95)
    assert found["measure"] == "bias"
    assert found["value"] == pytest.approx(float(np.mean(truth + 0.5)))
    assert found["low"] < found["value"] < found["high"]
    assert found["test"] == {"value": pytest.approx(float(np.mean(truth))), "n": 500}
    assert found["worse"] is True  # 0.5 is 0.5 · sqrt(250) = 7.9 deviations
    calm = calibration(target, truth[::-1], np.zeros(500), recent=200, level=0.95)
    assert (calm["chance"], calm["worse"]) == (pytest.approx(1.0), False)
    alone = calibration(NUMBER, truth[:1], np.zeros(1), recent=200, level=0.95)
    assert (alone["n"], alone["low"], alone["worse"]) == (1, None, False)
    assert calibration(NUMBER, truth, np.zeros(500), recent=9, level=0.95)["chance"] is None


@pytest.mark.slow
@pytest.mark.parametrize("skewed", [False, True])
def test_chance_calls_a_bias_another_no_oftener_than_it_says(skewed: bool) -> None:
    """Of 4,000 draws at 5 %, 200 and four binomial deviations of 13.8 are 255; at 1 % 65.2.

    Of lognormal errors, whose skewness is 6, the second is allowed to be half as much again.
    """
    generator = np.random.default_rng(8)
    draw = generator.lognormal if skewed else generator.normal
    made = [
        moved(errors_of(draw(size=200)), errors_of(draw(size=1000)))[0]  # type: ignore[arg-type]
        for _ in range(4000)
    ]
    assert sum(one < 0.05 for one in made) <= 255
    assert sum(one < 0.01 for one in made) <= (97 if skewed else 65)


def test_errors_that_never_vary_are_compared_as_they_are() -> None:
    same = Errors(rows=200, mean=1.0, deviation=0.0, skewness=0.0)
    other = Errors(rows=200, mean=2.0, deviation=0.0, skewness=0.0)
    assert moved(same, same) == (1.0, False)
    assert moved(same, other) == (0.0, True)
    assert moved(other, same) == (0.0, False)


@given(
    there=st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=5),
    labels=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
)
def test_whatever_finite_labels_come_there_is_a_report(
    there: list[float], labels: list[float]
) -> None:
    """A monitor's report must never fail by what a client sends."""
    known = Predictions(column=bins_of(np.zeros(1)), errors=errors_of(np.array(there * 50)))
    target = Target(task="regression", predictions=known)
    truth = np.array(labels * 250)
    told = calibration(target, truth, np.zeros(len(truth), np.float32), recent=200, level=0.95)
    for one in (told, told["recent"]):
        numbers = [one[key] for key in ("value", "low", "high", "chance")]
        assert all(number is None or np.isfinite(number) for number in numbers)


def test_biases_are_told_apart_in_any_unit() -> None:
    before = Errors(rows=400, mean=0.0, deviation=1.0, skewness=0.3)
    now = Errors(rows=400, mean=0.2, deviation=1.2, skewness=0.1)
    expected = moved(before, now)
    assert expected[0] is not None
    for unit in (1e-150, 1e-9, 1e150):
        chance, further = moved(*(_times(one, unit) for one in (before, now)))
        assert chance == pytest.approx(expected[0], rel=1e-9)
        assert further == expected[1]


def _times(errors: Errors, unit: float) -> Errors:
    return Errors(
        rows=errors.rows,
        mean=errors.mean * unit,
        deviation=errors.deviation * unit,
        skewness=errors.skewness,
    )
