import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import ConfigError
from raymm.search.median import Median

CURVES = st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), min_size=1, max_size=15)


@given(curves=CURVES, least=st.integers(1, 6), minimum=st.integers(1, 4))
def test_a_trial_stops_exactly_when_its_best_is_worse_than_the_median_average(
    curves, least, minimum
) -> None:
    rule = Median("minimize", minimum=minimum, least=least)
    reached: list[list[float]] = []
    for number, curve in enumerate(curves):
        told: list[float] = []
        for budget, value in enumerate(curve, 1):
            told.append(value)
            averages = [math.fsum(c[:budget]) / budget for c in reached if len(c) >= budget]
            goes_on = rule.decide(str(number), budget, value)
            if budget < minimum or len(averages) < least:
                assert goes_on
                continue
            gap = min(told) - statistics.median(averages)
            # sums of at most six values of at most 1,000 differ by less than 1e-9 in any order
            if abs(gap) > 1e-9:
                assert goes_on == (gap < 0)
            if not goes_on:
                break
        reached.append(told)


@given(curves=CURVES)
def test_modes_mirror_each_other_and_calls_replay(curves) -> None:
    low, high = Median("minimize", minimum=1), Median("maximize", minimum=1)
    again = Median("minimize", minimum=1)
    for number, curve in enumerate(curves):
        for budget, value in enumerate(curve, 1):
            first = low.decide(str(number), budget, value)
            assert first == high.decide(str(number), budget, -value)
            assert first == again.decide(str(number), budget, value)


def test_about_half_of_trials_in_random_order_are_stopped() -> None:
    rule = Median("minimize", minimum=1)
    n = 900
    kept = sum(
        rule.decide(str(i), 1, float(v)) for i, v in enumerate(np.random.default_rng(0).random(n))
    )
    # the rank among those so far is uniform and independent (Rényi): mean near n / 2, variance
    # n / 4 at most; six standard deviations, plus the first five, which all go on
    assert abs(kept - n / 2) < 6 * math.sqrt(n / 4) + 5


def test_one_good_value_saves_a_trial_from_then_on() -> None:
    rule = Median("maximize", minimum=1, least=1)
    for name in "abc":
        for budget in (1, 2, 3):
            rule.decide(name, budget, 0.5)
    assert rule.decide("lucky", 1, 0.6)
    assert rule.decide("lucky", 2, 0.1)
    assert rule.decide("equal", 1, 0.5)
    assert not rule.decide("poor", 1, 0.4)


def test_groups_are_apart_and_nan_stops_without_a_trace() -> None:
    rule = Median("maximize", minimum=1, least=1)
    assert rule.decide("a", 1, 1.0, group="lightgbm")
    assert not rule.decide("b", 1, 0.5, group="lightgbm")
    assert rule.decide("c", 1, 0.5, group="mlp")
    assert not rule.decide("d", 1, math.nan, group="mlp")
    assert rule.decide("d", 1, 0.5, group="mlp")


def test_a_budget_told_twice_is_judged_once() -> None:
    rule = Median("minimize", minimum=1, least=1)
    rule.decide("a", 2, 0.0)
    assert not rule.decide("b", 2, 1.0)
    assert rule.decide("b", 2, 1.0)
    assert rule.decide("b", 1, 1.0)


@pytest.mark.parametrize(
    ("mode", "options", "message"),
    [
        ("max", {"minimum": 1}, "maximize"),
        ("minimize", {"minimum": 0}, "minimum must be"),
        ("minimize", {"minimum": 1, "least": 0}, "least must be"),
    ],
)
def test_errors_name_the_rule(mode, options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Median(mode, **options)
