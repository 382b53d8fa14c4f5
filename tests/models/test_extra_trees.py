from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from raymm.models import extra_trees, forest

FAMILY = extra_trees.ExtraTrees()
TASKS = ["binary", "multiclass", "regression"]
CONFIG = {"max_features": 0.6, "min_samples_leaf": 2, "bootstrap": False}


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(forest, "TREES", (20, 10))


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", TASKS)
def test_trees_are_those_of_scikit_learn_and_the_graph_has_them(
    matrix, fitting, graph, run, task, missing
):
    train = matrix(task, missing=missing)
    fresh = matrix(task, missing=missing, rows=1500, seed=1).x
    kind = ExtraTreesRegressor if task == "regression" else ExtraTreesClassifier
    theirs = kind(20, max_features=0.6, min_samples_leaf=2, max_leaf_nodes=5000, random_state=3)
    target = train.y
    if task == "regression":
        target = (train.y - train.y.mean()) / train.y.std()
    theirs.fit(train.x.copy(), target)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    out = FAMILY.predict(model, fresh)
    shown = run(graph(FAMILY, model, 5), fresh).reshape(out.shape)
    if task == "regression":
        expected = theirs.predict(fresh) * train.y.std() + train.y.mean()
        assert np.allclose(out, expected, rtol=1e-12)
        # Values near 10,000 are float32 in the graph, and so are 20 leaves' shares of 250 units.
        assert np.allclose(shown, out, rtol=0, atol=1e-3)
    else:
        assert np.allclose(out, theirs.predict_proba(fresh), rtol=0, atol=1e-12)
        assert np.allclose(shown, out, rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_trees_are_grown_on_all_rows_unless_told_otherwise(matrix, fitting, monkeypatch, task):
    def distinct(config):
        grown = FAMILY.fit(config, matrix(task), fitting(task)).forest.estimators_
        return [int(tree.tree_.n_node_samples[0]) for tree in grown]

    assert distinct({**CONFIG, "bootstrap": False}) == [400] * 20
    # 400 draws of 400 hit 1 - 1/e of them: 253, with a standard deviation of 6.
    assert all(210 < rows < 290 for rows in distinct({**CONFIG, "bootstrap": True}))
    monkeypatch.setattr(forest, "ROWS_A_TREE", 100)
    assert all(rows <= 100 for rows in distinct({**CONFIG, "bootstrap": False}))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_seed_decides_the_bytes_on_any_number_of_threads(matrix, fitting, graph, task):
    train = matrix(task, rows=150)
    first, second, other = (
        graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, **how)), 5)
        for how in ({"threads": 1}, {"threads": 2}, {"seed": 9})
    )
    assert first == second != other


def test_a_model_comes_back_from_its_bytes(matrix, fitting):
    train = matrix("multiclass")
    model = FAMILY.fit(CONFIG, train, fitting("multiclass"))
    back = pickle.loads(pickle.dumps(FAMILY.state(model)))
    assert np.array_equal(FAMILY.predict(back, train.x), FAMILY.predict(model, train.x))


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
