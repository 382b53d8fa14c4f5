import numpy as np
import pandas as pd
import pytest

from raymm.data.association import NONE, explained

RNG = np.random.default_rng(0)


def test_levels_that_decide_explain_all_and_independent_ones_nothing() -> None:
    levels = RNG.integers(0, 100, 1000)
    other = RNG.permutation(levels)
    for classes in (0, 4):
        truth = levels % 4 if classes else levels.astype(float) ** 2
        assert explained(levels, truth, classes).share == pytest.approx(1)
        assert explained(levels, truth, classes).chance < 1e-100
        assert abs(explained(other, truth, classes).share) < 0.1
        assert explained(other, truth, classes).chance > 1e-4


def test_the_share_is_the_adjusted_r_squared_of_the_levels_means() -> None:
    levels = RNG.integers(0, 7, 200)
    y = levels + RNG.normal(scale=3, size=200)
    left = y - pd.Series(y).groupby(levels).transform("mean")
    r2 = 1 - (left**2).sum() / ((y - y.mean()) ** 2).sum()
    assert explained(levels, y).share == pytest.approx(1 - (1 - r2) * 199 / 193)


def test_the_probability_is_that_of_an_analysis_of_variance() -> None:
    from scipy.stats import f_oneway

    levels = RNG.integers(0, 5, 300)
    y = 0.2 * levels + RNG.normal(size=300)
    expected = f_oneway(*(y[levels == k] for k in range(5))).pvalue
    assert explained(levels, y).chance == pytest.approx(expected)


def test_two_classes_are_as_their_indicator() -> None:
    levels, truth = RNG.integers(0, 9, 500), RNG.integers(0, 2, 500)
    assert explained(levels, truth, 2) == pytest.approx(explained(levels, truth.astype(float)))


@pytest.mark.parametrize("levels", [[], [0, 0, 0], [0, 1, 2]])
def test_what_cannot_be_told_is_nothing(levels: list[int]) -> None:
    assert explained(np.array(levels, dtype=np.int64), np.arange(float(len(levels)))) == NONE
