"""A search ends where nothing gets better by more than noise, and not before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Trial
from raymm.search.goals import Goals
from raymm.search.plateau import FrontPlateau, Plateau, patience


def trial(number: int, value: float | None, folds: tuple[float, ...] = ()) -> Trial:
    status = "failed" if value is None else "finished"
    return Trial(
        id=f"t{number}", number=number, config={}, status=status, value=value, fold_values=folds
    )


@given(st.lists(st.none() | st.floats(-100, 100), max_size=40), st.integers(1, 10))
def test_maximising_the_negative_ends_at_the_same_trial(values, wait) -> None:
    low, high = Plateau("minimize", wait), Plateau("maximize", wait)
    for number, value in enumerate(values):
        low.add(trial(number, value))
        high.add(trial(number, None if value is None else -value))
        assert bool(low.reason) == bool(high.reason)


def test_steady_gains_never_end_it_and_a_standstill_does_after_exactly_so_many() -> None:
    plateau = Plateau("minimize", 5)
    for number in range(50):
        plateau.add(trial(number, 100.0 - number))
        assert not plateau.reason
    for number in range(5):
        assert not plateau.reason
        plateau.add(trial(50 + number, 80.0))
    assert plateau.reason == (
        "plateau: none of the last 5 trials was better than 51 by more than noise"
    )


def test_failures_alone_are_no_plateau() -> None:
    plateau = Plateau("minimize", 3)
    for number in range(10):
        plateau.add(trial(number, None))
    assert not plateau.reason


def test_gains_within_the_noise_of_the_folds_do_not_count_but_add_up() -> None:
    noise = np.array([0.5, -0.5, 0.3, -0.3])
    plateau = Plateau("minimize", 3)
    plateau.add(trial(0, 10.0, tuple(10.0 + noise)))
    # Pairs differ by 1.05, -0.95, 0.65 and -0.55: a gain of 0.05 against an error of 0.5.
    plateau.add(trial(1, 9.95, tuple(9.95 - noise)))
    assert plateau._since == 1
    # The same gain in every fold is beyond doubt.
    plateau.add(trial(2, 9.9, tuple(9.9 + noise)))
    assert plateau._since == 0


def test_a_hundredth_of_the_way_from_the_median_counts_where_there_is_one_value() -> None:
    plateau = Plateau("maximize", 3)
    for number, value in enumerate((0.0, 0.0, 1.0)):
        plateau.add(trial(number, value))
    plateau.add(trial(3, 1.009))
    assert plateau._since == 1
    plateau.add(trial(4, 1.011))
    assert plateau._since == 0


def test_patience_is_a_number_or_grows_with_the_space() -> None:
    assert patience("none", 9) is None
    assert patience(4, 9) == 4
    assert patience("auto", 2) == 30 < patience("auto", 12)


def _pair(number: int, near: float, far: float) -> Trial:
    metrics = {"near": near, "far": far}
    return Trial(
        id=f"t{number}", number=number, config={}, status="finished", value=near, metrics=metrics
    )


def test_of_several_objectives_the_front_must_stand_still() -> None:
    goals = Goals(objectives={"near": "min", "far": "min"}, constraints={"far": (None, 9.5)})
    plateau = FrontPlateau(goals, 3)
    for number in range(3):  # nothing keeps the constraint yet
        plateau.add(_pair(number, 0.0, 10.0))
    assert not plateau.reason
    plateau.add(_pair(3, 9.0, 9.0))
    for number in range(8):  # "near" alone stands still after the first, the front does not
        plateau.add(_pair(4 + number, 1.0, 8.0 - number))
        assert not plateau.reason
    for number in range(3):
        assert not plateau.reason
        plateau.add(_pair(20 + number, 5.0, 5.0))
    assert plateau.reason.startswith("plateau: none of the last 3 trials pushed the front of 1 ")


def test_a_gain_of_the_front_below_noise_is_none_but_small_gains_add_up() -> None:
    plateau = FrontPlateau(Goals(objectives={"near": "min", "far": "min"}), 4)
    plateau.add(_pair(0, 100.0, 100.0))
    plateau.add(_pair(1, 50.0, 50.0))
    for number in range(12):  # the volume grows by 0.8 % with each
        plateau.add(_pair(2 + number, 50.0, 49.6 - 0.4 * number))
        assert not plateau.reason
    for number in range(4):
        plateau.add(_pair(20 + number, 50.0, 45.2 - 0.0001 * number))
    assert plateau.reason
