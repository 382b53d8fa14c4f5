from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from raymm import bootstrap


class Mean:
    name = "mean"
    direction = "maximize"

    def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
        return float(prediction.mean())


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 99))
def test_each_resample_holds_as_many_rows_as_the_table(rows: int, count: int, seed: int) -> None:
    parts = list(bootstrap.draws(rows, count=count, generator=np.random.default_rng(seed)))
    weights = np.concatenate(parts)
    assert weights.shape == (count, rows)
    assert (weights.sum(axis=1) == rows).all()


def test_resamples_come_in_chunks_that_bound_memory() -> None:
    chunks = list(bootstrap.draws(500_000, count=7, generator=np.random.default_rng(0)))
    assert [len(chunk) for chunk in chunks] == [4, 3]


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        next(bootstrap.draws(rows, count=1, generator=np.random.default_rng(0)))


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=400)
    scores = bootstrap.replicates(
        Mean(), values, [values], count=2000, generator=np.random.default_rng(2)
    )[:, 0]
    expected = values.std() / np.sqrt(400)
    # The standard deviation of 2,000 draws has a relative error of 1/sqrt(4000) = 1.6 %; four
    # of those are 6.4 %.
    assert scores.std() == pytest.approx(expected, rel=0.064)
    low, high = bootstrap.interval(scores, 0.9)
    assert (scores < low).mean() == pytest.approx(0.05, abs=1e-3)
    assert (scores > high).mean() == pytest.approx(0.05, abs=1e-3)


def test_scores_of_two_predictions_are_paired() -> None:
    values = np.random.default_rng(1).normal(size=200)
    scores = bootstrap.replicates(
        Mean(), values, [values, values + 1], count=50, generator=np.random.default_rng(2)
    )
    np.testing.assert_allclose(scores[:, 1] - scores[:, 0], 1)


def test_an_interval_passes_over_undefined_scores_unless_they_are_most() -> None:
    assert bootstrap.interval(np.array([1.0, 1.0, np.nan]), 0.9) == (1.0, 1.0)
    assert np.isnan(bootstrap.interval(np.array([1.0, np.nan]), 0.9)).all()


@pytest.mark.parametrize("rows", [5, 30, 1000])
def test_the_expanded_level_gives_students_interval_of_a_mean(rows):
    # Resamples' means spread by s sqrt((n - 1) / n) / sqrt(n), Student's interval by t s / sqrt(n).
    reach = NormalDist().inv_cdf((1 + bootstrap.expanded(0.95, rows)) / 2)
    student = t.ppf(0.975, rows - 1)
    assert reach * np.sqrt((rows - 1) / rows) == pytest.approx(student, rel=1e-3)
    assert bootstrap.expanded(0.95, rows) > 0.95
