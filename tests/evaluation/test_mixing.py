"""Greedy mixes: no worse than the best candidate, true weights found, and honest gains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.evaluation import mixing
from raymm.evaluation.metrics import metric_for


def noisy(seed: int, rows: int = 400, count: int = 4):
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=rows)
    return truth, [truth + generator.normal(size=rows) for _ in range(count)]


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 4), st.sampled_from(["rmse", "r2", "mae"]))
def test_a_mix_is_no_worse_than_the_best_candidate_and_keeps_the_limit(seed, most, name):
    metric = metric_for(name, "regression")
    truth, candidates = noisy(seed)
    weights = mixing.greedy(metric, truth, candidates, most=most)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert 1 <= np.count_nonzero(weights) <= most
    sign = 1 if metric.direction == "maximize" else -1
    best = max(sign * metric(truth, one) for one in candidates)
    assert sign * metric(truth, mixing.mean(candidates, weights)) >= best


def test_equal_and_independent_errors_get_like_weights():
    truth, candidates = noisy(0, rows=20_000, count=3)
    weights = mixing.greedy(metric_for("rmse", "regression"), truth, candidates, most=3)
    # The best weights are a third each; a weight is a multiple of 1 / DRAWS at the finest and the
    # loss is flat there.
    assert np.abs(weights - 1 / 3).max() < 0.1


def test_a_copy_of_the_best_candidate_adds_nothing():
    truth, candidates = noisy(1)
    twice = [candidates[0], candidates[0]]
    weights = mixing.greedy(metric_for("rmse", "regression"), truth, twice, most=2)
    assert weights.tolist() == [1.0, 0.0]


def test_a_metric_that_is_defined_for_none_leaves_the_first():
    one_class = np.zeros(5, int)
    even = np.full((5, 2), 0.5)
    weights = mixing.greedy(metric_for("roc_auc", "binary"), one_class, [even, even], most=2)
    assert weights.tolist() == [1.0, 0.0]


@pytest.mark.slow
def test_rows_do_not_choose_the_weights_they_are_judged_with():
    # Candidates of pure noise: a mix chosen and judged on the same rows seems to beat the best of
    # them, on other rows it cannot know anything.
    generator = np.random.default_rng(0)
    metric = metric_for("roc_auc", "binary")
    seen, crossed = [], []
    for _ in range(20):
        truth = generator.integers(0, 2, 200)
        candidates = []
        for _ in range(8):
            likely = generator.random(200)
            candidates.append(np.stack([1 - likely, likely], axis=1))
        weights = mixing.greedy(metric, truth, candidates, most=5)
        seen.append(metric(truth, mixing.mean(candidates, weights)))
        part = mixing.parts(200, 2, generator)
        made = mixing.crossed(metric, truth, candidates, most=5, part=part)
        crossed.append(metric(truth, made))
    # The standard error of an AUC of noise is sqrt(401 / (12 * 100 * 100)) = 0.058, that of the
    # mean of 20 is 0.013; four of them.
    assert abs(np.mean(crossed) - 0.5) < 0.052
    assert np.mean(seen) > 0.55


@given(st.integers(2, 50), st.integers(1, 6))
def test_parts_are_of_like_sizes(rows, count):
    part = mixing.parts(rows, count, np.random.default_rng(0))
    sizes = np.bincount(part, minlength=count)
    assert sizes.sum() == rows
    assert np.ptp(sizes) <= 1


def test_where_time_is_up_the_best_so_far_is_taken():
    metric = metric_for("rmse", "regression")
    truth, candidates = noisy(2)
    whole = mixing.greedy(metric, truth, candidates, most=4)

    def mixed(asked):
        ticks = iter(range(asked, -10_000, -1))
        return mixing.greedy(metric, truth, candidates, most=4, left=lambda: next(ticks))

    assert mixed(0).tolist() == mixed(3).tolist() == [1.0, 0.0, 0.0, 0.0]
    alone = mixed(4)  # one draw of four candidates
    assert np.count_nonzero(alone) == 1
    errors = [metric(truth, one) for one in candidates]
    assert int(np.argmax(alone)) == int(np.argmin(errors))
    np.testing.assert_array_equal(mixed(10_000), whole)
    part = mixing.parts(len(truth), 5, np.random.default_rng(0))
    made = mixing.crossed(metric, truth, candidates, most=4, part=part, left=lambda: 0.0)
    np.testing.assert_array_equal(made, candidates[0])
