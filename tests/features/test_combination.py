import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column, Interaction, Schema
from raymm.features.combination import OPERATIONS, Combination, candidates, label
from raymm.features.number import Number
from raymm.features.pipeline import fit_features
from raymm.features.scaled_number import ScaledNumber

A, B = (Column(name=name, kind="number") for name in "ab")
CELL = st.floats(width=32, allow_nan=True, allow_infinity=False)
ROWS = st.lists(st.tuples(CELL, CELL), min_size=1, max_size=20)
EDGES = [(1.0, 0.0), (0.0, 0.0), (3e38, 3e38), (-3e38, 3e38), (np.nan, 1.0), (7.0, 3.0)]


def table(rows):
    values = np.array(rows, dtype=np.float32).reshape(-1, 2)
    return {"a": values[:, 0].copy(), "b": values[:, 1].copy()}


def pair(operation, first="a", second="b"):
    return Interaction(first=first, second=second, operation=operation)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@given(ROWS)
@settings(deadline=None, max_examples=25)
def test_the_graph_makes_the_same_bits(run_columns, operation, rows):
    tensors = table([*rows, *EDGES])
    part = Combination(pair(operation), A, Number)
    part.fit(part.take(tensors), np.zeros(0))
    np.testing.assert_array_equal(run_columns(part, tensors), part.transform(part.take(tensors)))


def test_where_training_rows_have_infinite_results_they_are_missing():
    tensors = table([(1.0, 0.0), (0.0, 0.0), (6.0, 3.0), (np.nan, 2.0)])
    part = Combination(pair("ratio"), A, Number)
    part.fit(part.take(tensors), np.zeros(0))
    assert part.mends
    made = part.transform(part.take(tensors))
    np.testing.assert_array_equal(made[:, 0], np.array([np.nan, np.nan, 2.0, np.nan], np.float32))


@pytest.mark.parametrize("number", [Number, ScaledNumber])
def test_where_they_have_none_a_later_one_is_the_largest_number(run_columns, number):
    part = Combination(pair("ratio"), A, number)
    part.fit(part.take(table([(1.0, 2.0), (6.0, 3.0), (5.0, 1.0), (9.0, 2.0)])), np.zeros(0))
    assert not part.mends
    new = table([(1.0, 0.0), (0.0, 0.0), (-1.0, 0.0), (4.0, 2.0)])
    made = part.transform(part.take(new))
    np.testing.assert_allclose(run_columns(part, new), made, rtol=1e-6)
    assert made[0, 0] > made[3, 0] > made[2, 0]
    assert np.isfinite(made[[0, 2, 3]]).all()


def test_the_dense_form_has_no_missing_values_and_the_graph_agrees(run_columns):
    generator = np.random.default_rng(0)
    tensors = table([*generator.normal(size=(200, 2)).tolist(), *EDGES])
    part = Combination(pair("ratio"), A, ScaledNumber)
    part.fit(part.take(tensors), np.zeros(206))
    made = part.transform(part.take(tensors))
    assert np.isfinite(made).all()
    np.testing.assert_allclose(run_columns(part, tensors), made, rtol=1e-6, atol=1e-6)


def test_candidates_are_each_pair_once_but_ratios_both_ways():
    found = candidates(["a", "b", "c"])
    assert len(found) == len(set(found)) == 3 * 5
    assert {label(one) for one in found} >= {"a / b", "b / a", "a - b", "b * c", "a + c"}
    assert candidates(["a"]) == ()


@pytest.mark.parametrize("encoding", ["ordinal", "dense"])
def test_a_schema_s_interactions_are_features_of_its_first_column(encoding):
    schema = Schema(
        columns=(A, B, Column(name="y", kind="number", role="target")),
        target="y",
        task="regression",
        interactions=(pair("product"), pair("ratio", "b", "a")),
    )
    tensors = table(np.random.default_rng(1).normal(size=(60, 2)).tolist())
    features = fit_features(tensors, np.zeros(60), schema, encoding)
    assert "a * b" in features.names
    places = dict(zip(features.names, features.columns, strict=True))
    assert places["a * b"] == "a"
    assert places["b / a"] == "b"
    assert features.transform(tensors).shape == (60, len(features.names))
