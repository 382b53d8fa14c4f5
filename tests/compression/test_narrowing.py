"""What counts least goes first, and what others can say of it costs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.compression import narrowing
from raymm.compression.narrowing import count, fewer_columns, fewer_units, largest
from raymm.compression.network import Layer, Network


def network(*matrices, activation="Relu"):
    layers = tuple(
        Layer(matrix=np.asarray(one, np.float32), bias=np.zeros(np.shape(one)[1], np.float32))
        for one in matrices
    )
    bends = (activation,) * (len(layers) - 1)
    return Network(layers=layers, activations=bends, source="x", result="y")


RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 8)).astype(np.float32)


def test_at_least_three_stay_where_there_are_as_many():
    assert [count(width, 0.1) for width in (1, 2, 3, 10, 100)] == [1, 2, 3, 3, 10]


def test_the_columns_with_least_effect_go():
    weights = np.array([5, 0.01, 3, 0.02, 4, 0.01, 0.03, 2.0])[:, None]
    small = fewer_columns(network(weights), 0.5, X)
    assert small.columns == (0, 2, 4, 7)
    assert np.allclose(small.layers[0].matrix, weights[[0, 2, 4, 7]], atol=0.02)


def test_a_deviation_counts_as_a_coefficient_does():
    scaled = X * np.array([1, 1, 1, 1, 100, 100, 100, 100], np.float32)
    assert fewer_columns(network(np.ones((8, 1))), 0.5, scaled).columns == (4, 5, 6, 7)


def test_copies_are_handed_over_to_what_stays():
    x = X.copy()
    x[:, 4:] = 2 * x[:, :4]
    made = network(RANDOM.choice([-1.0, 1.0], size=(8, 3)))
    small = fewer_columns(made, 0.5, x)
    assert small.columns == (4, 5, 6, 7)
    ours = small.hidden(x[:, list(small.columns)])[-1]
    # The ridge is RIDGE of the mean square: an error of about as much of the sums.
    assert np.allclose(ours, made.hidden(x)[-1], atol=1e-2)


def test_of_two_that_say_the_same_one_stays():
    """Each of them alone varies more than what nothing else says."""
    x = X.copy()
    x[:, 1] = x[:, 0]
    small = fewer_columns(network(np.array([3, 3, 1, 1, 1, 1, 0.1, 0.1])[:, None]), 0.6, x)
    assert len({0, 1} & set(small.columns)) == 1
    assert {2, 3, 4, 5} <= set(small.columns)


def test_many_columns_are_thinned_out_first(monkeypatch):
    monkeypatch.setattr(narrowing, "MOST_ONE_BY_ONE", 4)
    weights = np.array([5, 0.01, 3, 0.02, 4, 0.01, 0.03, 2.0])[:, None]
    assert fewer_columns(network(weights), 0.4, X).columns == (0, 2, 4)


def test_of_very_many_columns_only_the_mean_is_handed_over(monkeypatch):
    monkeypatch.setattr(narrowing, "MOST_ONE_BY_ONE", 2)
    monkeypatch.setattr(narrowing, "MOST_SOLVED", 3)
    x = X + np.float32(2)
    made = network(np.arange(8, 0, -1.0)[:, None])
    small = fewer_columns(made, 0.5, x)
    assert small.columns == (0, 1, 2, 3)
    assert np.array_equal(small.layers[0].matrix, made.layers[0].matrix[:4])
    means = [one.hidden(rows)[-1].mean() for one, rows in ((made, x), (small, x[:, :4]))]
    assert means[1] == pytest.approx(means[0], rel=1e-4)


def test_units_that_never_vary_go_into_the_bias():
    here = RANDOM.normal(size=(8, 6)).astype(np.float32)
    here[:, [1, 3, 5]] = 0
    made = network(here, RANDOM.normal(size=(6, 2)))
    made.layers[0].bias[[1, 3, 5]] = 1.5
    small = fewer_units(made, 0, 0.5, X)
    assert small.layers[0].matrix.shape == (8, 3)
    assert np.allclose(small.hidden(X)[-1], made.hidden(X)[-1], atol=1e-4)


def test_a_second_choice_is_told_in_the_columns_of_the_first():
    made = network(np.arange(8, 0, -1.0)[:, None])
    first = fewer_columns(made, 0.75, X)
    second = fewer_columns(first, 0.5, X[:, list(first.columns)])
    assert second.columns == (0, 1, 2)


def test_nothing_changes_where_all_stays():
    made = network(RANDOM.normal(size=(8, 2)), RANDOM.normal(size=(2, 1)))
    assert fewer_columns(made, 1.0, X) is made
    assert fewer_units(made, 0, 0.5, X) is made


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_largest_weights_are_told(share):
    matrix = RANDOM.normal(size=(8, 5)).astype(np.float32)
    even = np.tile(np.array([[-1], [1]], np.float32), (4, 8))  # deviation 1 in every column
    mask = largest(matrix, even, share)
    assert mask.sum() == round(40 * share)
    if share < 1:
        assert np.abs(matrix)[mask].min() >= np.abs(matrix)[~mask].max()
