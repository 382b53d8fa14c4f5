from __future__ import annotations

import numpy as np
import pytest

from raymm.models import forest
from raymm.models.family import Fitting, Matrix

FAMILY = forest.Forest()
TASKS = ["binary", "multiclass", "regression"]
KINDS = ["random", "extra"]


@pytest.fixture(autouse=True)
def _few_rows(monkeypatch):
    monkeypatch.setattr(forest, "TREES", (20, 10))


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", TASKS)
def test_every_branch_is_taken_as_scikit_learn_takes_it(
    matrix, fitting, graph, run, task, kind, missing
):
    train = matrix(task, missing=missing, rows=200)
    model = FAMILY.fit({"kind": kind, "min_samples_leaf": 1}, train, fitting(task))
    ensemble = forest.ensemble(model)
    inner = ensemble.threshold[ensemble.feature >= 0]
    near = [np.nextafter(inner, np.float32(s)) for s in (-np.inf, np.inf)]
    values = np.concatenate([inner, *near, [np.nan, 0, 3e38, -3e38, np.inf]])
    x = np.random.default_rng(1).choice(values, (1500, 5)).astype(np.float32)
    out = FAMILY.predict(model, x)
    shown = run(graph(FAMILY, model, 5), x).squeeze()
    # Shares of one tree weigh 1/20: a wrong branch shows; sums of 20 in float32 err by 1e-6,
    # values near 10,000 by a relative 6e-8 (6e-4).
    assert np.allclose(shown, out, atol=2e-6 * (1000 if task == "regression" else 1))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_seed_decides_the_bytes_on_any_number_of_threads(matrix, fitting, graph, task):
    train = matrix(task, rows=150)
    first, second, other = (
        graph(FAMILY, FAMILY.fit({}, train, fitting(task, **how)), 5)
        for how in ({"threads": 1}, {"threads": 2}, {"seed": 9})
    )
    assert first == second != other


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_without_rows_have_no_probability(graph, run, task):
    classes = 2 if task == "binary" else 4
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for y in (np.full(40, 1), np.resize([0, classes - 1], 40)):
        how = Fitting(task=task, classes=classes, seed=0)
        model = FAMILY.fit({}, Matrix(x=x, y=y, names=("a", "b", "c")), how)
        out = FAMILY.predict(model, x)
        assert np.allclose(out[:, np.unique(y)].sum(axis=1), 1)
        assert np.allclose(run(graph(FAMILY, model, 3), x), out, atol=2e-6)


def test_leaves_stay_within_their_limit(matrix, fitting, monkeypatch):
    monkeypatch.setattr(forest, "LEAVES", 100)
    model = FAMILY.fit({"min_samples_leaf": 1}, matrix("regression"), fitting("regression"))
    assert (forest.ensemble(model).feature < 0).sum() <= 100


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
