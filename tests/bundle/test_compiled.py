from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest

from raymm.artifacts import Interaction, Lineage, Statistics
from raymm.bundle import compiled as module
from raymm.bundle import machine_code
from raymm.bundle.blend import Blend
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import adversarial
from raymm.bundle.pipeline import fit
from raymm.bundle.run import Runner
from raymm.data import ingest, schema, split, statistics
from raymm.errors import BundleError
from raymm.sections import DataConfig

needs_numba = pytest.mark.skipif(module.ready() is None, reason="numba is not installed")
LINEAGE = Lineage(
    run="", data_sha256="", source="", seed=0, ledger="", configuration={}, trial={}, packages={}
)
LONG = pytest.mark.long
BOUND = 1e-6
"""Of a probability, or of a value as a share of the values' spread."""


def _dataset(task, *, interactions=(), rows=600, kinds=0):
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=rows).round(2),
            "price of all": random.lognormal(size=rows),
            "gaps": np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows)),
            "flag": random.random(rows) < 0.4,
            "town": random.choice(["Rom", "Köln", "日本", "?"], rows),
            "code": random.choice([f"c{n}" for n in range(60)], rows),
        }
    )
    if kinds:
        frame["kind"] = random.choice([f"k{n}" for n in range(kinds)], rows)
    signal = frame["size"] + (frame["town"] == "Rom") + frame["gaps"].fillna(1) * frame["flag"]
    if kinds:
        signal += 2 * frame["kind"].isin(["k1", "k4", "k8", "k10"])
    if task == "regression":
        frame["y"] = np.exp(signal + random.normal(size=rows) / 5)
    else:
        edges = [0.5] if task == "binary" else [-0.5, 1.0]
        noisy = signal + random.normal(size=rows) / 5
        frame["y"] = np.array(["low", "mid", "top"])[np.digitize(noisy, edges)]
    table = ingest.from_frame(frame)
    config = DataConfig(source=table.source, target="y")
    columns = schema.infer(table, statistics.describe(table), config)
    return split.split(table, replace(columns, interactions=tuple(interactions)), config, seed=0)


def _bundle(dataset, *configs, weights=(1.0,), calibration=(1.0, 0.0), rounds=12):
    made = [fit(dataset, dataset.train, one, rounds=rounds, seed=1, threads=1) for one in configs]
    blend = Blend(members=tuple(made), weights=weights, calibration=calibration)
    return Bundle(
        graph=to_graph(blend),
        schema=dataset.schema,
        statistics=Statistics(rows=0, columns=()),
        lineage=LINEAGE,
    )


def _agree(bundle, dataset, *, count=2000):
    """Compare both runners on rows drawn to hurt, one by one and together."""
    plain, swift = Runner(bundle), Runner(bundle, compiled=True)
    assert swift._compiled is not None
    rows = adversarial(
        dataset.tensors, dataset.schema, generator=np.random.default_rng(0), count=count
    )
    # onnxruntime takes a word with a lone surrogate after a question mark has replaced it.
    rows["town"] = np.append(rows["town"][:-2], np.array(["\ud800", "x\udfff"], object))
    expected = plain.predict(rows)
    scale = float(np.ptp(expected)) if expected.ndim == 1 else 1.0
    found = swift.predict(rows)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=BOUND * scale)
    for at in range(0, count, 97):
        row = {name: values[at : at + 1] for name, values in rows.items()}
        np.testing.assert_array_equal(swift.predict(row), found[at : at + 1])
    return expected


FAMILIES = ("lightgbm", "xgboost", "forest", "extra_trees")


SETS = {"family": "lightgbm", "lightgbm.sets": True}


@needs_numba
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_sets_of_categories_are_looked_up(task):
    dataset = _dataset(task, kinds=12, rows=1500)
    bundle = _bundle(dataset, SETS, {"family": "xgboost"}, weights=(0.5, 0.5), rounds=25)
    assert b"BitwiseAnd" in bundle.graph
    expected = _agree(bundle, dataset)
    assert len(np.unique(expected)) > 20


@needs_numba
def test_a_mask_of_several_bits_is_left_to_onnxruntime():
    dataset = _dataset("regression", kinds=12)
    bundle = _bundle(dataset, SETS)
    model = onnx.ModelProto.FromString(bundle.graph)
    masks = {one.input[1] for one in model.graph.node if one.op_type == "BitwiseAnd"}
    for one in model.graph.initializer:
        if one.name in masks:
            held = onnx.numpy_helper.to_array(one)
            one.CopyFrom(onnx.numpy_helper.from_array(held | 3, one.name))
    assert module.compiled(bundle.graph, bundle.schema, 1) is not None
    assert module.compiled(model.SerializeToString(), bundle.schema, 1) is None


@pytest.mark.slow
@needs_numba
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trees_of_every_family_answer_as_onnxruntime_does(family, task):
    dataset = _dataset(task)
    expected = _agree(_bundle(dataset, {"family": family}), dataset)
    assert len(np.unique(expected)) > 20  # else nothing would have been compared


@needs_numba
def test_pairs_of_columns_are_made_alike():
    pairs = [
        Interaction(first="size", second="gaps", operation="ratio"),
        Interaction(first="price of all", second="size", operation="product"),
        Interaction(first="gaps", second="price of all", operation="difference"),
        Interaction(first="size", second="price of all", operation="sum"),
    ]
    dataset = _dataset("regression", interactions=pairs)
    _agree(_bundle(dataset, {"family": "lightgbm"}), dataset)


@pytest.mark.slow
@needs_numba
def test_mixes_calibrations_and_bent_targets():
    dataset = _dataset("binary")
    both = {"family": "lightgbm"}, {"family": "forest"}
    _agree(_bundle(dataset, *both, weights=(0.3, 0.7)), dataset)
    _agree(_bundle(dataset, *both, weights=(0.3, 0.7), calibration=(1.4, 0.2)), dataset)
    dataset = _dataset("multiclass")
    both = {"family": "xgboost"}, {"family": "lightgbm"}
    _agree(_bundle(dataset, *both, weights=(0.5, 0.5), calibration=(0.8, -0.1)), dataset)
    dataset = _dataset("regression")
    _agree(_bundle(dataset, {"family": "xgboost", "target": "log"}), dataset)


@needs_numba
def test_threads_answer_as_one_does(monkeypatch):
    monkeypatch.setattr(module, "APART", 100)
    monkeypatch.setattr(module, "ROWS", 64)
    dataset = _dataset("multiclass")
    bundle = _bundle(dataset, {"family": "lightgbm"})
    one, three = (Runner(bundle, threads=threads, compiled=True) for threads in (1, 3))
    for count in (99, 100, 601):
        rows = dataset.rows(np.resize(np.arange(600), count))
        np.testing.assert_array_equal(three.predict(rows), one.predict(rows))
        np.testing.assert_allclose(one.predict(rows), Runner(bundle).predict(rows), atol=BOUND)


@needs_numba
def test_what_rows_lack_is_said_as_ever():
    dataset = _dataset("binary")
    runner = Runner(_bundle(dataset, {"family": "lightgbm"}), compiled=True)
    row = {name: values[:1] for name, values in dataset.tensors.items()}
    for name in row:
        with pytest.raises(BundleError, match="is missing from the rows"):
            runner.predict({key: value for key, value in row.items() if key != name})
        with pytest.raises(BundleError, match="equal lengths"):
            runner.predict({**row, name: dataset.tensors[name][:2]})
    assert runner.predict({name: values[:0] for name, values in row.items()}).shape == (0, 2)
    listed = {name: values.tolist() for name, values in row.items()}
    np.testing.assert_array_equal(runner.predict(listed), runner.predict(row))
    plain = Runner(_bundle(dataset, {"family": "lightgbm"}))
    upright = {name: values[:9].reshape(-1, 1) for name, values in dataset.tensors.items()}
    upright["size"] = upright["size"].ravel()
    for one in (runner, plain):
        np.testing.assert_array_equal(
            one.predict(upright), one.predict({n: v.ravel() for n, v in upright.items()})
        )


@pytest.fixture
def fresh():
    """Ask anew whether the kernels can be used, in this test and after it."""
    machine_code.loaded.cache_clear()
    machine_code._complain.cache_clear()
    yield
    machine_code.loaded.cache_clear()
    machine_code._complain.cache_clear()


def _left_to_onnxruntime(family="lightgbm"):
    dataset = _dataset("binary")
    bundle = _bundle(dataset, {"family": family})
    runner = Runner(bundle, compiled=True)
    assert runner._compiled is None
    np.testing.assert_array_equal(
        runner.predict(dataset.tensors), Runner(bundle).predict(dataset.tensors)
    )


@needs_numba
def test_other_graphs_are_left_to_onnxruntime():
    _left_to_onnxruntime("linear")


def test_without_numba_onnxruntime_answers(monkeypatch, fresh):
    monkeypatch.setattr(machine_code, "find_spec", lambda name: None)
    _left_to_onnxruntime()


@needs_numba
def test_a_numba_that_cannot_be_used_is_told_once(monkeypatch, fresh, caplog):
    def broken(name):
        raise ImportError("Numba needs NumPy 2.3 or less")

    monkeypatch.setattr(machine_code.importlib, "import_module", broken)
    _left_to_onnxruntime()
    _left_to_onnxruntime()
    (told,) = [one.getMessage() for one in caplog.records]
    assert "ImportError: Numba needs NumPy 2.3 or less" in told


@needs_numba
def test_words_that_are_none_are_what_onnxruntime_makes_of_them():
    dataset = _dataset("binary")
    bundle = _bundle(dataset, {"family": "lightgbm"})
    row = {name: values[:1] for name, values in dataset.tensors.items()}
    for odd in (None, np.nan, 5, True, 1.5):
        given = {**row, "town": np.array([odd], object)}
        expected = Runner(bundle).predict(given)
        np.testing.assert_allclose(
            Runner(bundle, compiled=True).predict(given), expected, atol=BOUND
        )


_MODES = {b"LEAF": b"LEAF", b"BRANCH_LEQ": b"BRANCH_EQ"}
CRAFTED = {
    "other sums": {"aggregate_function": "AVERAGE"},
    "another end": {"post_transform": "LOGISTIC"},
    "other comparisons": {"nodes_modes": lambda held: [_MODES[one] for one in held]},
    "no comparison": {"nodes_modes": lambda held: [b"FOO", *held[1:]]},
    "a flag of 2": {"nodes_missing_value_tracks_true": lambda held: [2 * one for one in held]},
    "one too few": {"nodes_values": lambda held: held[:-1]},
    "trees far apart": {"nodes_treeids": lambda held: [*held[:-1], 150_000_000]},
    "no outputs": {"n_targets": 0},
    "two bases": {"base_values": [0.0, 1.0]},
    "a leaf that adds twice": {
        name: lambda held: [held[0], *held]
        for name in ("target_treeids", "target_nodeids", "target_ids", "target_weights")
    },
    "a base that not every row is given": {
        "base_values": [0.5],
        **{
            name: lambda held: held[1:]
            for name in ("target_treeids", "target_nodeids", "target_ids", "target_weights")
        },
    },
}  # fmt: skip


def _crafted(graph, changes):
    model = onnx.ModelProto.FromString(graph)
    (node,) = [one for one in model.graph.node if one.op_type == "TreeEnsembleRegressor"]
    held = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    for name, change in changes.items():
        held[name] = change(list(held[name])) if callable(change) else change
    node.ClearField("attribute")
    node.attribute.extend(onnx.helper.make_attribute(*one) for one in sorted(held.items()))
    return model.SerializeToString()


@needs_numba
@pytest.mark.parametrize("what", CRAFTED)
def test_nodes_that_say_something_else_are_left_to_onnxruntime(what):
    dataset = _dataset("regression")
    bundle = _bundle(dataset, {"family": "lightgbm"}, rounds=1)
    same = replace(bundle, graph=_crafted(bundle.graph, {}))
    assert module.compiled(same.graph, bundle.schema, 1) is not None
    assert module.compiled(_crafted(bundle.graph, CRAFTED[what]), bundle.schema, 1) is None


@needs_numba
def test_a_graph_of_another_operator_set_or_output_is_left_to_onnxruntime():
    dataset = _dataset("regression")
    bundle = _bundle(dataset, {"family": "lightgbm"}, rounds=2)
    model = onnx.ModelProto.FromString(bundle.graph)
    model.opset_import[0].version = 99
    assert module.compiled(model.SerializeToString(), bundle.schema, 1) is None
    model = onnx.ModelProto.FromString(bundle.graph)
    model.graph.output[0].name = "other"
    assert module.compiled(model.SerializeToString(), bundle.schema, 1) is None


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    ["binary", pytest.param("multiclass", marks=LONG), pytest.param("regression", marks=LONG)],
)
def test_ten_thousand_rows_drawn_to_hurt(task):
    dataset = _dataset(task, rows=3000)
    for family in FAMILIES:
        _agree(_bundle(dataset, {"family": family}, rounds=60), dataset, count=10_000)
