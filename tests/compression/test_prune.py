from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from raymm.bundle.parity import adversarial
from raymm.bundle.run import Runner
from raymm.compression import lessons, prune
from raymm.compression.compressor import Rows
from raymm.compression.grove import cells
from raymm.compression.prune import Prune
from raymm.compression.truncate import Truncate
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for
from raymm.models.trees import OPERATOR, TreeEnsemble

METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}


def rows_of(data):
    metric = metric_for(METRICS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


def ensembles(bundle):
    model = onnx.ModelProto.FromString(bundle.graph)
    return [TreeEnsemble.from_node(n) for n in model.graph.node if n.op_type == OPERATOR]


def nodes(bundle):
    return sum(len(trees.feature) for trees in ensembles(bundle))


@pytest.mark.slow
@pytest.mark.parametrize(("family", "least"), [("lightgbm", 0.9), ("xgboost", 1.1), ("forest", 2)])
@pytest.mark.parametrize("task", METRICS)
def test_few_nodes_answer_nearly_as_all_do(dataset, trained, task, family, least):
    data = dataset(task)
    bundle, _ = trained(data, family, rounds=40)
    rows = rows_of(data)
    tensors, truth = data.rows(data.test), data.y[data.test]
    pruned = Prune().apply(bundle, {"size": 0.3}, rows)
    assert nodes(pruned) <= 0.3 * nodes(bundle)
    cut = Truncate().apply(bundle, {"keep": 0.3}, rows)
    whole, few, first = (Runner(one).predict(tensors) for one in (bundle, pruned, cut))
    # The first trees of a forest are its best: any sample of them is a forest.
    assert np.std(few - whole) < least * np.std(first - whole)
    assert rows.metric(truth, few) == pytest.approx(rows.metric(truth, whole), rel=0.1)


@pytest.mark.slow
def test_a_chain_gives_the_same_bytes_as_each_size_alone(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data)
    rows = rows_of(data)
    together = Prune()
    sizes = [recipe["size"] for recipe in together.recipes(bundle, rows)]
    assert sizes[-4:] == sorted(sizes[-4:], reverse=True) == list(prune.SIZES)
    forms = {size: together.apply(bundle, {"size": size}, rows).graph for size in sizes}
    for size in sizes:
        assert Prune().apply(bundle, {"size": size}, rows).graph == forms[size]
    assert Prune().apply(bundle, {"size": 0.2}, rows).graph not in forms.values()


def test_another_bundle_is_not_taken_for_the_last_one(dataset, trained):
    data = dataset("binary")
    rows = rows_of(data)
    one, other = trained(data, rounds=20)[0], trained(data, rounds=30)[0]
    technique = Prune()
    technique.apply(one, {"size": 0.3}, rows)
    again = technique.apply(other, {"size": 0.3}, rows)
    assert again.graph == Prune().apply(other, {"size": 0.3}, rows).graph
    fewer = replace(rows, tensors=data.rows(data.train[:50]), y=rows.y[:50])
    least = technique.apply(other, {"size": 0.3}, fewer)
    assert least.graph == Prune().apply(other, {"size": 0.3}, fewer).graph != again.graph


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_the_graph_adds_the_pruned_leaves_as_the_reference_does(dataset, trained, task):
    data = dataset(task)
    bundle, pipeline = trained(data)
    pruned = Prune().apply(bundle, {"size": 0.15}, rows_of(data))
    generator = np.random.default_rng(0)
    hard = adversarial(data.rows(data.train), data.schema, generator=generator, count=300)
    (trees,) = ensembles(pruned)
    expected = pipeline.model.head.predict(trees.margins(pipeline.features.transform(hard)))
    # Float32 sums of some ten leaves; values are near 50.
    assert np.allclose(Runner(pruned).predict(hard), expected, atol=5e-5, rtol=1e-6)


@pytest.mark.slow
def test_size_one_answers_alike_and_is_offered_where_something_goes(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data, "forest")
    rows = rows_of(data)
    simple = Prune().apply(bundle, {"size": 1.0}, rows)
    offered = {"size": 1.0} in Prune().recipes(bundle, rows)
    assert offered == (nodes(simple) < nodes(bundle))
    tensors = data.rows(data.test)
    # Float32 sums of 200 leaf values, added in another order.
    assert np.allclose(Runner(simple).predict(tensors), Runner(bundle).predict(tensors), atol=1e-6)
    assert {"size": 1.0} not in Prune().recipes(simple, rows)


def test_a_mix_of_regressors_is_pruned_as_one_ensemble(mix):
    bundle, data = mix()
    rows = rows_of(data)
    pruned = Prune().apply(bundle, {"size": 0.3}, rows)
    (trees,) = ensembles(pruned)
    assert len(trees.feature) <= 0.3 * nodes(bundle)
    tensors, truth = data.rows(data.test), data.y[data.test]
    whole, few = (rows.metric(truth, Runner(one).predict(tensors)) for one in (bundle, pruned))
    assert few == pytest.approx(whole, rel=0.05)
    # What rows truly are plays a part, as the sum beside the trees is known.
    other = replace(rows, y=np.roll(rows.y, 1))
    assert Prune().apply(bundle, {"size": 0.3}, other).graph != pruned.graph


def test_sizes_between_two_end_where_they_are_close():
    between = Prune().between
    assert between({"size": 0.3}, {"size": 0.075}) == {"size": 0.15}
    assert between(None, {"size": 0.25}) == {"size": 0.5}
    assert between({"size": 0.3}, {"size": 0.25}) is None


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("family", ["lightgbm", "forest"])
def test_what_rows_truly_are_plays_a_part_where_one_ensemble_answers_alone(
    dataset, trained, task, family, monkeypatch
):
    data = dataset(task)
    bundle, _ = trained(data, family)
    rows = rows_of(data)
    other = replace(rows, y=np.roll(rows.y, 1))
    pruned = [Prune().apply(bundle, {"size": 0.3}, one).graph for one in (rows, other)]
    alone = task == "regression" or family == "lightgbm"
    assert (pruned[0] != pruned[1]) == alone
    # Where a column's features may know the target, no row's truth is looked at.
    monkeypatch.setattr(lessons, "TRUE_KINDS", frozenset({"boolean"}))
    pruned = [Prune().apply(bundle, {"size": 0.3}, one).graph for one in (rows, other)]
    assert pruned[0] == pruned[1]


@pytest.mark.slow
def test_large_ensembles_are_tried_in_fewer_sizes_or_not_at_all(dataset, trained, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data)
    rows = rows_of(data)
    monkeypatch.setattr(prune, "LARGE", 10)
    assert [r["size"] for r in Prune().recipes(bundle, rows)][-4:] == list(prune.LARGE_SIZES)
    forest, _ = trained(dataset("multiclass"), "forest")
    assert [r for r in Prune().recipes(forest, rows) if r["size"] < 1]
    monkeypatch.setattr(prune, "WIDEST", 2)
    assert not [r for r in Prune().recipes(forest, rows) if r["size"] < 1]
    monkeypatch.setattr(lessons, "CELLS", 100)
    assert not [r for r in Prune().recipes(bundle, rows) if r["size"] < 1]
    monkeypatch.setattr(prune, "LARGEST", 10)
    assert Prune().recipes(bundle, rows) == ()


def test_of_a_mix_boosters_are_pruned_and_forests_of_many_values_lose_trees(mix, monkeypatch):
    monkeypatch.setattr(prune, "WIDEST", 2)
    bundle, data = mix("multiclass", ("lightgbm", "forest"), (0.75, 0.25))
    rows = rows_of(data)
    booster, forest = ensembles(bundle)
    monkeypatch.setattr(prune, "LARGEST", cells(booster))
    assert {"size": 0.3} in Prune().recipes(bundle, rows)
    few, rest = ensembles(Prune().apply(bundle, {"size": 0.3}, rows))
    assert len(few.feature) <= 0.3 * len(booster.feature)
    assert rest.averaged
    assert rest.rounds == round(0.3 * forest.rounds)
    np.testing.assert_array_equal(rest.threshold, forest.threshold[: len(rest.threshold)])
    simple = Prune().apply(bundle, {"size": 1.0}, rows)
    assert ensembles(simple)[1].rounds == forest.rounds
    metric, truth = rows.metric, data.y[data.test]
    pruned = Prune().apply(bundle, {"size": 0.3}, rows)
    whole, made = (Runner(one).predict(data.rows(data.test)) for one in (bundle, pruned))
    assert metric(truth, made) == pytest.approx(metric(truth, whole), rel=0.1)


def test_a_forest_that_is_too_large_loses_trees_however_few_its_values(mix, monkeypatch):
    bundle, data = mix("binary", ("lightgbm", "forest"), (0.75, 0.25))
    booster, forest = ensembles(bundle)
    assert cells(booster) < cells(forest)
    monkeypatch.setattr(prune, "LARGEST", cells(booster))
    few, rest = ensembles(Prune().apply(bundle, {"size": 0.3}, rows_of(data)))
    assert len(few.feature) <= 0.3 * len(booster.feature)
    assert rest.rounds == round(0.3 * forest.rounds)


@pytest.mark.parametrize("task", METRICS)
def test_trees_that_could_not_be_split_are_one_leaf_each_and_become_one(dataset, trained, task):
    data = replace(dataset(task), train=np.arange(12))
    bundle, _ = trained(data, rounds=20)
    rows = rows_of(data)
    sizes = [recipe["size"] for recipe in Prune().recipes(bundle, rows)]
    assert set(sizes) <= {1.0}
    tensors = data.rows(data.test)
    for size in (1.0, 0.3):
        form = Prune().apply(bundle, {"size": size}, rows)
        assert nodes(form) <= nodes(bundle)
        apart = Runner(form).predict(tensors) - Runner(bundle).predict(tensors)
        assert np.abs(apart).max() < (1e-4 if size == 1.0 else 20.0)


@pytest.mark.parametrize(("family", "size"), [("linear", 0.5), ("lightgbm", 0.0), ("lightgbm", 2)])
def test_what_cannot_be_pruned_is_refused(dataset, trained, family, size):
    data = dataset("binary")
    bundle, _ = trained(data, family, 3)
    with pytest.raises(BundleError, match="prune needs"):
        Prune().apply(bundle, {"size": size}, rows_of(data))
    if family == "linear":
        assert Prune().recipes(bundle, rows_of(data)) == ()
