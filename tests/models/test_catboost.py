from __future__ import annotations

import gc
import sys
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from raymm.artifacts import Shape
from raymm.errors import MissingExtra
from raymm.models import catboost
from raymm.models.family import Fitting, Matrix
from raymm.testing import families as laws

FAMILY = catboost.CatBoost()
TASKS = ["binary", "multiclass", "regression"]
SHAPE = Shape(rows=400, features=5, classes=4)
CONFIG = {
    "learning_rate": 0.08,
    "depth": 4,
    "l2_leaf_reg": 3.0,
    "subsample": 0.8,
    "rsm": 0.8,
    "random_strength": 1.0,
    "leaf_estimation_iterations": 2,
}


@pytest.fixture
def library():
    return pytest.importorskip("catboost", reason="the extra catboost is not installed")


@pytest.fixture
def without(monkeypatch):
    """Take the package away, whether it is installed or not."""
    monkeypatch.setattr(catboost, "installed", lambda: False)
    monkeypatch.setitem(sys.modules, "catboost", None)


def test_without_its_package_it_is_not_tried_unasked(without):
    assert not FAMILY.suits("binary", SHAPE)


@pytest.mark.parametrize("task", TASKS)
def test_asked_for_without_its_package_it_names_the_extra(without, matrix, fitting, task):
    for ask in (
        lambda: FAMILY.space(task, SHAPE),
        lambda: FAMILY.fit(CONFIG, matrix(task), fitting(task)),
    ):
        with pytest.raises(MissingExtra, match=r"catboost is not installed.*raymm\[catboost\]"):
            ask()


def test_it_is_tried_on_tables_up_to_a_size(library):
    assert FAMILY.suits("binary", replace(SHAPE, rows=catboost.LARGEST))
    assert not FAMILY.suits("binary", replace(SHAPE, rows=catboost.LARGEST + 1))


@pytest.mark.parametrize(
    "law",
    [
        laws.check_graph,
        laws.check_seed,
        laws.check_more,
        laws.check_state,
        laws.check_absent,
        laws.check_learning,
    ],
    ids=lambda law: law.__name__,
)
@pytest.mark.parametrize("task", TASKS)
def test_it_keeps_the_laws_of_families(library, law, task):
    law(FAMILY, task)


@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_those_of_the_library(library, matrix, fitting, task):
    train = matrix(task)
    model = FAMILY.fit(CONFIG, train, fitting(task, 30))
    assert model.booster.tree_count_ == 2 * catboost.BLOCK
    kind = "RawFormulaVal" if task == "regression" else "Probability"
    for share, kept in ((1.0, 30), (0.5, 15)):
        theirs = model.booster.predict(train.x, prediction_type=kind, ntree_end=kept)
        if task == "regression":
            theirs = theirs * train.y.std() + train.y.mean()
        assert np.allclose(FAMILY.predict(model, train.x, share), theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.15])
@pytest.mark.parametrize("task", TASKS)
def test_every_branch_is_taken_as_the_library_takes_it(
    library, matrix, fitting, graph, run, task, missing
):
    model = FAMILY.fit(CONFIG, matrix(task, missing=missing), fitting(task))
    ensemble = catboost.ensemble(model)
    assert ensemble.rounds == 12
    inner = ensemble.threshold[ensemble.feature >= 0]
    # Where values were missing, the least float32 parts NaN from numbers.
    inner = inner[inner > -3e38]
    near = [np.nextafter(inner, np.float32(way)) for way in (-np.inf, np.inf)]
    ends = np.array([np.nan, 0, 3e38, -3e38, np.inf, -np.inf], np.float32)
    x = np.random.default_rng(1).choice(np.concatenate([inner, *near, ends]), (2000, 5))
    # 12 trees of values near 0.1 in float32: 12 * 6e-8 and a wrong branch is over 1e-3.
    ours, scale = FAMILY.predict(model, x), 250.0 if task == "regression" else 1.0
    assert np.allclose(model.head.predict(ensemble.margins(x)), ours, rtol=0, atol=5e-6 * scale)
    # The graph's values near 10,000 are float32: relative 6e-8 is 6e-4.
    shown = run(graph(FAMILY, model, 5), x).reshape(ours.shape)
    assert np.allclose(shown, ours, rtol=0, atol=max(5e-6 * scale, 6e-4 * (scale > 1)))


def test_going_on_from_the_last_prediction_gives_a_fresh_one(library, matrix, fitting):
    train = matrix("multiclass")
    model = FAMILY.fit(CONFIG, train, fitting("multiclass", 10))
    for rounds in (20, 45, 60):
        FAMILY.extend(model, rounds)
        carried = FAMILY.predict(model, train.x)
        assert np.allclose(carried, FAMILY.predict(model, train.x.copy()), rtol=0, atol=1e-12)


def test_binned_rows_do_not_hold_the_table(library, matrix, fitting):
    train = matrix("binary")
    model, held = FAMILY.fit(CONFIG, train, fitting("binary")), weakref.ref(train.x)
    del train
    gc.collect()
    assert held() is None
    assert FAMILY.extend(model, 30).booster.tree_count_ == 50


@pytest.mark.parametrize("column", [[1.0, 1.0], [np.nan, np.nan], [1.0, np.nan], [0.0, 1.0]])
@pytest.mark.parametrize("rows", [1, 2, 3, 30])
@pytest.mark.parametrize("task", TASKS)
def test_odd_tables_are_fitted(library, graph, run, task, rows, column):
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[task]
    x = np.tile(np.resize(np.array(column, np.float32), rows)[:, None], (1, 2))
    y = np.resize([0, 1, 1], rows)
    train = Matrix(x=x, y=y, names=("a", "b"))
    model = FAMILY.fit(CONFIG, train, Fitting(task=task, classes=classes, seed=0, rounds=3))
    out = FAMILY.predict(model, x)
    assert np.allclose(run(graph(FAMILY, model, 2), x).reshape(out.shape), out, rtol=0, atol=1e-6)
    if column[0] == column[1] or np.isnan(column).all():
        # Nothing tells rows apart: the mean, or the classes' shares.
        expected = y.mean() if task == "regression" else np.bincount(y, minlength=classes) / rows
        assert np.allclose(out, expected, rtol=0, atol=1e-12)


def test_portfolio_lies_in_the_space_of_every_size(library, shapes, in_space):
    for task in TASKS:
        for shape in shapes:
            for config in FAMILY.portfolio(task, shape):
                assert in_space(config, FAMILY.space(task, shape))
                assert 300 <= FAMILY.max_rounds(config) <= 2000


@pytest.mark.parametrize("first", [25, 0])
def test_what_can_grow_no_further_ends(monkeypatch, matrix, fitting, first):
    calls = []

    class Stuck:
        """Grows ``first`` trees and no more, as where a leaf's value is not finite."""

        tree_count_ = first

        def __init__(self, parameters):
            assert len(calls) < 3, "it would go on for ever"
            calls.append(parameters)

        def fit(self, rows, init_model):
            assert rows is not None

    rows = SimpleNamespace(num_row=lambda: 400)
    monkeypatch.setattr(catboost, "_library", lambda: SimpleNamespace(CatBoost=Stuck))
    monkeypatch.setattr(catboost, "_rows", lambda train, how, head: rows)
    if first:
        assert FAMILY.fit(CONFIG, matrix("binary"), fitting("binary", 60)).rounds == first
    else:
        with pytest.raises(ValueError, match="l2_leaf_reg higher"):
            FAMILY.fit(CONFIG, matrix("binary"), fitting("binary", 60))
