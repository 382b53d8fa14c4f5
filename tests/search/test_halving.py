import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import ConfigError
from raymm.search.halving import Halving

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60)


def test_the_third_of_three_goes_on_only_as_the_best() -> None:
    halving = Halving("maximize", minimum=10)
    assert halving.decide("a", 10, 0.5)
    assert halving.decide("b", 10, 0.4)
    assert not halving.decide("c", 10, 0.45)
    assert halving.decide("d", 10, 0.6)
    assert halving.decide("e", 10, 0.55)  # second of five, of which two go on
    assert not halving.decide("f", 10, 0.52)


@given(values=VALUES, reduction=st.integers(2, 5))
def test_a_trial_goes_on_exactly_when_it_is_in_the_top_share_so_far(values, reduction) -> None:
    halving = Halving("minimize", minimum=1, reduction=reduction)
    for index, value in enumerate(values):
        goes_on = halving.decide(str(index), 1, value)
        seen = values[: index + 1]
        better = sum(other < value for other in seen)
        allowed = math.ceil(len(seen) / reduction)
        assert goes_on == (len(seen) < reduction or better < allowed)


@pytest.mark.slow
@given(values=VALUES)
def test_modes_mirror_each_other_and_calls_replay(values) -> None:
    low, high = Halving("minimize", minimum=2), Halving("maximize", minimum=2)
    again = Halving("minimize", minimum=2)
    for index, value in enumerate(values):
        first = low.decide(str(index), 2, value)
        assert first == high.decide(str(index), 2, -value) == again.decide(str(index), 2, value)


def test_about_one_in_three_survives_values_in_random_order() -> None:
    halving = Halving("minimize", minimum=1)
    generator = np.random.default_rng(0)
    n = 900
    kept = sum(halving.decide(str(i), 1, float(v)) for i, v in enumerate(generator.random(n)))
    # each rank among those so far is uniform and independent (Rényi): mean near n / 3,
    # variance at most n * 2 / 9; six standard deviations, plus the rounding up of each share
    assert abs(kept - n / 3) < 6 * math.sqrt(n * 2 / 9) + math.log(n) + 2


def test_the_best_trial_so_far_is_never_stopped() -> None:
    halving = Halving("minimize", minimum=1)
    for index in range(50):
        assert halving.decide(f"t{index}", 1, -float(index))


def test_ties_go_on_and_nan_stops_without_a_trace() -> None:
    halving = Halving("maximize", minimum=1, reduction=2)
    assert all(halving.decide(str(i), 1, 0.5) for i in range(9))
    assert not halving.decide("nan", 1, math.nan)
    assert halving.decide("next", 1, 0.5)


def test_rungs_are_powers_of_the_reduction() -> None:
    halving = Halving("maximize", minimum=4)
    assert [halving.rung(b) for b in (1, 3, 4, 11, 12, 35, 36, 108)] == [
        None,
        None,
        0,
        0,
        1,
        1,
        2,
        3,
    ]


def test_below_the_first_rung_and_twice_at_one_rung_a_trial_goes_on() -> None:
    halving = Halving("maximize", minimum=10)
    for index in range(9):
        halving.decide(f"good-{index}", 10, 1.0)
    assert halving.decide("poor", 9, 0.0)
    assert not halving.decide("poor", 10, 0.0)
    assert halving.decide("good-0", 20, 0.0)
    assert halving.decide("good-0", 30, 0.0)


def test_groups_are_apart() -> None:
    halving = Halving("maximize", minimum=1, reduction=2)
    for index in range(6):
        halving.decide(str(index), 1, 1.0, group="lightgbm")
    assert not halving.decide("x", 1, 0.5, group="lightgbm")
    assert halving.decide("x", 1, 0.5, group="mlp")


@pytest.mark.parametrize(
    ("mode", "minimum", "reduction", "message"),
    [("max", 1, 3, "maximize"), ("minimize", 0, 3, "1 or more"), ("minimize", 1, 1, "at least 2")],
)
def test_errors_name_the_rule(mode, minimum, reduction, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Halving(mode, minimum=minimum, reduction=reduction)
