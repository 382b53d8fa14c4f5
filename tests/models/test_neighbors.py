from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from raymm.artifacts import Shape
from raymm.models import distance, neighbors
from raymm.models.family import Fitting, Matrix

FAMILY = neighbors.Neighbors()
TASKS = ["binary", "multiclass", "regression"]
METRICS = ["euclidean", "cosine"]
WEIGHTS = ["uniform", "distance"]


def config(**changes):
    return {"k": 7, "weights": "distance", "metric": "euclidean", "relevance": 0.0, **changes}


def near(far):
    """Weigh as the family does, from distances in increasing order, the last the k-th."""
    return 1 / np.sqrt(far**2 + far[:, -1:] ** 2 * neighbors.NEAR**2)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("task", TASKS)
def test_neighbours_are_those_of_scikit_learn(matrix, fitting, task, metric, weights):
    train, fresh = matrix(task, missing=0.0), matrix(task, missing=0.0, seed=1).x[:100]
    how = fitting(task)
    model = FAMILY.fit(config(metric=metric, weights=weights), train, how)
    kind = KNeighborsRegressor if task == "regression" else KNeighborsClassifier
    theirs = kind(7, weights=near if weights == "distance" else "uniform")
    placed = [
        x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
        for x in (train.x.astype(np.float64), fresh.astype(np.float64))
    ]
    theirs.fit(placed[0], train.y)
    out = FAMILY.predict(model, fresh)
    # Rows of length 1 are float32, and a billionth of the largest distance is added to each.
    if task == "regression":
        assert np.allclose(out, theirs.predict(placed[1]), rtol=0, atol=1e-4 * 250)
        return
    shares = np.bincount(train.y, minlength=how.classes) / len(train.y)
    mixed = 7 * theirs.predict_proba(placed[1]) + neighbors.PRIOR * shares
    assert np.allclose(out, mixed / (7 + neighbors.PRIOR), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("task", TASKS)
def test_graph_equals_prediction(matrix, fitting, graph, run, task, metric, weights):
    train = matrix(task, missing=0.0)
    fresh = matrix(task, missing=0.0, seed=1).x[:100]
    # A row of training has a distance of 0, rows on a grid are equally near to many, and the
    # origin has no direction.
    grid = np.round(fresh)
    x = np.concatenate([fresh, train.x, grid, 30 * fresh, np.zeros((1, 5), np.float32)])
    for k in (1, 7, 400):
        given = config(k=k, weights=weights, metric=metric, relevance=0.5)
        model = FAMILY.fit(given, train, fitting(task))
        out = FAMILY.predict(model, x)
        # A value near 10,000 is rounded to 5e-4.
        atol = 1e-3 if task == "regression" else 1e-6
        assert np.allclose(
            run(graph(FAMILY, model, 5), x).reshape(out.shape), out, rtol=0, atol=atol
        )


@pytest.mark.parametrize("weights", WEIGHTS)
def test_ties_all_count_so_the_order_of_rows_does_not_matter(fitting, graph, run, weights):
    random = np.random.default_rng(0)
    x = random.integers(0, 3, (200, 3)).astype(np.float32)
    y = random.integers(0, 4, 200)
    train = Matrix(x=x, y=y, names=("a", "b", "c"))
    turned = replace(train, x=x[::-1].copy(), y=y[::-1].copy())
    how = fitting("multiclass")
    models = [FAMILY.fit(config(weights=weights), rows, how) for rows in (train, turned)]
    one, other = (FAMILY.predict(model, x) for model in models)
    assert np.allclose(one, other, rtol=0, atol=1e-12)
    for model in models:
        assert np.allclose(run(graph(FAMILY, model, 3), x), one, rtol=0, atol=1e-6)


def test_rows_equally_far_but_for_rounding_all_count(fitting, graph, run):
    random = np.random.default_rng(0)
    spread = 10.0 ** random.uniform(-4, 1, (40, 3))
    corners = (random.normal(size=(40, 3)) * spread).astype(np.float32)
    # From a point with equal coordinates all turns of a corner are equally far, though sums of
    # their squares in another order differ in the last digit.
    x = np.concatenate([corners[:, list(turn)] for turn in itertools.permutations(range(3))])
    y = random.normal(size=len(x))
    train = Matrix(x=x, y=y, names=("a", "b", "c"))
    given = config(k=1, weights="uniform")
    model = FAMILY.fit(given, train, fitting("regression"))
    fresh = np.repeat(np.linspace(-1, 1, 30, dtype=np.float32)[:, None], 3, axis=1)
    nearest = ((fresh[:, None].astype(np.float64) - corners) ** 2).sum(axis=2).argmin(axis=1)
    expected = y.reshape(6, 40).mean(axis=0)[nearest]
    assert np.allclose(FAMILY.predict(model, fresh), expected, rtol=0, atol=1e-6)
    shown = run(graph(FAMILY, model, 3), fresh)[:, 0]
    assert np.allclose(shown, expected, rtol=0, atol=1e-6)


def test_relevance_lets_idle_features_count_for_less(fitting):
    random = np.random.default_rng(0)
    x = random.normal(size=(600, 20)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    train = Matrix(x=x[:400], y=y[:400], names=tuple(f"f{i}" for i in range(20)))
    right = []
    for relevance in (0.0, 1.0):
        model = FAMILY.fit(config(relevance=relevance), train, fitting("binary"))
        right.append(np.mean(FAMILY.predict(model, x[400:]).argmax(axis=1) == y[400:]))
    # One standard deviation of a share of 200 rows is 0.035 at most.
    assert right[1] > right[0] + 0.1


def test_a_large_table_keeps_a_sample_that_the_seed_decides(matrix, fitting, graph, monkeypatch):
    monkeypatch.setattr(distance, "POINTS", 50)
    train = matrix("binary", missing=0.0)
    made = [FAMILY.fit(config(), train, fitting("binary", seed=seed)) for seed in (3, 3, 4)]
    first, second, other = (graph(FAMILY, model, 5) for model in made)
    assert made[0].points.shape == (50, 5)
    assert first == second != other


def test_predicting_in_parts_changes_nothing(matrix, fitting, monkeypatch):
    train = matrix("multiclass", missing=0.0)
    model = FAMILY.fit(config(), train, fitting("multiclass"))
    whole = FAMILY.predict(model, train.x)
    monkeypatch.setattr(distance, "CELLS", 7 * len(train.x))
    # The library for products may sum in another order.
    assert np.allclose(FAMILY.predict(model, train.x), whole, rtol=0, atol=1e-9)
    assert FAMILY.predict(model, train.x[:0]).shape == (0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_odd_tables_are_fitted(graph, run, task):
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    how = Fitting(task=task, classes=classes, seed=0)
    for rows in (1, 2, 30):
        for width in (0, 1):
            x = np.zeros((rows, 2), np.float32)
            x[:, :width] = np.arange(rows)[:, None]
            y = np.resize([0, 1], rows)
            model = FAMILY.fit({}, Matrix(x=x, y=y, names=("a", "b")), how)
            out = FAMILY.predict(model, x)
            assert np.isfinite(out).all()
            shown = run(graph(FAMILY, model, 2), x).reshape(out.shape)
            assert np.allclose(shown, out, rtol=0, atol=1e-6)
            assert task == "regression" or np.allclose(out[:, :2].sum(axis=1), 1)


def test_a_model_comes_back_from_its_bytes(matrix, fitting):
    train = matrix("multiclass", missing=0.0)
    model = FAMILY.fit({}, train, fitting("multiclass"))
    back = pickle.loads(pickle.dumps(FAMILY.state(model)))
    back = FAMILY.resume(back, {}, train, fitting("multiclass"))
    assert np.array_equal(FAMILY.predict(back, train.x), FAMILY.predict(model, train.x))


def test_it_is_left_out_of_large_tables():
    small = Shape(rows=neighbors.LARGEST, features=neighbors.MOST_FEATURES, classes=2)
    assert FAMILY.suits("binary", small)
    assert not FAMILY.suits("binary", replace(small, rows=small.rows + 1))
    assert not FAMILY.suits("binary", replace(small, features=small.features + 1))
    crowded = replace(small, classes=neighbors.MOST_CLASSES)
    assert FAMILY.suits("multiclass", crowded)
    assert not FAMILY.suits("multiclass", replace(crowded, classes=crowded.classes + 1))


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for given in FAMILY.portfolio(task, shape):
                assert in_space(given, FAMILY.space(task, shape))
