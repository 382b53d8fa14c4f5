from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, fisher_exact, mannwhitneyu

from raymm.monitoring.comparison import (
    displacement,
    peak,
    pooled,
    stability_index,
    surplus,
    threshold,
)

COUNTS = st.lists(st.integers(0, 500), min_size=1, max_size=12)


@given(COUNTS, st.data())
def test_pooling_keeps_rows_and_leaves_no_thin_cell(first: list[int], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.integers(0, 500), min_size=len(first), max_size=len(first)))
    reference, counts = np.array(first), np.array(second)
    a, b = pooled(reference, counts)
    assert (a.sum(), b.sum()) == (reference.sum(), counts.sum())
    n, m = counts.sum(), reference.sum()
    if len(a) > 1:
        assert ((a + b) * min(n, m) / (n + m) >= 10 - 1e-9).all()


@given(COUNTS)
def test_the_index_is_zero_for_equals_and_positive_else(counts: list[int]) -> None:
    values = np.array(counts)
    assert stability_index(values, values) == 0
    assert stability_index(values, values[::-1]) >= 0


def test_the_threshold_is_the_chi_square_quantile() -> None:
    expected = (1 / 700 + 1 / 9000) * chi2.isf(1e-4, 7)
    assert threshold(700, 9000, 8, 1e-4) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 40), st.integers(1, 60))
def test_surplus_is_fishers_exact_test(k: int, rest: int, l: int, others: int) -> None:  # noqa: E741
    reference, counts = np.array([others, l]), np.array([rest, k])
    found = surplus(reference, counts, 1)
    if k * (l + others) <= l * (k + rest):
        assert found == 1.0
    else:
        exact = fisher_exact([[k, rest], [l, others]], alternative="greater").pvalue
        assert found == pytest.approx(exact, rel=1e-6, abs=1e-12)


def test_displacement_is_mann_and_whitneys_test() -> None:
    generator = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    reference = generator.multinomial(10_000, shares, size=3)
    counts = generator.multinomial(1000, shares, size=3)
    counts[2, :3] += 40
    # A feature of fewer bins beside them changes nothing.
    wide = [np.pad(one, ((0, 1), (0, 4))) for one in (reference, counts)]
    found = displacement(*wide)
    assert found[3] == 1.0
    for line, (r, c) in enumerate(zip(reference, counts, strict=True)):
        cells = np.arange(10)
        exact = mannwhitneyu(
            np.repeat(cells, c), np.repeat(cells, r), use_continuity=False, method="asymptotic"
        ).pvalue
        assert found[line] == pytest.approx(exact, rel=0.02)
    assert found[2] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("shares", [[0.1] * 10, [0.9, 0.1], [0.8, 0.05, 0.05, 0.1]])
def test_chance_displaces_no_oftener_than_it_says(shares: list[float]) -> None:
    """100,000 draws at α = 10⁻³ give 100 alarms; six standard deviations above are 160."""
    generator = np.random.default_rng(1)
    reference = generator.multinomial(10_000, shares, size=100_000)
    counts = generator.multinomial(2000, shares, size=100_000)
    assert (displacement(reference, counts) < 1e-3).sum() <= 160


def test_where_the_normal_law_cannot_be_trusted_nothing_is_said() -> None:
    few = np.array([[9_999, 1]])
    assert displacement(few, np.array([[240, 10]])).tolist() == [1.0]
    assert displacement(few, np.array([[0, 0]])).tolist() == [1.0]


@pytest.mark.slow
def test_one_cell_far_above_its_share_by_chance_no_oftener_than_told() -> None:
    generator = np.random.default_rng(0)
    shares = np.full(64, 1 / 64)
    chances = np.array(
        [
            peak(generator.multinomial(10_000, shares), generator.multinomial(1000, shares))
            for _ in range(4000)
        ]
    )
    for alpha in (0.1, 0.02):
        assert (chances < alpha).sum() <= 4000 * alpha + 5 * np.sqrt(4000 * alpha)
    assert (chances < 0.1).any()  # it can tell
    more = np.full(64, 15)
    more[7] += 40
    assert peak(np.full(64, 160), more) < 1e-6
    assert peak(np.zeros(64, np.int64), np.zeros(64, np.int64)) == 1.0
