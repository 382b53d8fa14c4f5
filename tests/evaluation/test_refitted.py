"""A bundle of all rows beside the one that was proven."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Score
from raymm.evaluation import refitted as module
from raymm.evaluation.compressed import Pair
from raymm.evaluation.metrics import metric_for
from raymm.features.groups import Group

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}


def truths(task: str, rows: int, seed: int) -> tuple[Any, Any, float]:
    """Return truth, true probabilities or values, and the noise that two fits differ by."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        values = generator.normal(50, 10, rows)
        return values + generator.normal(0, 3, rows), values, 0.5
    raw = generator.normal(0, 2, (rows, 2 if task == "binary" else 4))
    share = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    drawn = (share.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return np.minimum(drawn, share.shape[1] - 1), share, 0.02


def fits(task: str, seed: int) -> tuple[Pair, Pair]:
    """Return two fits of one recipe on test and on training rows."""
    pairs = []
    for part, rows in enumerate((600, 2400)):
        truth, best, noise = truths(task, rows, 2 * seed + part)
        generator = np.random.default_rng([seed, part, 7])
        made, full = (best + generator.normal(0, noise, best.shape) for _ in range(2))
        if task != "regression":
            made, full = (np.clip(one, 1e-6, 1) for one in (made, full))
            made, full = (one / one.sum(axis=1, keepdims=True) for one in (made, full))
        pairs.append(Pair(truth=truth, made=made, full=full))
    return pairs[0], pairs[1]


def check(task: str, tested: Pair, learnt: Pair, **how: Any) -> Any:
    metric = metric_for(METRICS[task], task)
    value = float(metric(tested.truth, tested.full))
    width = 0.03 * (abs(value) if task == "regression" else 1.0)
    score = Score(metric=metric.name, value=value, low=value - width, high=value + width)
    how = {"max_loss": 0.0005, "slices": (), **how}
    return module.refitted(
        tested, learnt, task=task, metric=metric, score=score, direction=metric.direction, **how
    )


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_two_fits_of_one_recipe_pass(task: str) -> None:
    for seed in range(6):
        found = check(task, *fits(task, seed))
        assert found.passed, found.statement
        assert found.name == "refit"


@pytest.mark.parametrize("task", METRICS)
def test_one_that_is_worse_on_rows_it_has_seen_is_refused(task: str) -> None:
    tested, learnt = fits(task, 0)
    shuffled = np.random.default_rng(0).permutation(tested.made)
    worse = Pair(truth=tested.truth, made=0.5 * (tested.made + shuffled), full=tested.full)
    found = check(task, worse, learnt)
    assert not found.passed
    assert "which it has seen" in found.statement


def test_what_ranks_alike_and_says_nothing_is_refused() -> None:
    tested, learnt = fits("binary", 0)
    dull = Pair(truth=tested.truth, made=0.5 + (tested.full - 0.5) / 10, full=tested.full)
    found = check("binary", dull, learnt)
    assert not found.passed
    assert "log_loss grows from" in found.statement


def test_one_bad_slice_is_refused() -> None:
    tested, learnt = fits("regression", 0)
    made = tested.made.copy()
    made[:60] += 5.0
    mask = np.arange(len(made)) < 60
    pair = Pair(truth=tested.truth, made=made, full=tested.full)
    score = Score(metric="rmse", value=3.0, low=2.0, high=9.0)
    metric = metric_for("rmse", "regression")
    found = module.refitted(
        pair,
        learnt,
        task="regression",
        metric=metric,
        score=score,
        direction=metric.direction,
        max_loss=0.35,
        slices=(Group(column="f", value="bad", mask=mask),),
    )
    assert not found.passed
    assert "f = bad" in found.statement


@pytest.mark.parametrize("task", METRICS)
def test_another_model_on_training_rows_is_refused(task: str) -> None:
    """It does as well on test rows, yet answers elsewhere what the proven one never would."""
    tested, learnt = fits(task, 1)
    strange = np.random.default_rng(1).permutation(learnt.made)
    found = check(task, tested, Pair(truth=learnt.truth, made=strange, full=learnt.full))
    assert not found.passed
    assert "their answers lie" in found.statement


def test_a_model_of_no_error_leaves_room_for_rounding() -> None:
    truth = np.arange(200.0)
    pair = Pair(truth=truth, made=truth + 0.1, full=truth)
    score = Score(metric="rmse", value=0.0, low=0.0, high=0.2)
    how = {"task": "regression", "metric": metric_for("rmse", "regression"), "score": score}
    same = Pair(truth=truth, made=truth, full=truth)
    assert module.refitted(same, pair, direction="minimize", max_loss=0.1, **how).passed
    far = Pair(truth=truth, made=truth + 1.0, full=truth)
    assert not module.refitted(same, far, direction="minimize", max_loss=0.1, **how).passed


@pytest.mark.parametrize("place", [0, 1])
def test_answers_that_are_not_finite_are_refused(place: int) -> None:
    pairs = list(fits("regression", 0))
    broken = pairs[place].made.copy()
    broken[3] = np.inf
    pairs[place] = Pair(truth=pairs[place].truth, made=broken, full=pairs[place].full)
    found = check("regression", *pairs)
    assert not found.passed
    assert "finite" in found.statement


def test_the_error_of_probabilities_is_the_root_of_the_brier_score() -> None:
    truth = np.array([0, 1, 1])
    told = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])
    brier = np.mean(2 * np.array([0.2, 0.4, 0.9]) ** 2)
    assert module.error(truth, told) == pytest.approx(brier**0.5)
