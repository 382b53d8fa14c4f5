import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.search import gaussian
from raymm.search.gaussian import Hyper, Posterior

SEEDS = st.integers(0, 10_000)
RIPPLES = st.sampled_from([0.0, 0.3])


def _data(seed, rows=12, ripple=0.0):
    rng = np.random.default_rng(seed)
    features = rng.random((rows, 3))
    groups = np.array([0, 1, 1])
    hyper = Hyper(np.exp(rng.uniform(-1.5, 1.0, 2)), math.exp(rng.uniform(-9, -1)), ripple)
    targets = np.sin(5 * features[:, 0]) + features[:, 1] ** 2 + 0.1 * rng.standard_normal(rows)
    return features, targets, groups, hyper, rng


def _dense(left, right, lengths):
    # the definition, pair by pair
    found = np.empty((len(left), len(right)))
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            r = math.sqrt(sum(((a - b) / lengths) ** 2))
            found[i, j] = (1 + math.sqrt(5) * r + 5 * r * r / 3) * math.exp(-math.sqrt(5) * r)
    return found


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_the_kernel_is_scikit_learns_matern(seed) -> None:
    from sklearn.gaussian_process.kernels import Matern

    features, _, groups, hyper, rng = _data(seed)
    lengths = hyper.lengths[groups]
    other = rng.random((5, 3))
    ours, _ = gaussian.matern(gaussian.squares(features / lengths, other / lengths))
    theirs = Matern(length_scale=lengths, nu=2.5)(features, other)
    assert ours == pytest.approx(theirs, abs=1e-10)


@given(seed=SEEDS)
def test_the_kernels_slope_agrees_with_differences(seed) -> None:
    squared = np.random.default_rng(seed).uniform(0.01, 9, 20)
    step = 1e-5
    up, down = (gaussian.matern(squared + side * step)[0] for side in (1, -1))
    # step² f‴ / 6 is below 1e-6 as f‴ < 1e4 from 0.01 on
    assert (up - down) / (2 * step) == pytest.approx(gaussian.matern(squared)[1], abs=1e-6)


@given(seed=SEEDS, ripple=RIPPLES)
def test_the_log_posteriors_gradient_agrees_with_differences(seed, ripple) -> None:
    features, targets, groups, hyper, _ = _data(seed, ripple=ripple)
    at = hyper.flat()
    _, gradient = gaussian.log_posterior(at, features, targets, groups)
    for column in range(len(at)):
        step = np.zeros(len(at))
        step[column] = 1e-5
        up, down = (
            gaussian.log_posterior(at + s, features, targets, groups)[0] for s in (step, -step)
        )
        # values near 1e2 with a condition number near 1e5 carry rounding of 1e-9, over 2e-5
        assert (up - down) / 2e-5 == pytest.approx(gradient[column], rel=1e-3, abs=2e-3)


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(seed=SEEDS)
def test_the_log_posterior_is_the_integral_over_the_amplitude(seed) -> None:
    from scipy import integrate, stats

    features, targets, groups, hyper, _ = _data(seed, rows=6)
    lengths = hyper.lengths[groups]
    cover = _dense(features, features, lengths) + hyper.noise * np.eye(6)
    inverse = np.linalg.inv(cover)
    centre = (inverse @ targets).sum() / inverse.sum()

    def density(amplitude):
        likelihood = stats.multivariate_normal.pdf(targets, np.full(6, centre), amplitude * cover)
        return likelihood * stats.invgamma.pdf(amplitude, 0.5, scale=0.5)

    exact, _ = integrate.quad(lambda t: density(math.exp(t)) * math.exp(t), -12, 12, limit=200)

    # the constant is the same for all hyperparameters of these targets, so take it out by the
    # closed form: Γ((n + 1) / 2) / Γ(1 / 2) · (1/2)^(1/2) · 2^((n + 1) / 2) / (2π)^(n/2)
    constant = (
        math.lgamma(3.5)
        - math.lgamma(0.5)
        - 0.5 * math.log(2)
        + 3.5 * math.log(2)
        - 3 * math.log(2 * math.pi)
    )
    at = np.append(np.log(hyper.lengths), math.log(hyper.noise))
    value, _ = gaussian.log_posterior(at, features, targets, groups)
    prior, _ = gaussian._with_priors(at, 0.0, np.zeros(3), 2)
    assert value - prior + constant == pytest.approx(math.log(exact), abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, ripple=RIPPLES)
def test_predictions_are_scikit_learns(seed, ripple) -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    features, targets, groups, hyper, rng = _data(seed, ripple=ripple)
    posterior = Posterior(features, targets, groups, hyper)
    lengths = hyper.lengths[groups]
    kernel = Matern(lengths, nu=2.5)
    if ripple:
        kernel += ripple * Matern(gaussian.RIPPLE * lengths, nu=2.5)
    theirs = GaussianProcessRegressor(kernel, alpha=hyper.noise, optimizer=None)
    theirs.fit(features, targets - posterior.centre)
    points = rng.random((7, 3))
    mean, deviation = posterior.predict(points)
    expected, spread = theirs.predict(points, return_std=True)
    assert mean == pytest.approx(expected + posterior.centre, abs=1e-6)
    assert deviation == pytest.approx(spread * math.sqrt(posterior.amplitude), abs=1e-5)
    assert posterior.fitted() == pytest.approx(posterior.predict(features)[0], abs=1e-6)


@given(seed=SEEDS, more=st.integers(1, 4), ripple=RIPPLES)
def test_a_posterior_that_grew_is_one_made_at_once(seed, more, ripple) -> None:
    features, targets, groups, hyper, rng = _data(seed, ripple=ripple)
    whole = Posterior(features, targets, groups, hyper)
    grown = Posterior(features[:-more], targets[:-more], groups, hyper)
    grown.append(features[-more:])
    grown.condition(targets)
    points = rng.random((5, 3))
    assert len(grown) == len(whole)
    for ours, theirs in zip(grown.predict(points), whole.predict(points), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-7)


@given(seed=SEEDS)
def test_gradients_of_predictions_agree_with_differences(seed) -> None:
    features, targets, groups, hyper, rng = _data(seed)
    posterior = Posterior(features, targets, groups, hyper)
    points = rng.random((4, 3))
    mean, deviation, by_mean, by_deviation = posterior.gradients(points)
    same = posterior.predict(points)
    assert mean == pytest.approx(same[0], abs=1e-9)
    assert deviation == pytest.approx(same[1], abs=1e-6)
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-5
        up, down = posterior.predict(points + step), posterior.predict(points - step)
        scale = 1 + np.abs(by_mean).max() + np.abs(by_deviation).max()
        # the kernel's third derivatives grow as 1 / length³, above 0.22³: step² of 1e-10 times 1e2
        assert (up[0] - down[0]) / 2e-5 == pytest.approx(by_mean[:, column], abs=1e-4 * scale)
        assert (up[1] - down[1]) / 2e-5 == pytest.approx(by_deviation[:, column], abs=1e-3 * scale)


def test_gradients_of_predictions_hold_with_ripples() -> None:
    features, targets, groups, hyper, rng = _data(3, ripple=0.3)
    posterior = Posterior(features, targets, groups, hyper)
    points = features[:4] + 0.01 * rng.standard_normal((4, 3))
    _, _, by_mean, by_deviation = posterior.gradients(points)
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-6
        up, down = posterior.predict(points + step), posterior.predict(points - step)
        # third derivatives grow as 1 / length³, above 0.011³: step² of 1e-12 times 1e6
        assert (up[0] - down[0]) / 2e-6 == pytest.approx(by_mean[:, column], rel=1e-3, abs=1e-3)
        assert (up[1] - down[1]) / 2e-6 == pytest.approx(
            by_deviation[:, column], rel=1e-3, abs=1e-3
        )


@given(seed=SEEDS)
def test_believing_keeps_the_mean_and_lessens_the_deviation(seed) -> None:
    features, targets, groups, hyper, rng = _data(seed)
    posterior = Posterior(features, targets, groups, hyper)
    points = rng.random((6, 3))
    mean, deviation = posterior.predict(points)
    posterior.believe(points[:2])
    after, narrower = posterior.predict(points)
    assert after == pytest.approx(mean, abs=1e-6)
    assert (narrower <= deviation + 1e-7).all()
    assert (narrower[:2] < deviation[:2]).all()


@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_fit_climbs(seed) -> None:
    features, targets, groups, _, _ = _data(seed, rows=25)
    start = gaussian.prior_mode(2)
    at = np.append(np.log(start.lengths), math.log(start.noise))
    before, _ = gaussian.log_posterior(at, features, targets, groups)
    hyper, after = gaussian.fit(features, targets, groups, start, evaluations=30)
    assert after >= before
    reached = np.append(np.log(hyper.lengths), math.log(hyper.noise))
    again, _ = gaussian.log_posterior(reached, features, targets, groups)
    assert after == pytest.approx(again)


def test_a_feature_that_does_nothing_gets_the_longest_length() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((60, 3))
    targets = np.sin(9 * features[:, 0]) + 0.3 * features[:, 1]
    groups = np.arange(3)
    hyper, _ = gaussian.fit(features, targets, groups, gaussian.prior_mode(3), evaluations=80)
    assert hyper.lengths[0] < hyper.lengths[1] < hyper.lengths[2]
    assert hyper.noise < 1e-3


def test_noise_is_found() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((150, 1))
    signal = np.sin(6 * features[:, 0])
    noise = 0.5 * rng.standard_normal(150)
    groups = np.zeros(1, dtype=int)
    hyper, _ = gaussian.fit(
        features, signal + noise, groups, gaussian.prior_mode(1), evaluations=80
    )
    posterior = Posterior(features, signal + noise, groups, hyper)
    found = hyper.noise * posterior.amplitude
    # the variance of 150 draws of variance ¼ has a relative deviation of √(2 / 150) = 0.12
    assert abs(found / 0.25 - 1) < 6 * 0.12


@pytest.mark.parametrize("ripple", [0.0, 0.3])
def test_the_likelihood_of_targets_differs_as_the_log_posterior_does(ripple) -> None:
    rng = np.random.default_rng(0)
    features, groups = rng.random((30, 3)), np.arange(3)
    hyper = Hyper(np.array([0.3, 0.7, 1.5]), 1e-3, ripple)
    some, other = rng.standard_normal((2, 30))
    likelihood = gaussian.likelihood(hyper, features, groups)

    whole = [
        gaussian.log_posterior(hyper.flat(), features, targets, groups)[0]
        for targets in (some, other)
    ]

    assert likelihood(some) - likelihood(other) == pytest.approx(whole[0] - whole[1])


def test_rows_closer_than_distances_are_exact_get_more_noise() -> None:
    rng = np.random.default_rng(0)
    features, groups = 0.9 + 1e-7 * rng.standard_normal((300, 2)), np.array([0, 1])
    targets = rng.standard_normal(300)
    hyper = Hyper(np.full(2, 0.01), 1e-8, 4.0)
    assert gaussian.log_posterior(hyper.flat(), features, targets, groups)[0] == -math.inf

    posterior = Posterior(features, targets, groups, hyper)

    assert 1e-8 < posterior.hyper.noise <= 1e-5
    assert np.isfinite(posterior.predict(features[:5])).all()
