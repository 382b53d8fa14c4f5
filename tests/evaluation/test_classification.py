from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Task
from raymm.evaluation.metrics import metric_for, suitable


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


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_binary_metrics_equal_scikit_learn(seed: int, levels: int) -> None:
    from sklearn import metrics as sk

    truth, prediction = example("binary", seed, rows=25, levels=levels)
    if len(np.unique(truth)) < 2:
        return
    score, called = prediction[:, 1], prediction.argmax(axis=1)
    expected = {
        "roc_auc": sk.roc_auc_score(truth, score),
        "average_precision": sk.average_precision_score(truth, score),
        "accuracy": sk.accuracy_score(truth, called),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
        "f1": sk.f1_score(truth, called, zero_division=0),
        "precision": sk.precision_score(truth, called, zero_division=0),
        "recall": sk.recall_score(truth, called, zero_division=0),
        "mcc": sk.matthews_corrcoef(truth, called),
        "log_loss": sk.log_loss(truth, prediction),
        "brier": sk.brier_score_loss(truth, score),
    }
    assert set(expected) == set(suitable("binary"))
    for name, value in expected.items():
        assert metric_for(name, "binary")(truth, prediction) == pytest.approx(value, abs=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_multiclass_metrics_equal_scikit_learn(seed: int) -> None:
    from sklearn import metrics as sk

    truth, prediction = example("multiclass", seed)
    called = prediction.argmax(axis=1)
    expected = {
        "roc_auc": sk.roc_auc_score(truth, prediction, multi_class="ovr"),
        "average_precision": sk.average_precision_score(np.eye(4)[truth], prediction),
        "accuracy": sk.accuracy_score(truth, called),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, called),
        "f1": sk.f1_score(truth, called, average="macro"),
        "precision": sk.precision_score(truth, called, average="macro", zero_division=0),
        "recall": sk.recall_score(truth, called, average="macro"),
        "mcc": sk.matthews_corrcoef(truth, called),
        "log_loss": sk.log_loss(truth, prediction),
        "brier": np.square(prediction - np.eye(4)[truth]).sum(axis=1).mean(),
    }
    assert set(expected) == set(suitable("multiclass"))
    for name, value in expected.items():
        score = metric_for(name, "multiclass")(truth, prediction)
        assert score == pytest.approx(value, abs=1e-9), name


def test_log_loss_of_a_certain_mistake_is_finite_in_float32_and_as_scikit_learn_has_it() -> None:
    from sklearn.metrics import log_loss

    truth = np.array([0, 1])
    prediction = np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    assert metric_for("log_loss", "binary")(truth, prediction) == pytest.approx(
        log_loss(truth, prediction), rel=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_auc_is_turned_round_by_a_turned_score_and_blind_to_its_scale(seed: int) -> None:
    truth, prediction = example("binary", seed, rows=30)
    auc = metric_for("roc_auc", "binary")
    score = auc(truth, prediction)
    if np.isnan(score):
        return
    assert auc(truth, prediction[:, ::-1]) == pytest.approx(1 - score)
    assert auc(truth, prediction**3) == pytest.approx(score)
