"""The logarithm of a target and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.models import targets
from raymm.models.family import Matrix

POSITIVE = st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=50, unique=True)


@given(POSITIVE, st.booleans())
def test_back_undoes_forward(values, zero):
    y = np.array([0.0, *values] if zero else values)
    curve = targets.Curve.fit(y)
    np.testing.assert_allclose(curve.back(curve.forward(y)), y, rtol=1e-9, atol=1e-9 * y.max())


@given(POSITIVE, st.floats(-1e30, 1e30))
def test_no_guess_leaves_the_neighbourhood_of_the_target(values, guess):
    curve = targets.Curve.fit(np.array(values))
    spread = np.std(np.log(values))
    (found,) = curve.back(np.array([guess]))
    assert np.log(min(values)) - spread - 1e-6 <= np.log(found)
    assert np.log(found) <= np.log(max(values)) + spread + 1e-6


@pytest.mark.parametrize(
    ("y", "worth"),
    [
        (np.exp(np.random.default_rng(0).normal(size=500)), True),
        (np.random.default_rng(0).poisson(1.0, 500).astype(float) ** 3, True),
        (np.random.default_rng(0).normal(100, 1, 500), False),
        (-np.exp(np.random.default_rng(0).normal(size=500)), False),
        (np.ones(10), False),
        (np.array([]), False),
    ],
)
def test_a_logarithm_is_worth_a_try_where_the_target_is_skewed(y, worth):
    assert targets.skewed(y) is worth


def test_a_configuration_decides_and_a_table_may_forbid_it():
    y = np.array([1.0, 2.0, 30.0])
    assert targets.curve({"target": "log"}, "regression", y) is not None
    assert targets.curve({"target": "raw"}, "regression", y) is None
    assert targets.curve({}, "regression", y) is None
    assert targets.curve({"target": "log"}, "regression", -y) is None
    assert targets.curve({"target": "log"}, "binary", y) is None


def test_a_bent_target_is_made_once_for_shared_rows():
    y = np.array([1.0, 2.0, 30.0])
    x = np.zeros((3, 1), np.float32)
    for array in (x, y):
        array.setflags(write=False)
    rows = Matrix(x=x, y=y, names=("a",))
    curve = targets.Curve.fit(y)
    assert targets.bent(rows, curve).y is targets.bent(rows, curve).y
    np.testing.assert_allclose(targets.bent(rows, curve).y, np.log(y))
