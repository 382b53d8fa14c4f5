"""The leaderboard is ordered by value in the metric's direction, ties by age."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Trial, Trials

VALUES = st.lists(st.none() | st.integers(-3, 3).map(float), max_size=12)


def trials(values: list[float | None], direction: str) -> Trials:
    made = tuple(
        Trial(id=str(i), number=i, config={}, status="finished", value=value)
        for i, value in enumerate(values)
    )
    return Trials(trials=made, direction=direction, metric="m")


@pytest.mark.slow
@given(VALUES)
def test_the_leaderboard_is_sorted_and_loses_no_scored_trial(values):
    board = trials(values, "maximize").leaderboard
    assert [t.value for t in board] == sorted((v for v in values if v is not None), reverse=True)
    for one, next_one in itertools.pairwise(board):
        assert one.value > next_one.value or one.number < next_one.number


@pytest.mark.slow
@given(VALUES)
def test_minimising_is_maximising_the_opposite(values):
    opposite = [None if value is None else -value for value in values]
    down = [t.number for t in trials(values, "minimize").leaderboard]
    assert down == [t.number for t in trials(opposite, "maximize").leaderboard]


def test_there_is_no_best_of_failures():
    assert trials([None, None], "minimize").best is None
