from __future__ import annotations

import numpy as np
import pytest

from raymm.models import xgboost
from raymm.models.family import Fitting, Matrix

FAMILY = xgboost.XGBoost()
CONFIG = FAMILY.portfolio("binary", xgboost.Shape(rows=20_000, features=5, classes=2))[0]
TASKS = ["binary", "multiclass", "regression"]


def around(ensemble, width, missing=True):
    """Rows made of thresholds, their float32 neighbours, NaN and the ends of float32."""
    values = [np.array([0, 1e-36, -1e-36, 3e38, -3e38] + [np.nan] * missing, np.float32)]
    for way in (-np.inf, 0, np.inf):
        inner = ensemble.threshold[ensemble.feature >= 0]
        finite = inner[np.isfinite(inner)]
        values.append(finite if way == 0 else np.nextafter(finite, np.float32(way)))
    return np.random.default_rng(1).choice(np.concatenate(values), (2000, width)).astype("f4")


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", TASKS)
def test_every_branch_is_taken_as_the_library_takes_it(matrix, fitting, graph, run, task, missing):
    train = matrix(task, missing=missing)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    ensemble = xgboost.ensemble(model)
    assert ensemble.rounds == 12
    x = around(ensemble, 5)
    # 12 trees of values near 0.1 in float32: 12 * 6e-8 and a wrong branch is over 1e-3.
    ours, scale = FAMILY.predict(model, x), 250.0 if task == "regression" else 1.0
    theirs = run(graph(FAMILY, model, 5), x)
    assert np.allclose(model.head.predict(ensemble.margins(x)), ours, atol=5e-6 * scale)
    # The graph's values near 10,000 are float32: relative 6e-8 is 6e-4.
    shown = theirs[:, 0] if task == "regression" else theirs
    assert np.allclose(shown, ours, atol=5e-6 * scale + (1e-3 if task == "regression" else 0))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_extending_is_fitting_longer_and_the_seed_decides_the_bytes(matrix, fitting, graph, task):
    train = matrix(task)
    whole = graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12)), 5)
    assert whole == graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12)), 5)
    short = FAMILY.fit(CONFIG, train, fitting(task, 5))
    FAMILY.predict(short, train.x[:50])
    assert graph(FAMILY, FAMILY.extend(short, 12), 5) == whole
    assert graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, 12, seed=4)), 5) != whole


@pytest.mark.parametrize("task", TASKS)
def test_contributions_of_the_first_rounds_sum_to_their_margin(matrix, fitting, task):
    train = matrix(task)
    model = FAMILY.fit(CONFIG, train, fitting(task, 12))
    for rounds in (None, 4):
        shares = FAMILY.contributions(model, train.x[:40], rounds)
        shape = (40, 4, 6) if task == "multiclass" else (40, 6)
        assert shares.shape == shape
        raw = xgboost.ensemble(model).first(rounds or 12).margins(train.x[:40])
        if task == "regression":
            raw = raw * model.head.deviation + model.head.mean
        assert np.allclose(shares.sum(axis=-1).reshape(raw.shape), raw, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_it_learns_and_its_probabilities_sum_to_one(matrix, fitting, task):
    train, fresh = matrix(task, rows=1500), matrix(task, rows=1500, seed=1)
    out = FAMILY.predict(FAMILY.fit(CONFIG, train, fitting(task, 60)), fresh.x)
    if task == "regression":
        assert np.mean((out - fresh.y) ** 2) < 0.5 * np.var(fresh.y)
        return
    assert np.allclose(out.sum(axis=1), 1)
    common = np.bincount(fresh.y).max() / len(fresh.y)
    assert np.mean(out.argmax(axis=1) == fresh.y) > common + 0.15


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
                assert 300 <= FAMILY.max_rounds(config) <= 3000


@pytest.mark.parametrize("task", TASKS)
def test_odd_tables_are_fitted(graph, run, task):
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    how = Fitting(task=task, classes=classes, seed=0, rounds=3)
    for y in (np.zeros(30, int), np.repeat([0, 1], 15)):
        x = np.full((30, 2), np.nan, np.float32)
        x[:, 0] = np.arange(30)
        x[0, 0] = np.inf
        model = FAMILY.fit(CONFIG, Matrix(x=x, y=y, names=("a", "b")), how)
        out = FAMILY.predict(model, x)
        assert np.isfinite(out).all()
        assert np.allclose(run(graph(FAMILY, model, 2), x).squeeze(), out, atol=1e-5)
