"""Goals, and how they become one number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raymm.errors import ConfigError
from raymm.plugins import metrics
from raymm.search import pareto
from raymm.search.goals import Goals, broken, numbers_of, places, tchebycheff, usual_mode

GOALS = Goals(objectives={"score": "max", "bytes": "min"}, constraints={"ms": (None, 5.0)})
LOSSES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.just(2)),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)


def test_smaller_losses_are_better_whatever_the_mode():
    assert GOALS.losses({"score": 0.8, "bytes": 10.0}).tolist() == [-0.8, 10.0]
    assert GOALS.names == ("score", "bytes", "ms")


def test_a_bound_is_broken_by_what_lies_beyond_it():
    goals = Goals(objectives={"a": "min"}, constraints={"b": (1.0, 2.0), "a": (None, 0.0)})
    assert goals.violations({"a": -1.0, "b": 0.5}).tolist() == [0.5, 0.0]
    assert goals.violations({"a": 3.0, "b": 2.0}).tolist() == [0.0, 3.0]


@pytest.mark.parametrize(
    ("objectives", "constraints", "word"),
    [
        ({}, {}, "objectives"),
        ({"a": "up"}, {}, "mode of a"),
        ({"a": "min"}, {"b": (None, None)}, "constraint on b"),
        ({"a": "min"}, {"b": (2.0, 1.0)}, "constraint on b"),
        ({"a": "min"}, {"b": "<5"}, "constraint on b"),
        ({"a": "min"}, {"b": (math.nan, 1.0)}, "constraint on b"),
        ({"a": "min"}, {"b": 5.0}, "constraint on b"),
    ],
)
def test_rules_are_named(objectives, constraints, word):
    with pytest.raises(ConfigError, match=word):
        Goals(objectives=objectives, constraints=constraints)


def test_a_result_is_complete_where_every_number_is_there_and_finite():
    assert GOALS.complete({"score": 1.0, "bytes": 2.0, "ms": 3.0})
    for wrong in (None, {}, {"score": 1.0, "bytes": math.nan, "ms": 3.0}):
        assert not GOALS.complete(wrong)


@given(LOSSES, st.floats(0, 1))
def test_a_dominated_result_never_scores_better(losses, share):
    scores = tchebycheff(losses, [share, 1 - share], np.zeros(len(losses)))
    for i, a in enumerate(losses):
        for j, b in enumerate(losses):
            if pareto.dominates(a, b):
                assert scores[i] <= scores[j]


@given(LOSSES, st.floats(0.01, 0.99))
def test_scores_do_not_depend_on_units(losses, share):
    weights = [share, 1 - share]
    zero = np.zeros(len(losses))
    # Powers of two scale without rounding.
    scaled = tchebycheff(losses * [0.25, 1024.0], weights, zero)
    assert scaled.tolist() == tchebycheff(losses, weights, zero).tolist()


@pytest.mark.slow
@given(LOSSES, st.data())
def test_what_is_not_allowed_scores_worse_than_all_that_is(losses, data):
    violation = np.array([data.draw(st.sampled_from([0.0, 1.0, 3.0])) for _ in losses])
    for scores in (tchebycheff(losses, [0.5, 0.5], violation), places(losses, violation)):
        for i, a in enumerate(violation):
            for j, b in enumerate(violation):
                assert a >= b or scores[i] < scores[j]


def test_knowles_equation_two():
    # z is (0, 1), (0.5, 0.5), (1, 0) on this front; 0.05 of the weighted sum is added.
    losses = np.array([[0.0, 4.0], [1.0, 3.0], [2.0, 2.0]])
    scores = tchebycheff(losses, [0.25, 0.75], np.zeros(3))
    assert scores == pytest.approx([0.75 + 0.05 * 0.75, 0.375 + 0.05 * 0.5, 0.25 + 0.05 * 0.25])


def test_the_best_places_are_the_front():
    losses = np.array([[3.0, 3.0], [0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
    assert places(losses, np.zeros(4)).tolist() == [3, 0, 1, 2]


def test_constraints_count_in_shares_of_the_worst():
    assert broken([[0.0, 100.0], [1.0, 50.0], [0.0, 0.0]]).tolist() == [1.0, 1.5, 0.0]
    assert broken(np.zeros((3, 0))).tolist() == [0.0, 0.0, 0.0]


def test_numbers_are_asked_for_by_name():
    assert numbers_of(None, ("a",)) is None
    assert numbers_of({"a": 1, "more": 2}, ("a",)) == {"a": 1, "more": 2}
    with pytest.raises(ConfigError, match='"a" is missing'):
        numbers_of({"b": 1}, ("a",))
    with pytest.raises(ConfigError, match="a must be a number"):
        numbers_of({"a": "1"}, ("a",))


def test_raymms_own_metrics_are_known_by_their_names():
    known = {name: metrics.get(name).direction for name in metrics.names()}
    words = {"min": "minimize", "max": "maximize", None: None}
    assert {name: words[usual_mode(name)] for name in known} == known


def test_scorers_of_scikit_learn_are_all_best_high():
    from sklearn.metrics import get_scorer_names

    assert {usual_mode(name) for name in get_scorer_names()} == {"max"}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("loss", "min"),
        ("valLoss", "min"),
        ("val/rmse", "min"),
        ("latency_ms", "min"),
        ("accuracy_drop", "min"),
        ("test-accuracy", "max"),
        ("f1_macro", "max"),
        ("d2_absolute_error_score", "max"),
        ("neg_mean_squared_error", "max"),
        ("negative_score", "min"),
        ("value", None),
        ("y", None),
        ("", None),
        ("closest", None),
    ],
)
def test_a_name_tells_where_a_metric_is_best_or_nothing(name, mode):
    assert usual_mode(name) == mode


def test_bounds_are_said():
    assert GOALS.bounds_said("ms") == "ms at most 5"
    both = Goals(objectives={"a": "min"}, constraints={"b": (-1.5, 2)})
    assert both.bounds_said("b") == "b at least -1.5 and at most 2"
