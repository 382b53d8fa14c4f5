"""Networks lose units, columns and weights, and predict almost as before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from raymm.bundle.run import Runner
from raymm.compression import finetuning, prune_network
from raymm.compression.compressor import Rows
from raymm.compression.network import networks
from raymm.compression.prune_network import PruneNetwork
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}


def rows_of(data):
    metric = metric_for(METRICS[data.schema.task], data.schema.task)
    return Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)


def widths(bundle):
    (found,) = networks(onnx.ModelProto.FromString(bundle.graph))
    return [layer.matrix.shape for layer in found.layers]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(finetuning, "MOST_STEPS", 400)


@pytest.fixture(scope="module")
def case(dataset, trained):
    def make(task):
        data = dataset(task, rows=1200)
        bundle, _ = trained(data, "mlp", rounds=60)
        return data, bundle, rows_of(data)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("task", METRICS)
def test_half_of_the_units_predict_almost_as_well(case, task):
    data, bundle, rows = case(task)
    small = PruneNetwork().apply(bundle, {"units": 0.5}, rows)
    (inputs, hidden), (_, outputs) = widths(bundle)
    assert widths(small) == [(inputs, hidden // 2), (hidden // 2, outputs)]
    tensors, y = data.rows(data.test), data.y[data.test]
    before, after = (rows.metric(y, Runner(one).predict(tensors)) for one in (bundle, small))
    # 600 test rows: a share of them has a standard deviation of at most 0.02.
    assert after > before - 0.04
    assert len(small.to_bytes()) < len(bundle.to_bytes())


@pytest.mark.slow
def test_the_same_rows_give_the_same_bytes(case):
    _, bundle, rows = case("binary")
    recipe = {"units": 0.12, "columns": 0.5}
    made = [PruneNetwork().apply(bundle, recipe, rows) for _ in range(2)]
    assert made[0].to_bytes() == made[1].to_bytes()
    assert made[0].to_bytes() != bundle.to_bytes()


@pytest.mark.slow
def test_features_that_are_not_read_are_not_made(case):
    data, bundle, rows = case("regression")
    small = PruneNetwork().apply(bundle, {"columns": 0.5}, rows)
    nodes = [len(onnx.ModelProto.FromString(one.graph).graph.node) for one in (bundle, small)]
    assert nodes[1] < nodes[0]
    assert np.isfinite(Runner(small).predict(data.rows(data.test))).all()


@pytest.mark.slow
def test_weights_become_zero(case):
    _, bundle, rows = case("multiclass")
    small = PruneNetwork().apply(bundle, {"weights": 0.2}, rows)
    (found,) = networks(onnx.ModelProto.FromString(small.graph))
    zeros = [np.mean(layer.matrix == 0) for layer in found.layers]
    assert np.allclose(zeros, 0.8, atol=0.02)


@pytest.mark.slow
def test_recipes_are_few_and_differ(case):
    _, bundle, rows = case("binary")
    recipes = PruneNetwork().recipes(bundle, rows)
    assert 3 <= len(recipes) <= 5
    assert len({repr(one) for one in recipes}) == len(recipes)
    assert not any("keep" in one for one in recipes)  # that is a share of trees


def test_a_network_that_is_a_small_part_of_a_mix_is_left_as_it_is(mix, monkeypatch):
    bundle, data = mix("binary", ("lightgbm", "mlp"), (0.5, 0.5), rounds=10)
    monkeypatch.setattr(prune_network, "BESIDE", 0.01)
    assert PruneNetwork().recipes(bundle, rows_of(data))
    monkeypatch.setattr(prune_network, "BESIDE", 0.9)
    assert PruneNetwork().recipes(bundle, rows_of(data)) == ()


@pytest.mark.parametrize("family", ["linear", "lightgbm"])
def test_models_without_hidden_layers_have_no_recipes(dataset, trained, family):
    data = dataset("binary")
    bundle, _ = trained(data, family, 3)
    assert PruneNetwork().recipes(bundle, rows_of(data)) == ()
    with pytest.raises(BundleError, match="prune_network needs"):
        PruneNetwork().apply(bundle, {"units": 0.5}, rows_of(data))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_shares_out_of_range_are_refused(case, share):
    _, bundle, rows = case("binary")
    with pytest.raises(BundleError, match="shares above 0"):
        PruneNetwork().apply(bundle, {"units": share}, rows)
