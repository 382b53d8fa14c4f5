from typing import Any

import numpy as np
import pytest

from raymm.data.spikes import spike

N = 2000


def mixed(rng: np.random.Generator, values: Any, word: float, share: float) -> Any:
    return np.where(rng.random(N) < share, word, values).astype(np.float64)


@pytest.mark.parametrize(
    ("low", "high", "word", "share"),
    [(-5, 100, -1, 0.15), (0, 2000, 999, 0.04), (0, 871, -1, 0.8), (-90, 90, -9, 0.3)],
)
def test_a_number_far_more_frequent_than_its_neighbours_is_suspected(
    low: int, high: int, word: float, share: float
) -> None:
    rng = np.random.default_rng(0)
    found = spike(mixed(rng, rng.integers(low, high, N), word, share))
    assert found is not None
    assert found.value == word
    # Six standard deviations of a binomial count.
    assert abs(found.count - share * N) < 6 * np.sqrt(N * share * (1 - share)) + N / (high - low)


@pytest.mark.parametrize("word", [-2.0, 7.0, 0.0, 500.0])
def test_only_numbers_that_people_write_for_missing_are_suspected(word: float) -> None:
    rng = np.random.default_rng(0)
    assert spike(mixed(rng, rng.integers(-5, 900, N), word, 0.3)) is None


def test_counts_ratings_prices_and_limits_are_not_suspected() -> None:
    rng = np.random.default_rng(1)
    prices = rng.choice([99, 199, 299, 499, 999, 1499], N) + rng.integers(0, 2, N) * 5
    for values in (
        rng.poisson(9, N),
        rng.geometric(0.1, N) - 1,
        rng.integers(-2, 3, N),
        rng.choice([-1, 0, 1], N, p=[0.9, 0.05, 0.05]),
        rng.choice(np.arange(0, 10), N, p=[0.02] * 9 + [0.82]),
        np.minimum(rng.exponential(60, N).astype(int), 99),
        prices,
        rng.normal(0, 5, N).round(),
        rng.normal(0, 1, N),
        rng.zipf(2.5, N).clip(0, 99_999) - 2,
        np.where(rng.random(N) < 0.7, 0, rng.integers(-50, 120, N)),
    ):
        assert spike(values.astype(np.float64)) is None


def test_few_rows_tell_nothing() -> None:
    assert spike(np.array([-1.0] * 50 + list(range(40)))) is None
    assert spike(np.full(N, np.nan)) is None


def test_what_is_suspected_elsewhere_needs_less() -> None:
    rng = np.random.default_rng(2)
    values = mixed(rng, rng.normal(0, 900, N).round(2), -888.0, 0.01)
    assert spike(values) is None
    found = spike(values, [-888.0])
    assert found is not None
    assert found.value == -888.0
