from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from raymm.artifacts import Errors, Predictions, Statistics, Target, as_record, from_record
from raymm.monitoring.predictions import (
    LEAST_ROWS,
    MOST_CLASSES,
    PREDICTION,
    as_state,
    bins_of,
    described,
    errors_of,
    from_state,
    predicted,
    predictions_of,
)
from raymm.monitoring.sketches import cells_of


def test_one_number_stands_for_each_prediction() -> None:
    assert predicted(np.array([1.5, 2.5])).tolist() == [1.5, 2.5]
    assert predicted(np.array([[0.9, 0.1], [0.2, 0.8]])).tolist() == [0.1, 0.8]
    assert predicted(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])).tolist() == [2.0, 0.0]


VALUES = arrays.arrays(
    np.float64,
    st.integers(0, 300),
    elements=st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf]),
)


@given(values=VALUES)
def test_every_value_is_in_one_bin_and_edges_rise(values: Any) -> None:
    made = bins_of(values)
    assert sum(made.counts) + made.missing == made.rows == len(values)
    assert len(made.counts) == len(made.edges) + 1 <= 20
    assert (np.diff(made.edges) > 0).all()
    assert as_state(from_state(as_state(made))) == as_state(made)


@given(
    places=st.lists(st.integers(0, 30), min_size=1, max_size=200),
    jitter=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1e-4, 1.0, 1e5]),
)
def test_what_rounds_otherwise_stays_in_its_bin(
    places: list[int], jitter: int, scale: float
) -> None:
    """Float32 rounds by 6e-8 of a value; a sum of 100 of them by 6e-6 at most."""
    values = scale * (np.array(places) + 1) / 31
    cells = cells_of(bins_of(values))
    generator = np.random.default_rng(jitter)
    near = values * (1 + generator.uniform(-4e-6, 4e-6, size=len(values)))
    cells.add(near.astype(np.float32))
    assert cells.counts.tolist() == cells.reference.tolist()


def test_bins_hold_a_tenth_of_the_rows_each() -> None:
    made = bins_of(np.random.default_rng(0).lognormal(sigma=2, size=1003))
    assert len(made.counts) == 10
    assert set(made.counts) <= {100, 101}


def test_each_class_has_a_bin_though_no_test_row_has_it() -> None:
    rows = np.eye(4)[np.repeat([0, 2], 150)]
    target = Target(task="multiclass", classes=("a", "b", "c", "d"))
    made = predictions_of(target, np.zeros(300), rows)
    assert made is not None
    assert (made.column.counts, made.errors) == ((150, 0, 150, 0), None)
    cells = cells_of(made.column)
    cells.add(np.array([3.0, 1.0, 1.0]))
    assert cells.counts.tolist() == [0, 2, 0, 1, 0, 0]
    many = np.arange(300.0) % (MOST_CLASSES + 10)
    assert len(bins_of(many, classes=MOST_CLASSES + 10).counts) == 10


def test_a_regression_s_errors_are_summed_up() -> None:
    generator = np.random.default_rng(1)
    truth, told = generator.lognormal(size=500), generator.normal(size=500)
    made = predictions_of(Target(task="regression"), truth, told)
    assert made is not None
    assert made.errors is not None
    apart = truth - told
    assert made.errors.rows == 500
    assert made.errors.mean == pytest.approx(np.mean(apart))
    assert made.errors.deviation == pytest.approx(np.std(apart, ddof=1))
    expected = stats.skew(apart) * (499 / 500) ** 1.5
    assert made.errors.skewness == pytest.approx(expected)
    assert errors_of(np.full(9, 2.0)) == Errors(rows=9, mean=2.0, deviation=0.0, skewness=0.0)
    assert errors_of(np.array([1.0, np.nan])) is None
    read = from_record(Predictions, json.loads(json.dumps(as_record(made))))
    assert read == made


def test_few_rows_are_no_reference() -> None:
    told = np.random.default_rng(2).random(LEAST_ROWS)
    target = Target(task="regression")
    assert predictions_of(target, told, told) is not None
    assert predictions_of(target, told[1:], told[1:]) is None


def test_a_newer_format_is_refused() -> None:
    record = as_record(Predictions(column=bins_of(np.arange(5.0)))) | {"version": 2}
    with pytest.raises(ValueError, match="newer"):
        from_record(Predictions, record)


def test_statistics_describe_predictions_where_these_are_known() -> None:
    nothing = Statistics(rows=3, columns=())
    assert described(nothing, None) is nothing
    known = Predictions(column=bins_of(np.arange(5.0)))
    twice = described(described(nothing, known), known)
    assert [one.name for one in twice.columns] == [PREDICTION]
