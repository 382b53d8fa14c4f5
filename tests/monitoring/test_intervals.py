from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raymm.monitoring.intervals import area_interval, interval_of, mean_interval, share_interval
from raymm.plugins import metrics


def test_a_share_has_the_published_interval() -> None:
    # Newcombe 1998, table I: 81 of 263 by Wilson's method.
    low, high = share_interval(81, 263, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert share_interval(0, 10, 0.95)[0] == 0
    assert share_interval(10, 10, 0.95)[1] == pytest.approx(1)


def sample(generator: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    truth = generator.random(rows) < 0.3
    return truth, generator.normal(size=rows) + truth


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 400 intervals at 0.95, 380 cover; 26 below lies six standard deviations away."""
    generator = np.random.default_rng(0)
    area = 0.7602499  # Φ(1 / √2), that of two normal laws one deviation apart
    covered = {"area": 0, "mean": 0}
    for _ in range(400):
        truth, score = sample(generator, 300)
        low, high = area_interval(truth, score, 0.95)
        covered["area"] += low <= area <= high
        low, high = mean_interval(score, 0.95)
        covered["mean"] += low <= 0.3 <= high
    assert min(covered.values()) >= 354


def test_the_middle_of_the_area_is_scikit_learns() -> None:
    truth, score = sample(np.random.default_rng(1), 200)
    score = np.round(score, 1)  # ties
    low, high = area_interval(truth, score, 0.9)
    assert (low + high) / 2 == pytest.approx(roc_auc_score(truth, score), abs=1e-12)


@pytest.mark.parametrize("name", metrics.names())
def test_every_metric_has_an_interval_around_its_value(name: str) -> None:
    metric = metrics.get(name)()
    generator = np.random.default_rng(2)
    if "binary" in metric.tasks:
        truth, score = sample(generator, 300)
        likely = 1 / (1 + np.exp(-score))
        truth, rows = truth.astype(np.int64), np.column_stack([1 - likely, likely])
    else:
        truth = generator.exponential(size=300) + 0.1
        rows = truth + 0.1 * generator.random(300)
    low, high = interval_of(metric, truth, rows, 0.95)
    assert low < metric(truth, rows) < high


def test_rows_that_all_say_the_same_leave_as_much_open_as_they_are_few() -> None:
    for each, low in ((3, 0.2924), (300, 0.9878)):
        truth = np.repeat([False, True], each)
        score = np.where(truth, 0.9, 0.1)
        assert area_interval(truth, score, 0.95) == pytest.approx((low, 1.0), abs=1e-4)
        assert area_interval(truth, 1 - score, 0.95) == pytest.approx((0.0, 1 - low), abs=1e-4)


def test_too_few_rows_have_none() -> None:
    auc = metrics.get("roc_auc")()
    assert np.isnan(interval_of(auc, np.array([1]), np.array([[0.5, 0.5]]), 0.95)).all()
    assert np.isnan(area_interval(np.array([True, True]), np.array([0.1, 0.2]), 0.95)).all()
