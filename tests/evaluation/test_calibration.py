"""Calibration: what was bent is straightened, and straight probabilities stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle.blend import LEAST_SLOPE, calibrated
from raymm.evaluation import calibration, mixing
from raymm.evaluation.metrics import metric_for


def drawn(rows: int, slope: float, shift: float = 0.0, seed: int = 0):
    """Truth, and log-odds that are ``slope`` times too flat and ``shift`` too low."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(0, 1.5, rows)
    truth = (generator.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    told = 1 / (1 + np.exp(-(odds - shift) / slope))
    return truth, np.stack([1 - told, told], axis=1)


@pytest.mark.parametrize(("slope", "shift"), [(2.0, 0.0), (0.75, 0.5), (1.0, -1.0)])
def test_slope_and_shift_are_found(slope, shift):
    truth, told = drawn(40_000, slope, shift)
    found = calibration.fit(truth, told)
    # The standard errors of a logistic regression's slope and shift on 40,000 such rows are
    # about 0.012 and 0.012, times the slope; four of them.
    assert found[0] == pytest.approx(slope, abs=0.05 * slope)
    assert found[1] == pytest.approx(shift, abs=0.06)


def test_a_slope_is_found_for_several_classes():
    generator = np.random.default_rng(0)
    raised = generator.normal(size=(30_000, 4)) * 2
    likely = np.exp(raised) / np.exp(raised).sum(axis=1, keepdims=True)
    truth = (likely.cumsum(axis=1) < generator.random((30_000, 1))).sum(axis=1)
    flat = np.exp(raised / 2) / np.exp(raised / 2).sum(axis=1, keepdims=True)
    slope, shift = calibration.fit(truth, flat)
    assert shift == 0
    assert slope == pytest.approx(2, abs=0.06)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_the_log_loss_on_the_fitted_rows_does_not_rise(seed, classes):
    generator = np.random.default_rng(seed)
    told = generator.dirichlet(np.ones(classes), 80)
    truth = generator.integers(0, classes, 80)
    found = calibration.fit(truth, told)
    assert LEAST_SLOPE <= found[0] <= calibration.MOST_SLOPE
    loss = metric_for("log_loss", "binary" if classes == 2 else "multiclass")
    # FLOOR alone may raise the loss by about 1e-6 a row.
    assert loss(truth, calibrated(told, found)) <= loss(truth, told) + 1e-4


def test_a_single_class_says_nothing():
    assert calibration.fit(np.zeros(5, int), np.full((5, 2), 0.5)) == (1.0, 0.0)


def test_the_error_is_the_distance_from_frequencies():
    truth, told = drawn(50_000, 1.0)
    flat = drawn(50_000, 3.0)[1]
    error = calibration.CalibrationError()
    # True probabilities leave chance alone: about sqrt(15 / 50,000) / 3 = 0.006.
    assert error(truth, told) < 0.012
    assert error(truth, flat) > 0.05
    always = np.tile([0.2, 0.8], (1000, 1))
    half = np.array([0, 1] * 500)
    # In each of the 15 bins of 66 or 67 rows, a class that comes in turn is there half of the time.
    assert error(half, always) == pytest.approx(0.3, abs=0.01)


def test_weights_count_rows_as_often_as_they_say():
    truth, told = drawn(90, 1.5)
    error = calibration.CalibrationError()
    weights = np.full((1, 90), 2, np.float32)
    assert error.weighted(truth, told, weights)[0] == pytest.approx(error(truth, told), rel=1e-5)


def test_rows_are_mended_by_what_others_say():
    truth, told = drawn(5000, 2.0)
    part = mixing.parts(5000, 5, np.random.default_rng(0))
    crossed = calibration.crossed(truth, told, part)
    loss = metric_for("log_loss", "binary")
    assert loss(truth, crossed) < loss(truth, told) - 0.01
    changed = truth.copy()
    here = part == 0
    changed[here] = 1 - changed[here]
    other = calibration.crossed(changed, told, part)
    np.testing.assert_array_equal(other[here], crossed[here])
