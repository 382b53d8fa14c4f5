"""Matrices of fewer bits predict almost as before, in operators that every bundle may hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import quantize_network
from raymm.compression.compressor import Rows
from raymm.compression.quantize_network import QuantizeNetwork
from raymm.errors import BundleError
from raymm.evaluation.metrics import metric_for

METRICS = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}
WIDE = {"layers": 2, "width_1": 128, "width_2": 64}


@pytest.fixture(scope="module")
def case(dataset, trained):
    def make(task):
        from raymm.bundle.graph import to_graph
        from raymm.bundle.pipeline import fit

        data = dataset(task)
        bundle, _ = trained(data, "mlp", rounds=1)
        config = {"family": "mlp", **{f"mlp.{key}": value for key, value in WIDE.items()}}
        pipeline = fit(data, data.train, config, rounds=30, seed=0, threads=1)
        metric = metric_for(METRICS[task], task)
        rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=metric)
        return data, Bundle(**{**parts(bundle), "graph": to_graph(pipeline)}), rows

    return make


def parts(bundle):
    return {name: getattr(bundle, name) for name in ("graph", "schema", "statistics", "lineage")}


RECIPES = [
    ({"bits": 16}, 1.4, 0.002),
    ({"bits": 8, "range": "rows"}, 2.5, 0.03),
    ({"bits": 8, "range": "batch"}, 2.5, 0.03),
    ({"bits": 5, "range": "rows"}, 2.9, 0.06),
    ({"bits": 4, "range": "rows"}, 3.1, 0.13),
]


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "smaller", "away"), RECIPES)
@pytest.mark.parametrize("task", METRICS)
def test_files_shrink_and_predictions_hardly_move(case, task, recipe, smaller, away):
    data, bundle, rows = case(task)
    small = QuantizeNetwork().apply(bundle, recipe, rows)
    assert len(bundle.to_bytes()) > smaller * len(small.to_bytes())
    read = Bundle.from_bytes(small.to_bytes())  # refuses what a bundle must not hold
    tensors = data.rows(data.test)
    before, after = (Runner(one).predict(tensors) for one in (bundle, read))
    scale = np.std(before) if task == "regression" else 1.0
    assert np.abs(before - after).mean() < away * scale
    assert small.to_bytes() == QuantizeNetwork().apply(bundle, recipe, rows).to_bytes()


def test_a_row_is_predicted_as_it_is_beside_others(case):
    data, bundle, rows = case("regression")
    small = QuantizeNetwork().apply(bundle, {"bits": 8, "range": "rows"}, rows)
    runner, tensors = Runner(small), data.rows(data.test)
    together = runner.predict(tensors)
    for row in range(5):
        one = {name: values[row : row + 1] for name, values in tensors.items()}
        # Sums of whole numbers are exact; what is left is the last digit of a float32.
        assert runner.predict(one)[0] == pytest.approx(together[row], rel=1e-5)


@pytest.mark.slow
def test_only_the_network_changes(case):
    _, bundle, rows = case("binary")
    small = QuantizeNetwork().apply(bundle, {"bits": 8, "range": "rows"}, rows)
    before, after = (onnx.ModelProto.FromString(one.graph).graph for one in (bundle, small))
    first = next(index for index, node in enumerate(before.node) if node.op_type == "Gemm")
    assert [one.SerializeToString() for one in before.node[:first]] == [
        one.SerializeToString() for one in after.node[:first]
    ]
    assert sum(node.op_type == "MatMulInteger" for node in after.node) == 3


@pytest.mark.slow
def test_weights_leave_room_for_sums_of_two_products(case):
    """255 * 64 * 2 is below 32,768, where the sums of older processors end."""
    _, bundle, rows = case("multiclass")
    small = QuantizeNetwork().apply(bundle, {"bits": 8, "range": "rows"}, rows)
    held = [
        onnx.numpy_helper.to_array(one)
        for one in onnx.ModelProto.FromString(small.graph).graph.initializer
        if one.data_type == onnx.TensorProto.INT8 and len(one.dims) == 2
    ]
    assert len(held) == 3
    assert max(np.abs(one.astype(int)).max() for one in held) <= 64


def test_small_networks_keep_eight_bits(case, monkeypatch):
    _, bundle, rows = case("binary")
    expected = ((1, 10**9, [16, 8, 6, 5, 4]), (1, 2, [16, 8, 6, 5]), (10**9, 10**9, [16, 8]))
    for enough, many, found in expected:
        monkeypatch.setattr(quantize_network, "ENOUGH", enough)
        monkeypatch.setattr(quantize_network, "MANY", many)
        assert [one["bits"] for one in QuantizeNetwork().recipes(bundle, rows)] == found


def test_recipes_do_not_let_a_row_depend_on_others(case, dataset, trained):
    _, bundle, rows = case("binary")
    recipes = QuantizeNetwork().recipes(bundle, rows)
    assert {"bits": 8, "range": "rows"} in recipes
    assert not any(one.get("range") == "batch" for one in recipes)
    assert QuantizeNetwork().recipes(trained(dataset("binary"), "lightgbm", 3)[0], rows) == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [{"bits": 3}, {}, *({"bits": bits, "range": at} for bits, at in ((8, "none"), (5, "batch")))],
)
def test_other_recipes_are_refused(case, recipe):
    _, bundle, rows = case("binary")
    with pytest.raises(BundleError, match="quantize_network needs"):
        QuantizeNetwork().apply(bundle, recipe, rows)


def test_rows_stay_near_where_no_input_is_cut_off():
    assert QuantizeNetwork().bounded_moves({"bits": 16})
    assert not QuantizeNetwork().bounded_moves({"bits": 8, "range": "rows"})


@pytest.mark.slow
def test_a_range_needs_rows(case):
    _, bundle, rows = case("binary")
    nothing = Rows(tensors={}, y=np.empty(0), metric=rows.metric)
    with pytest.raises(BundleError, match="needs rows"):
        QuantizeNetwork().apply(bundle, {"bits": 8}, nothing)
