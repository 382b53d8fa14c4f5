from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from raymm.models import linear
from raymm.models.family import Fitting, Matrix

FAMILY = linear.Linear()
TASKS = ["binary", "multiclass", "regression"]


@pytest.mark.parametrize("task", TASKS)
def test_graph_equals_prediction(matrix, fitting, graph, run, task):
    train = matrix(task, missing=0.0)
    config = FAMILY.portfolio(task, linear.Shape(rows=400, features=5, classes=4))[0]
    model = FAMILY.fit(config, train, fitting(task))
    out = FAMILY.predict(model, train.x)
    shown = run(graph(FAMILY, model, 5), train.x).squeeze()
    # Five float32 products of size 1, then values near 10,000 (relative 6e-8 is 6e-4).
    assert np.allclose(shown, out, atol=5e-6, rtol=2e-7)
    again = FAMILY.fit(config, train, fitting(task))
    assert graph(FAMILY, again, 5) == graph(FAMILY, model, 5)


@pytest.mark.slow
@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_coefficients_minimise_the_penalised_log_loss(matrix, fitting, monkeypatch, task, newton):
    if not newton:
        monkeypatch.setattr(linear, "NEWTON_LIMIT", 0)
    train = matrix(task, missing=0.0, rows=300)
    how = fitting(task)
    model = FAMILY.fit({"C": 0.5}, train, how)
    x = train.x.astype(np.float64)

    def objective(flat):
        outputs = how.classes if task == "multiclass" else 1
        w, b = flat[: 5 * outputs].reshape(5, outputs), flat[5 * outputs :]
        raw = x @ w + b
        raw = raw if outputs > 1 else np.hstack([np.zeros_like(raw), raw])
        loss = logsumexp(raw, axis=1) - raw[np.arange(300), train.y]
        return 0.5 * loss.sum() + 0.5 * np.sum(w**2)

    ours = np.concatenate([model.coefficients.ravel(), model.intercept]).astype(np.float64)
    best = minimize(objective, np.zeros_like(ours)).fun
    # The minimum is flat: a gradient within scikit-learn's 1e-4 leaves far less than 1e-3.
    assert objective(ours) <= best + 1e-3


def test_ridge_equals_the_normal_equations(matrix, fitting):
    train = matrix("regression", missing=0.0)
    model = FAMILY.fit({"alpha": 3.0}, train, fitting("regression"))
    x = train.x - train.x.mean(axis=0, dtype=np.float64)
    y = train.y - train.y.mean()
    w = np.linalg.solve(x.T @ x + 3.0 * np.eye(5), x.T @ y)
    assert np.allclose(model.coefficients[:, 0] * model.head.deviation, w, rtol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_contributions_sum_to_the_raw_output_and_vanish_at_the_mean(matrix, fitting, task):
    train = matrix(task, missing=0.0)
    model = FAMILY.fit({}, train, fitting(task))
    shares = FAMILY.contributions(model, train.x)
    raw = train.x @ model.coefficients + model.intercept
    if task == "regression":
        raw = raw * model.head.deviation + model.head.mean
    assert np.allclose(shares.sum(axis=-1).reshape(raw.shape), raw, rtol=1e-5, atol=1e-4)
    assert np.allclose(shares[..., :-1].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("present", [[0], [1], [0, 1], [1, 0]])
def test_classes_without_rows_have_next_to_no_probability(task, present):
    classes = 2 if task == "binary" else 4
    y = np.resize(np.array(present), 40)
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    how = Fitting(task=task, classes=classes, seed=0)
    out = FAMILY.predict(FAMILY.fit({}, Matrix(x=x, y=y, names=("a", "b", "c")), how), x)
    assert out.shape == (40, classes)
    assert np.allclose(out[:, sorted(set(present))].sum(axis=1), 1, atol=1e-9)


def test_sparse_tables_give_the_dense_result(monkeypatch, fitting):
    random = np.random.default_rng(0)
    x = (random.random((300, 600)) < 0.02).astype(np.float32)
    y = (x[:, :20].sum(axis=1) > 0).astype(np.int64)
    train = Matrix(x=x, y=y, names=tuple(f"w{i}" for i in range(600)))
    sparse = FAMILY.predict(FAMILY.fit({}, train, fitting("binary")), x)
    monkeypatch.setattr(linear, "SPARSE_BELOW", 0.0)
    dense = FAMILY.predict(FAMILY.fit({}, train, fitting("binary")), x)
    # Both stop at a gradient of 1e-4 per coefficient of a strongly convex objective.
    assert np.allclose(sparse, dense, atol=1e-3)


def test_portfolio_lies_in_the_space(shapes, in_space):
    for task in TASKS:
        for config in FAMILY.portfolio(task, shapes[0]):
            assert in_space(config, FAMILY.space(task, shapes[0]))
