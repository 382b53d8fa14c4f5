from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raymm.evaluation import compressed as module
from raymm.evaluation.compressed import Pair, compressed, foretold
from raymm.evaluation.metrics import metric_for
from raymm.features.groups import Group

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}


def told(task: str, rows: int = 2000, seed: int = 0) -> tuple[Any, Any]:
    """Return truth and true probabilities, or values with noise."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        values = generator.normal(50, 10, rows)
        return values + generator.normal(0, 3, rows), values
    raw = generator.normal(0, 2, (rows, 2 if task == "binary" else 4))
    share = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    drawn = (share.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    return np.minimum(drawn, share.shape[1] - 1), share


def check(task: str, truth: Any, made: Any, full: Any, **how: Any) -> Any:
    metric = metric_for(how.pop("metric", METRICS[task]), task)
    how = {"max_loss": 0.0005, **how}
    return compressed(Pair(truth=truth, made=made, full=full), task=task, metric=metric, **how)


def halves(rows: int, count: int = 20) -> list[Group]:
    places = np.arange(rows)
    return [Group(column="f", value=str(k), mask=places % count == k) for k in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_what_differs_by_chance_passes(task: str) -> None:
    for seed in range(12):
        truth, full = told(task, 500, seed)
        noise = np.random.default_rng([seed, 1]).normal(0, 0.01, full.shape)
        made = full + noise * (10 if task == "regression" else full * (1 - full))
        if task != "regression":
            made = made / made.sum(axis=1, keepdims=True)
        found = check(task, truth, made, full, slices=halves(500), max_loss=0.005)
        assert found.passed, found.statement
        assert check(task, truth, full, full, slices=halves(500), max_loss=0.0).passed


@pytest.mark.parametrize("task", METRICS)
def test_a_refusal_is_foretold_before_it_is_sure(task: str) -> None:
    truth, full = told(task, 300)
    metric = metric_for(METRICS[task], task)
    if task == "regression":
        worse = Pair(truth=truth, made=full + 100, full=full)
        assert foretold(worse, task=task, metric=metric, max_loss=0.005) == ""
        return
    score = metric_for("log_loss", task)
    short = 1 - metric(truth, full)
    more = max(module.OTHERS, min(module.MOST, 0.005 / short if short else 1))
    seen = set()
    for share in np.linspace(0, 0.5, 11):
        made = (1 - share) * full + share / full.shape[1]
        pair = Pair(truth=truth, made=made, full=full)
        why = foretold(pair, task=task, metric=metric, max_loss=0.005)
        grown = score(truth, made) - score(truth, full)
        limit = module.FORETOLD * max(more * score(truth, full), module.NATS)
        assert why.startswith("the log_loss grows") == (grown > limit)
        # What is refused was foretold.
        assert why or check(task, truth, made, full, max_loss=0.005).passed
        seen.add(bool(why))
    assert seen == {True, False}


def test_probabilities_that_shrink_to_the_frequencies_are_refused() -> None:
    truth, full = told("binary")
    made = 0.5 + (full - 0.5) / 10
    found = check("binary", truth, made, full)
    assert not found.passed
    assert "log_loss grows from" in found.statement
    # The order of the rows, and so the goal's metric, is the same.
    assert found.statement.startswith("roc_auc loses 0 by compression")


@pytest.mark.parametrize(("max_loss", "passes"), [(0.0005, False), (0.2, True)])
def test_log_loss_may_grow_as_much_as_the_errors_may(max_loss: float, passes: bool) -> None:
    truth = np.repeat([0, 1], 2000)
    sure = np.where(np.random.default_rng(0).random(4000) < 0.05, 0.3, 0.98)
    full = np.stack([np.where(truth == 0, sure, 1 - sure), np.where(truth == 1, sure, 1 - sure)], 1)
    # Less sure of the rows that it has right: log loss grows by a fifth, no order of classes moves.
    made = np.where(full > 0.9, 0.965, np.where(full < 0.1, 0.035, full))
    pair = Pair(truth=truth, made=made, full=full)
    score = metric_for("log_loss", "binary")
    assert 0.15 < score(truth, made) / score(truth, full) - 1 < 0.25
    accuracy = metric_for("accuracy", "binary")
    found = compressed(pair, task="binary", metric=accuracy, max_loss=max_loss)
    assert found.passed == passes


def test_a_calibration_error_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, full = told("binary")
    made = 0.5 + (full - 0.5) * 0.8
    monkeypatch.setattr(module, "NATS", 1.0)
    found = check("binary", truth, made, full)
    assert not found.passed
    assert "calibration_error grows" in found.statement


@pytest.mark.slow
def test_a_slice_that_is_given_up_is_refused() -> None:
    truth, full = told("binary")
    slices = halves(len(truth))
    made = full.copy()
    made[slices[3].mask] = full[slices[3].mask][:, ::-1]
    found = check("binary", truth, made, full, slices=slices, max_loss=0.2)
    assert not found.passed
    assert "where f = 3 (100 rows)" in found.statement
    assert check("binary", truth, made, full, max_loss=0.2).passed


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_a_loss_counts_where_it_surely_is_beyond_what_is_allowed(task: str) -> None:
    truth, full = told(task)
    flat = np.broadcast_to(full.mean(axis=0), full.shape)
    made = 0.5 * full + 0.5 * np.random.default_rng(5).permutation(full)
    assert not check(task, truth, made, full).passed
    assert not check(task, truth, flat, full).passed
    few = slice(0, 12)
    assert check(task, truth[few], full[few] + 1e-9, full[few]).passed


def test_metrics_of_labels_see_what_is_answered() -> None:
    truth, full = told("binary")
    moved = full / [1.0, 8.0]
    moved /= moved.sum(axis=1, keepdims=True)
    pair = Pair(truth=truth, made=full, full=moved, decision=(1.0, 8.0))
    metric = metric_for("accuracy", "binary")
    loss, score = pair.scores(metric)
    assert score == metric(truth, full)
    assert loss == pytest.approx(score - metric(truth, full * [1.0, 8.0]))


def test_answers_that_are_not_finite_are_refused() -> None:
    truth, full = told("binary", 50)
    broken = full.copy()
    broken[3] = np.nan
    assert not check("binary", truth, broken, full).passed
    assert check("binary", truth, full, broken).passed


def test_the_same_seed_gives_the_same_statement() -> None:
    truth, full = told("binary")
    made = 0.9 * full + 0.05
    assert check("binary", truth, made, full) == check("binary", truth, made, full)
