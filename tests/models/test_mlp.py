from __future__ import annotations

import pickle

import numpy as np
import pytest

from raymm.artifacts import Shape
from raymm.models import mlp
from raymm.models.family import Fitting, Matrix
from raymm.search import space as spaces

FAMILY = mlp.Mlp()
TASKS = ["binary", "multiclass", "regression"]
CONFIG = {
    "layers": 2,
    "width_1": 24,
    "width_2": 12,
    "activation": "relu",
    "solver": "adam",
    "adam_rate": 1e-2,
    "batch_size": 64,
    "alpha": 1e-3,
}
DEEP = {
    "layers": 4,
    "width_1": 12,
    "width_2": 10,
    "width_3": 9,
    "width_4": 8,
    "solver": "sgd",
    "sgd_rate": 0.05,
    "momentum": 0.9,
    "batch_size": 32,
    "alpha": 1e-4,
}


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
@pytest.mark.parametrize("task", TASKS)
def test_graph_equals_prediction(matrix, fitting, graph, run, task, activation):
    train = matrix(task, missing=0.0, rows=200)
    for config in (CONFIG, DEEP):
        model = FAMILY.fit({**config, "activation": activation}, train, fitting(task, 3))
        x = np.concatenate([train.x, 30 * train.x[:20]])
        shown = run(graph(FAMILY, model, 5), x).squeeze()
        # Sums of at most 24 float32 products of size 10, then values near 10,000 times 250.
        scale = 250.0 if task == "regression" else 1.0
        assert np.allclose(shown, FAMILY.predict(model, x), atol=1e-5 * scale, rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_one_round_is_scikit_learns_own_and_later_ones_are_averaged(matrix, fitting, task):
    train, how = matrix(task, missing=0.0), fitting(task, 1)
    model = FAMILY.fit(CONFIG, train, how)
    theirs = model.perceptron
    if task == "regression":
        expected = model.head.predict(theirs.predict(train.x)[:, None])
    else:
        expected = theirs.predict_proba(train.x)
    # float32 sums against float32 sums, in a target's unit of 250
    assert np.allclose(FAMILY.predict(model, train.x), expected, atol=1e-5, rtol=1e-5)
    first = model.perceptron.coefs_[0].copy()
    later = FAMILY.extend(model, 2)
    kept = min(mlp.MEMORY, 1 / 11)
    mixed = kept * first + (1 - kept) * later.perceptron.coefs_[0]
    assert np.allclose(later.mean[0][0], mixed, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("rows_a_round", [2000, 90])
@pytest.mark.parametrize("task", TASKS)
def test_extending_is_fitting_longer_and_the_seed_decides_the_bytes(
    matrix, fitting, graph, monkeypatch, task, rows_a_round
):
    monkeypatch.setattr(mlp, "ROWS_A_ROUND", rows_a_round)
    train = matrix(task, missing=0.0)
    for config in (CONFIG, DEEP):
        whole = graph(FAMILY, FAMILY.fit(config, train, fitting(task, 6)), 5)
        short = FAMILY.fit(config, train, fitting(task, 2))
        FAMILY.predict(short, train.x[:50])
        stored = pickle.loads(pickle.dumps(FAMILY.state(short)))
        assert stored.train is None
        again = FAMILY.resume(stored, config, train, fitting(task, 6, seed=8))
        assert graph(FAMILY, FAMILY.extend(again, 6), 5) == whole
        assert graph(FAMILY, FAMILY.extend(short, 6), 5) == whole
        assert graph(FAMILY, FAMILY.fit(config, train, fitting(task, 6, seed=4)), 5) != whole


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_it_learns_and_its_probabilities_sum_to_one(matrix, fitting, task):
    train = matrix(task, rows=1500, missing=0.0)
    fresh = matrix(task, rows=1500, seed=1, missing=0.0)
    out = FAMILY.predict(FAMILY.fit(CONFIG, train, fitting(task, 40)), fresh.x)
    if task == "regression":
        # Noise makes up 0.25 of a variance near 3.5: a fit of the signal leaves some 0.07.
        assert np.mean((out - fresh.y) ** 2) < 0.15 * np.var(fresh.y)
        return
    assert np.allclose(out.sum(axis=1), 1)
    common = np.bincount(fresh.y).max() / len(fresh.y)
    assert np.mean(out.argmax(axis=1) == fresh.y) > common + 0.15


def test_a_round_is_bounded_and_rounds_cover_a_large_table(monkeypatch):
    monkeypatch.setattr(mlp, "ROWS_A_ROUND", 100)
    taken = [mlp._rows(1000, number, 7) for number in range(20)]
    assert all(len(rows) == 100 for rows in taken)
    for start in (0, 10):
        assert sorted(np.concatenate(taken[start : start + 10]).tolist()) == list(range(1000))
    assert not np.array_equal(taken[0], taken[10])
    assert np.array_equal(np.arange(99)[mlp._rows(99, 3, 7)], np.arange(99))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_odd_tables_are_fitted(graph, run, task):
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    how = Fitting(task=task, classes=classes, seed=0, rounds=3)
    for rows in (1, 30):
        for y in (np.zeros(rows, int), np.resize([0, 1], rows)):
            x = np.zeros((rows, 2), np.float32)
            x[:, 0] = np.arange(rows)
            model = FAMILY.fit({}, Matrix(x=x, y=y, names=("a", "b")), how)
            out = FAMILY.predict(model, x)
            assert np.isfinite(out).all()
            assert np.allclose(run(graph(FAMILY, model, 2), x).reshape(out.shape), out, atol=1e-5)


def test_weights_that_grow_beyond_all_bounds_are_an_error(matrix, fitting):
    wild = {**DEEP, "activation": "relu", "sgd_rate": 1e6}
    with pytest.raises(ValueError, match="non-finite"):
        FAMILY.fit(wild, matrix("regression", missing=0.0), fitting("regression", 5))


def test_the_space_is_conditional_and_holds_the_portfolio(shapes):
    for task in TASKS:
        for shape in shapes:
            space = FAMILY.space(task, shape)
            spaces.check(space)
            for config in FAMILY.portfolio(task, shape):
                assert spaces.contains(space, config)
                assert FAMILY.max_rounds(config) == mlp.ROUNDS


def test_only_the_widths_of_layers_that_exist_are_active():
    space = FAMILY.space("binary", Shape(rows=5000, features=9, classes=2))
    for seed in range(50):
        config = spaces.sample(space, np.random.default_rng(seed))
        widths = [name for name in config if name.startswith("width_")]
        assert widths == [f"width_{layer}" for layer in range(1, config["layers"] + 1)]
        assert ("sgd_rate" in config) == ("momentum" in config) == (config["solver"] == "sgd")
        assert ("adam_rate" in config) == (config["solver"] == "adam")
