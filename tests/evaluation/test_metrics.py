from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Task
from raymm.bootstrap import draws, repeated
from raymm.errors import ConfigError
from raymm.evaluation.metrics import (
    Metric,
    baseline_prediction,
    default_metric,
    metric_for,
    suitable,
)

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
ALL = [(task, name) for task in TASKS for name in suitable(task)]


def example(
    task: Task, seed: int, rows: int = 60, levels: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions on a coarse grid, so that ties abound."""
    generator = np.random.default_rng(seed)
    if task == "regression":
        truth = generator.integers(1, levels, rows).astype(np.float64)
        return truth, truth + generator.normal(size=rows)
    classes = 2 if task == "binary" else 4
    truth = generator.integers(0, classes, rows)
    raw = generator.integers(1, levels, (rows, classes)) + 2.0 * np.eye(classes)[truth]
    return truth, raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("task", "name"), ALL)
def test_resamples_score_as_their_rows_do(task: Task, name: str) -> None:
    metric = metric_for(name, task)
    truth, prediction = example(task, 1)
    (weights,) = draws(len(truth), count=20, generator=np.random.default_rng(2))
    fast = metric.weighted(truth, prediction, weights)
    slow = repeated(metric, truth, prediction, weights)
    # Sums of 60 float64 terms in another order differ by rounding alone.
    np.testing.assert_allclose(fast, slow, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("task", "name"), ALL)
def test_no_constant_prediction_beats_the_trivial_one_and_perfection_beats_it(
    task: Task, name: str
) -> None:
    metric = metric_for(name, task)
    truth, _ = example(task, 3)
    classes = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    trivial = baseline_prediction(truth, classes, len(truth), metric=metric)
    sign = 1 if metric.direction == "maximize" else -1
    if classes:
        perfect = np.eye(classes)[truth]
        rivals = [*np.eye(classes), *np.random.default_rng(0).dirichlet(np.ones(classes), 30)]
    else:
        perfect = truth
        rivals = list(np.linspace(truth.min(), truth.max(), 41))
    best = metric(truth, trivial)
    assert sign * metric(truth, perfect) > sign * best
    for rival in rivals:
        constant = np.broadcast_to(rival, trivial.shape).copy()
        if name == "recall" or (name in ("f1", "precision") and task == "multiclass"):
            continue  # always calling a class has recall 1; means over classes have no simple best
        assert sign * best >= sign * metric(truth, constant) - 1e-9


def test_ranks_of_a_single_class_are_not_defined() -> None:
    truth, prediction = np.ones(5, dtype=np.int64), np.tile([0.3, 0.7], (5, 1))
    assert np.isnan(metric_for("roc_auc", "binary")(truth, prediction))
    assert np.isnan(metric_for("average_precision", "binary")(truth * 0, prediction))
    assert np.isnan(metric_for("r2", "regression")(np.ones(5), np.ones(5)))
    assert np.isnan(metric_for("mape", "regression")(np.zeros(5), np.ones(5)))


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("rmse", "binary", ["rmse", "roc_auc"]),
        ("roc_auc", "regression", ["roc_auc", "rmse"]),
        ("roc_au", "binary", ["roc_auc"]),
    ],
)
def test_an_unsuited_metric_is_refused_with_those_that_suit(
    name: str, task: Task, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        metric_for(name, task)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("task", TASKS)
def test_auto_is_the_default_metric(task: Task) -> None:
    metric = metric_for("auto", task)
    assert isinstance(metric, Metric)
    assert metric.name == default_metric(task)


def test_non_finite_predictions_are_refused_or_not_a_number() -> None:
    truth, prediction = example("binary", 0)
    prediction[3] = np.nan
    for name in suitable("binary"):
        metric = metric_for(name, "binary")
        try:
            score = metric(truth, prediction)
        except ValueError:
            continue
        assert np.isnan(score), name
