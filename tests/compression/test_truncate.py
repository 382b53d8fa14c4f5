from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle.pipeline import fit
from raymm.bundle.run import Runner
from raymm.compression import truncate
from raymm.compression.compressor import Rows
from raymm.compression.truncate import Truncate, kept_rounds
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

NOTHING = Rows(tensors={}, y=np.empty(0), metric=metric_for("rmse", "regression"))
"""Truncation looks at no rows."""
TASKS = ["binary", "multiclass", "regression"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("task", TASKS)
def test_a_cut_model_predicts_as_one_trained_for_fewer_rounds(dataset, trained, task, family):
    data = dataset(task)
    bundle, pipeline = trained(data, family, rounds=40)
    cut = Truncate().apply(bundle, {"keep": 0.25}, NOTHING)
    config = {"family": family, "lightgbm.min_child_samples": 5}
    short = fit(data, data.train, config, rounds=10, seed=0, threads=1)
    tensors = data.rows(data.test)
    # Ten float32 leaves a row; values near 50 have a step of 4e-6.
    assert np.allclose(Runner(cut).predict(tensors), short.predict(tensors), atol=2e-5)
    assert len(cut.to_bytes()) < 0.6 * len(bundle.to_bytes())
    assert np.allclose(Runner(bundle).predict(tensors), pipeline.predict(tensors), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_cut_forest_averages_the_trees_it_keeps(dataset, trained, task):
    data = dataset(task)
    bundle, pipeline = trained(data, "forest")
    tensors = data.rows(data.test)
    grown = pipeline.model.forest.estimators_[:50]
    x = pipeline.features.transform(tensors)
    if task == "regression":
        mean = np.mean([tree.predict(x) for tree in grown], axis=0)
        expected = pipeline.model.head.predict(mean[:, None])
    else:
        expected = np.mean([tree.predict_proba(x) for tree in grown], axis=0)
    out = Runner(Truncate().apply(bundle, {"keep": 0.25}, NOTHING)).predict(tensors)
    # 50 float32 shares sum with a relative error of some 6e-8 each; values are near 50.
    assert np.allclose(out, expected, atol=2e-4 if task == "regression" else 5e-6)


def test_recipes_fall_and_differ_and_none_is_the_whole(dataset, trained):
    bundle, _ = trained(dataset("binary"), rounds=40)
    shares = [float(recipe["keep"]) for recipe in Truncate().recipes(bundle, NOTHING)]
    assert shares == sorted(shares, reverse=True)
    kept = [kept_rounds(40, share) for share in shares]
    assert len(set(kept)) == len(kept) <= 8
    assert max(kept) < 40


def test_large_graphs_are_packed_fewer_times(dataset, trained, monkeypatch):
    bundle, _ = trained(dataset("binary"), rounds=40)
    usual = Truncate().recipes(bundle, NOTHING)
    monkeypatch.setattr(truncate, "LARGE_GRAPH", len(bundle.graph) - 1)
    assert 0 < len(Truncate().recipes(bundle, NOTHING)) < len(usual)


@pytest.mark.parametrize(("family", "rounds"), [("linear", 1), ("lightgbm", 1)])
def test_nothing_to_cut_gives_no_recipes(dataset, trained, family, rounds):
    bundle, _ = trained(dataset("binary"), family, rounds)
    assert Truncate().recipes(bundle, NOTHING) == ()


@pytest.mark.parametrize(
    ("family", "keep"), [("linear", 0.5), ("lightgbm", 0.0), ("lightgbm", 1.5)]
)
def test_what_cannot_be_cut_is_refused(dataset, trained, family, keep):
    bundle, _ = trained(dataset("binary"), family, 3)
    with pytest.raises(BundleError, match="truncate needs"):
        Truncate().apply(bundle, {"keep": keep}, NOTHING)


@given(st.integers(1, 3000), st.floats(0.001, 1.0))
def test_some_rounds_are_always_kept(rounds, share):
    assert 1 <= kept_rounds(rounds, share) <= rounds
    assert abs(kept_rounds(rounds, share) - rounds * share) <= 1
