from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize("seed", range(8))
def test_regression_metrics_equal_scikit_learn(seed: int) -> None:
    from sklearn import metrics as sk

    truth, prediction = example("regression", seed)
    expected = {
        "rmse": sk.root_mean_squared_error(truth, prediction),
        "mae": sk.mean_absolute_error(truth, prediction),
        "mape": sk.mean_absolute_percentage_error(truth, prediction),
        "rmsle": sk.root_mean_squared_log_error(truth, np.maximum(prediction, 0)),
        "r2": sk.r2_score(truth, prediction),
    }
    assert set(expected) == set(suitable("regression"))
    for name, value in expected.items():
        score = metric_for(name, "regression")(truth, prediction)
        assert score == pytest.approx(value, rel=1e-9), name
