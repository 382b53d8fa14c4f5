import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from raymm.search.acquisition import ACQUISITIONS, log_h

MEANS, DEVIATIONS = st.floats(-5, 5), st.floats(0.05, 5)


def _one(name, mean, deviation, best=0.3, count=20):
    return tuple(
        float(part[0])
        for part in ACQUISITIONS[name](np.array([mean]), np.array([deviation]), best, count)
    )


@settings(max_examples=25, deadline=None)
@given(mean=MEANS, deviation=DEVIATIONS)
def test_expected_improvement_is_the_expectation_of_the_improvement(mean, deviation) -> None:
    low = min(0.3, mean - 12 * deviation)
    expected, error = integrate.quad(
        lambda y: (0.3 - y) * stats.norm.pdf(y, mean, deviation), low, 0.3, points=[mean]
    )
    value, _, _ = _one("ei", mean, deviation)
    assert value == pytest.approx(expected, rel=1e-6, abs=10 * error + 1e-12)


@given(mean=MEANS, deviation=DEVIATIONS)
def test_the_logarithm_agrees_with_expected_improvement_where_that_does_not_underflow(
    mean, deviation
) -> None:
    plain, log = _one("ei", mean, deviation)[0], _one("log_ei", mean, deviation)[0]
    assert plain == 0.0 or math.log(plain) == pytest.approx(log, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
@given(mean=MEANS, deviation=DEVIATIONS)
def test_derivatives_agree_with_differences(name, mean, deviation) -> None:
    _, by_mean, by_deviation = _one(name, mean, deviation)
    step = 1e-5 * deviation
    # a central difference errs by step² f‴ / 6 and by rounding, f · 2e-16 / step; in units of
    # the deviation the third derivative of log Φ far out is a few hundred z³ at most
    scale = 1.0 + abs(by_mean) + abs(by_deviation)
    up, down = _one(name, mean + step, deviation)[0], _one(name, mean - step, deviation)[0]
    assert (up - down) / (2 * step) == pytest.approx(by_mean, abs=1e-4 * scale)
    up, down = _one(name, mean, deviation + step)[0], _one(name, mean, deviation - step)[0]
    assert (up - down) / (2 * step) == pytest.approx(by_deviation, abs=1e-4 * scale)


@pytest.mark.parametrize("z", [-1e8, -1e6, -1e5, -300.0, -38.0, -5.0, -1.01, -1.0])
def test_log_h_agrees_with_the_integral_that_has_no_cancellation(z) -> None:
    # h(z) / φ(z) = ∫ t exp(-t |z| - t² / 2) dt over t > 0; here in units of 1 / |z|
    inner, _ = integrate.quad(lambda t: t * np.exp(-t - t * t / (2 * z * z)), 0, 60, epsabs=1e-13)
    expected = -0.5 * z * z - 0.5 * math.log(2 * math.pi) + math.log(inner / (z * z))
    assert float(log_h(np.array([z]))[0]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-1e7, 50), min_size=2, max_size=50))
def test_log_h_rises(points) -> None:
    z = np.sort(np.array(points))
    values = log_h(z)
    assert np.isfinite(values).all()
    # cancellation far out costs digits of a number near z²/2, never more than 1e-9 of it
    assert (np.diff(values) >= -1e-9 * np.abs(values[1:])).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
@given(mean=MEANS, deviation=DEVIATIONS, less=st.floats(0.01, 5))
def test_a_lower_mean_promises_more(name, mean, deviation, less) -> None:
    value, by_mean, _ = _one(name, mean, deviation)
    assert by_mean <= 0
    assert _one(name, mean - less, deviation)[0] >= value


def test_the_confidence_bound_widens_with_the_number_of_observations() -> None:
    early, late = (_one("ucb", 0.0, 1.0, count=count)[0] for count in (0, 1000))
    assert early == pytest.approx(math.sqrt(2 * math.log(2)))
    assert late > early


@given(mean=MEANS, deviation=DEVIATIONS)
def test_the_probability_of_improvement_is_a_probability(mean, deviation) -> None:
    value, _, _ = _one("pi", mean, deviation)
    assert math.exp(value) == pytest.approx(special.ndtr((0.3 - mean) / deviation))
