import math

import numpy as np
import pytest
from scipy.stats import truncnorm

from raymm.search import Categorical, Float, Int
from raymm.search import space as spaces
from raymm.search.density import Density, active, bandwidth, cell

MIXED = {
    "solver": Categorical(("adam", "sgd", "lbfgs")),
    "rate": Float(1e-4, 1.0, log=True),
    "momentum": Float(0.0, 1.0, when={"solver": ("sgd",)}),
    "layers": Int(1, 12, log=True),
    "units": Int(3, 9),
    "fixed": Int(2, 2),
}


def _points(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([spaces.unit(space, spaces.sample(space, rng)) for _ in range(count)])


def test_one_number_has_the_density_of_truncated_normals() -> None:
    space = {"x": Float(0, 1)}
    points = np.array([[0.1], [0.4], [0.95]])
    width = bandwidth(space["x"], points[:, 0], 1, 0.05)
    at = np.linspace(0.0, 1.0, 21)[:, None]
    kernels = [
        truncnorm.pdf(at[:, 0], -p / width, (1 - p) / width, loc=p, scale=width)
        for p in points[:, 0]
    ]
    expected = (np.sum(kernels, axis=0) + 1.0) / 4
    # the same formula in double precision
    np.testing.assert_allclose(np.exp(Density(space, points).log(at)), expected, rtol=1e-9)


def test_the_bandwidth_is_the_normal_reference_rule() -> None:
    points = np.random.default_rng(0).normal(0.5, 0.1, 200)
    expected = 1.06 * np.std(points) * 200 ** (-1 / 6)
    assert bandwidth(Float(0, 1), points, 2, 1e-3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_the_density_integrates_to_one(prior) -> None:
    """Over even draws of the space, of a density relative to evenness, the mean is one."""
    density = Density(MIXED, _points(MIXED, 12), narrowest=0.2, prior=prior)
    values = np.exp(density.log(_points(MIXED, 40_000, seed=1)))
    # six standard errors of the mean
    assert abs(values.mean() - 1.0) < 6 * values.std() / math.sqrt(len(values))


@pytest.mark.long
def test_draws_follow_the_density() -> None:
    """E under draws of u equals E under even draws of density times u, for any u."""
    density = Density(MIXED, _points(MIXED, 6), narrowest=0.2)
    drawn = density.draw(40_000, np.random.default_rng(2))
    even = _points(MIXED, 40_000, seed=3)
    weights = np.exp(density.log(even))
    for column in range(len(MIXED)):
        for u in (lambda x: np.nan_to_num(x, nan=-1.0), np.isnan, lambda x: x > 0.5):
            first, second = u(drawn[:, column]) * 1.0, u(even[:, column]) * weights
            error = math.sqrt((first.var() + second.var()) / len(first))
            # six standard errors of the difference of two means
            assert abs(first.mean() - second.mean()) <= 6 * error + 1e-9


def test_draws_are_configurations_with_conditions() -> None:
    drawn = Density(MIXED, _points(MIXED, 5)).draw(200, np.random.default_rng(0))
    for row in drawn:
        config = spaces.from_unit(MIXED, np.nan_to_num(row, nan=0.5))
        assert spaces.contains(MIXED, config)
        # one rounding of a logarithm and back
        np.testing.assert_allclose(spaces.unit(MIXED, config), row, atol=1e-9)


def test_activity_follows_the_conditions() -> None:
    points = _points(MIXED, 50)
    np.testing.assert_array_equal(active(MIXED, np.nan_to_num(points)), ~np.isnan(points))


@pytest.mark.parametrize("parameter", [Int(3, 9), Int(1, 12, log=True)])
def test_cells_of_whole_numbers_meet_and_fill_the_unit_interval(parameter) -> None:
    values = range(parameter.low, parameter.high + 1)
    low, high = cell(parameter, np.array([spaces.place(parameter, v) for v in values]))
    np.testing.assert_allclose(low[1:], high[:-1], atol=1e-12)
    np.testing.assert_allclose([low[0], high[-1]], [0.0, 1.0], atol=1e-12)
    for value, start, end in zip(values, low, high, strict=True):
        assert spaces.value_at(parameter, start + 1e-6) == value
        assert spaces.value_at(parameter, end - 1e-6) == value
