from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.svm import SVC, SVR

from raymm.artifacts import Shape
from raymm.models import distance, svm
from raymm.models.family import Fitting, Matrix

FAMILY = svm.Svm()
TASKS = ["binary", "multiclass", "regression"]
CONFIG = {"C": 5.0, "width": 0.7, "epsilon": 0.05}


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_margins_are_those_of_scikit_learn(matrix, fitting, task):
    train, fresh = matrix(task, missing=0.0), matrix(task, missing=0.0, seed=1)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    theirs = SVC(C=5.0, gamma=0.7 / 5, decision_function_shape="ovo")
    expected = theirs.fit(train.x.astype(np.float64), train.y).decision_function(fresh.x)
    if task == "binary":
        expected = -expected[:, None]
    # Dual coefficients, 5 at most, of some 400 vectors are float32.
    assert np.allclose(svm._margins(model.machine, fresh.x), expected, rtol=0, atol=1e-4)


def test_values_are_those_of_scikit_learn(matrix, fitting):
    train, fresh = matrix("regression", missing=0.0), matrix("regression", missing=0.0, seed=1)
    model = FAMILY.fit(CONFIG, train, fitting("regression"))
    mean, deviation = train.y.mean(), train.y.std()
    theirs = SVR(C=5.0, gamma=0.7 / 5, epsilon=0.05)
    theirs.fit(train.x.astype(np.float64), (train.y - mean) / deviation)
    expected = theirs.predict(fresh.x.astype(np.float64)) * deviation + mean
    assert np.allclose(FAMILY.predict(model, fresh.x), expected, rtol=0, atol=1e-4 * deviation)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_graph_equals_prediction(matrix, fitting, graph, run, task):
    train = matrix(task, missing=0.0)
    x = np.concatenate([train.x, matrix(task, missing=0.0, seed=1).x, 30 * train.x[:20]])
    for config in (CONFIG, *FAMILY.portfolio(task, Shape(rows=400, features=5, classes=4))):
        model = FAMILY.fit(config, train, fitting(task))
        out = FAMILY.predict(model, x)
        # A value near 10,000 is rounded to 5e-4.
        atol = 1e-3 if task == "regression" else 1e-6
        assert np.allclose(
            run(graph(FAMILY, model, 5), x).reshape(out.shape), out, rtol=0, atol=atol
        )


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_seed_decides_the_bytes_on_any_number_of_threads(matrix, fitting, graph, task):
    train = matrix(task, missing=0.0)
    first, second, other = (
        graph(FAMILY, FAMILY.fit(CONFIG, train, fitting(task, **how)), 5)
        for how in ({"threads": 1}, {"threads": 2}, {"seed": 9})
    )
    assert first == second
    # The solver draws nothing; the rows that the sigmoid is fitted on are drawn.
    assert (first == other) == (task == "regression")


def test_the_sigmoid_is_found_from_draws_of_it(matrix, fitting):
    random = np.random.default_rng(0)
    margins = random.normal(size=(4000, 1))
    truth = (random.random(4000) > 1 / (1 + np.exp(-(2.0 * margins[:, 0] - 0.5)))).astype(np.int64)
    model = FAMILY.fit(CONFIG, matrix("binary", missing=0.0), fitting("binary"))
    found = svm._calibrated(model, margins, truth)
    # By the Fisher information a standard error is 0.06 of the slope and 0.04 of the shift.
    assert abs(found.slope - 2.0) < 0.3
    assert abs(found.shift + 0.5) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("folds_below", [0, 3000])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_probabilities_are_calibrated_on_fresh_rows(
    matrix, fitting, monkeypatch, task, folds_below
):
    monkeypatch.setattr(svm, "FEW", folds_below)
    train, fresh = matrix(task, missing=0.0), matrix(task, rows=3000, missing=0.0, seed=1)
    # A machine this stiff separates its own rows, whose margins would say nothing of others.
    out = FAMILY.predict(FAMILY.fit({"C": 100.0, "width": 2.0}, train, fitting(task)), fresh.x)
    said, right = out.max(axis=1), out.argmax(axis=1) == fresh.y
    # 3,000 rows tell a share to 0.009, and the sigmoid is fitted on 80 rows at least: 0.045.
    assert abs(said.mean() - right.mean()) < 0.12
    assert np.allclose(out.sum(axis=1), 1)


def test_three_classes_are_coupled_by_the_sum_of_their_pairs():
    random = np.random.default_rng(0)
    odds = random.normal(size=(50, 3)) * 20
    expected = np.zeros((50, 3))
    for column, (first, second) in enumerate(itertools.combinations(range(3), 2)):
        expected[:, first] -= np.logaddexp(0, -odds[:, column])
        expected[:, second] -= np.logaddexp(0, odds[:, column])
    assert np.allclose(svm._summed(odds, 3), expected)


def test_classes_without_rows_are_the_least_probable_however_steep_the_others(graph, run):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).astype(np.float32)
    train = Matrix(x=x, y=np.resize(np.arange(6), 120), names=("a", "b", "c"))
    model = FAMILY.fit({}, train, Fitting(task="multiclass", classes=8, seed=0))
    for power in (1.0, 50.0):
        steep = replace(model, power=power)
        out = FAMILY.predict(steep, x)
        assert out[:, 6:].max() < 1e-10
        assert np.allclose(run(graph(FAMILY, steep, 3), x), out, rtol=0, atol=1e-6)


def test_a_class_with_one_row_is_never_held_out(fitting, graph, run):
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3)).astype(np.float32)
    y = np.resize([0, 1], 60)
    y[7], y[8:10] = 2, 3
    model = FAMILY.fit({}, Matrix(x=x, y=y, names=("a", "b", "c")), fitting("multiclass"))
    assert model.present.tolist() == [0, 1, 2, 3]
    out = FAMILY.predict(model, x)
    assert np.isfinite(out).all()
    assert np.allclose(run(graph(FAMILY, model, 3), x), out, rtol=0, atol=1e-6)


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


@pytest.mark.parametrize("task", TASKS)
def test_rows_and_steps_of_a_large_table_are_bounded(matrix, fitting, monkeypatch, task):
    monkeypatch.setattr(distance, "POINTS", 60)
    monkeypatch.setattr(svm, "STEPS", 6)
    asked = []
    for kind in (SVC, SVR):
        plain = kind.fit

        def fit(self, x, y, plain=plain):
            asked.append((len(x), self.max_iter))
            return plain(self, x, y)

        monkeypatch.setattr(kind, "fit", fit)
    train = matrix(task, missing=0.0)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    assert all(rows <= 60 and steps <= 6 for rows, steps in asked)
    assert len(asked) == (1 if task == "regression" else 1 + svm.FOLDS)
    assert len(model.machine.vectors) <= 60
    assert np.isfinite(FAMILY.predict(model, train.x)).all()


def test_predicting_in_parts_changes_nothing(matrix, fitting, monkeypatch):
    train = matrix("multiclass", missing=0.0)
    model = FAMILY.fit(CONFIG, train, fitting("multiclass"))
    whole = FAMILY.predict(model, train.x)
    monkeypatch.setattr(distance, "CELLS", 7 * len(model.machine.vectors))
    # The library for products may sum in another order.
    assert np.allclose(FAMILY.predict(model, train.x), whole, rtol=0, atol=1e-9)
    assert FAMILY.predict(model, train.x[:0]).shape == (0, 4)


def test_too_many_classes_are_refused(matrix):
    how = Fitting(task="multiclass", classes=svm.MOST_CLASSES + 1, seed=0)
    with pytest.raises(ValueError, match=r"50 classes at most.* 51.*search\.families"):
        FAMILY.fit(CONFIG, matrix("multiclass", missing=0.0), how)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_comes_back_from_its_bytes(matrix, fitting, task):
    train = matrix(task, missing=0.0)
    model = FAMILY.fit(CONFIG, train, fitting(task))
    back = pickle.loads(pickle.dumps(FAMILY.state(model)))
    back = FAMILY.resume(back, CONFIG, train, fitting(task))
    assert np.array_equal(FAMILY.predict(back, train.x), FAMILY.predict(model, train.x))


def test_it_is_left_out_of_large_tables():
    small = Shape(rows=svm.LARGEST, features=svm.MOST_FEATURES, classes=svm.MOST_CLASSES)
    assert FAMILY.suits("multiclass", small)
    for name in ("rows", "features", "classes"):
        assert not FAMILY.suits("multiclass", replace(small, **{name: getattr(small, name) + 1}))


def test_portfolio_lies_in_the_space_of_every_size(shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
