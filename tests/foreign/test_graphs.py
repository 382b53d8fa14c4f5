"""ONNX graphs of one matrix get raymm's inputs and outputs, and predict the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from raymm.artifacts import Table
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.agreement import require_agreement
from raymm.compression.compressor import Rows
from raymm.compression.network import networks
from raymm.compression.prune_linear import PruneLinear
from raymm.compression.tap import tree_nodes
from raymm.compression.truncate import Truncate
from raymm.data import ingest
from raymm.errors import BundleError, DataError
from raymm.foreign import graphs
from raymm.foreign.bundling import bundle_of, dataset_of
from raymm.foreign.reading import read

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3)).astype(np.float32)
WIDE = np.random.default_rng(1).normal(size=(600, 12)).astype(np.float32)


def graph(path, outputs, *, end=(), opset=17, kind=TensorProto.FLOAT):
    """A product of three columns and a bias, and what follows it."""
    matrix = np.eye(3, outputs, dtype=np.float32) + np.float32(0.1)
    held = [
        numpy_helper.from_array(matrix, "w"),
        numpy_helper.from_array(np.linspace(-1, 1, outputs).astype(np.float32), "b"),
    ]
    nodes = [helper.make_node("Gemm", ["rows", "w", "b"], ["raw"])]
    made = "raw"
    for number, operator in enumerate(end):
        nodes.append(helper.make_node(operator, [made], [f"out{number}"]))
        made = f"out{number}"
    ends = [helper.make_tensor_value_info(made, TensorProto.FLOAT, ["n", outputs])]
    start = [helper.make_tensor_value_info("rows", kind, ["n", 3])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", start, ends, held),
        opset_imports=[helper.make_opsetid("", opset)],
    )
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return X @ matrix + np.linspace(-1, 1, outputs)


def table(raw) -> Table:
    y = raw[:, 0] if raw.shape[1] == 1 else raw.argmax(axis=1)
    return ingest.from_frame(pd.DataFrame(X, columns=["rows", "b", "c"]).assign(y=y))


def shares(raw):
    power = np.exp(raw - raw.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("end", "note"), [((), "given a softmax"), (("Softmax",), ""), (("Sigmoid",), "are shares")]
)
def test_classes_are_told_by_logits_and_by_probabilities(tmp_path, end, note):
    raw = graph(tmp_path / "m.onnx", 3, end=end)
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, table(raw), "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert bool(notes) == bool(note)
    assert all(one.startswith("the graph's columns do not") and note in one for one in notes)
    # Columns that do not add up to 1 are logits, also where each of them lies in 0 to 1.
    logits = 1 / (1 + np.exp(-raw)) if end == ("Sigmoid",) else raw
    assert np.allclose(Runner(bundle).predict(data.tensors), shares(logits), atol=1e-5)
    assert Runner(bundle).labels(Runner(bundle).predict(data.tensors)) == [
        str(one) for one in raw.argmax(axis=1)
    ]


@pytest.mark.parametrize("end", [(), ("Sigmoid",)])
def test_one_column_says_the_second_of_two_classes(tmp_path, end):
    raw = graph(tmp_path / "m.onnx", 1, end=end)
    foreign = read(str(tmp_path / "m.onnx"))
    frame = pd.DataFrame(X, columns=["rows", "b", "c"]).assign(y=np.where(raw[:, 0] > 0, "p", "n"))
    data, _ = dataset_of(foreign, ingest.from_frame(frame), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert np.allclose(
        Runner(bundle).predict(data.tensors)[:, 1], 1 / (1 + np.exp(-raw[:, 0])), atol=1e-5
    )


def test_values_come_as_they_are(tmp_path):
    raw = graph(tmp_path / "m.onnx", 1)
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, table(raw), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert np.allclose(Runner(bundle).predict(data.tensors), raw[:, 0], atol=1e-4)


@pytest.mark.parametrize("end", [("Softmax",), ()])
def test_rows_without_a_finite_answer_are_told_by_their_columns(tmp_path, end):
    raw = graph(tmp_path / "m.onnx", 3, end=end)
    foreign = read(str(tmp_path / "m.onnx"))
    frame = table(raw).frame.copy()
    frame.loc[5, "b"] = np.nan
    data, _ = dataset_of(foreign, ingest.from_frame(frame), "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    # Probabilities with a hole are no logits.
    assert bool(notes) == (not end)
    with pytest.raises(DataError, match=r"not for 1 of 200; they lack values in b\. Fill them"):
        foreign.require_same(bundle, data)


def test_other_targets_are_refused(tmp_path):
    graph(tmp_path / "m.onnx", 4)
    with pytest.raises(DataError, match="tells 4 classes apart, but the target y has 3"):
        dataset_of(read(str(tmp_path / "m.onnx")), table(RANDOM.normal(size=(200, 3))), "y", seed=0)
    untold(tmp_path / "m.onnx")
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, table(RANDOM.normal(size=(200, 3))), "y", seed=0)
    with pytest.raises(BundleError, match="must make 3 columns"):
        bundle_of(foreign, data)


def untold(path):
    """Leave out how many columns a graph makes."""
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.dim[1].Clear()
    onnx.save(model, path)


def test_columns_for_classes_make_classes_of_a_target_of_many_numbers(tmp_path):
    """Thirty whole numbers look like values, which a graph of thirty columns does not predict."""
    raw = graph(tmp_path / "m.onnx", 30, end=("Softmax",))
    rows = table(raw)
    rows = replace(rows, frame=rows.frame.assign(y=np.arange(len(X)) % 30))
    foreign = read(str(tmp_path / "m.onnx"))
    assert (foreign.facts.task, foreign.facts.classes) == ("multiclass", 30)
    data, _ = dataset_of(foreign, rows, "y", seed=0)
    assert (data.schema.task, len(data.schema.classes)) == ("multiclass", 30)
    assert bundle_of(foreign, data)[0].schema.classes[:3] == ("0", "1", "2")
    untold(tmp_path / "m.onnx")
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, rows, "y", seed=0)
    with pytest.raises(BundleError, match="--task multiclass"):
        bundle_of(foreign, data)


@pytest.mark.parametrize(
    "how", [{"kind": TensorProto.DOUBLE}, {"opset": 1}, {"end": ("Shape", "Abs")}]
)
def test_other_graphs_are_refused(tmp_path, how):
    graph(tmp_path / "m.onnx", 1, **how)
    if "end" in how:
        model = onnx.load(tmp_path / "m.onnx")
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
        onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(BundleError, match=r"must read one matrix|refuses"):
        read(str(tmp_path / "m.onnx"))


@pytest.mark.parametrize("end", [(), ("Softmax",)])
def test_graphs_of_older_operators_are_lifted(tmp_path, end):
    raw = graph(tmp_path / "m.onnx", 3, end=end, opset=9)
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, table(raw), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert np.allclose(Runner(bundle).predict(data.tensors), shares(raw), atol=1e-6)


def test_trees_of_counts_come_as_onnxmltools_writes_them(tmp_path):
    """One tree under an exponential, in the operator set 8 beside that of trees."""
    tree = helper.make_node(
        "TreeEnsembleRegressor", ["rows"], ["raw"], domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_values=[0.25, 0.0, 0.0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0], target_treeids=[0, 0],
        target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[-0.5, 1.5], n_targets=1,
    )  # fmt: skip
    made = helper.make_graph(
        [tree, helper.make_node("Exp", ["raw"], ["variable"])], "g",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("variable", TensorProto.FLOAT, [None, 1])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 8)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=4)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    expected = np.exp(np.where(X[:, 0] <= 0.25, -0.5, 1.5))
    foreign = read(str(tmp_path / "m.onnx"))
    noisy = (expected + 0.01 * RANDOM.normal(size=len(X)))[:, None]
    data, _ = dataset_of(foreign, table(noisy), "y", seed=0)
    bundle, _ = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert np.allclose(Runner(bundle).predict(data.tensors), expected, rtol=1e-6)


@pytest.mark.parametrize("left", [0, 1, 20, 0.5, 0.99])
def test_cut_graphs_are_told_by_name_and_with_what_helps(tmp_path, left):
    path = tmp_path / "m.onnx"
    graph(path, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    with pytest.raises(BundleError, match="cut") as refused:
        read(str(path))
    assert str(refused.value).startswith(str(path))
    assert str(refused.value).endswith("Export the model again.")


def test_a_graph_that_onnxruntime_refuses_is_told_by_name(tmp_path):
    graph(tmp_path / "m.onnx", 1)
    model = onnx.load(tmp_path / "m.onnx")
    del model.graph.initializer[:]
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"m\.onnx cannot be read by onnxruntime.*again\.$"):
        read(str(tmp_path / "m.onnx"))


def test_a_graph_that_contradicts_itself_is_told_once_and_with_what_helps(tmp_path, capfd):
    raw = graph(tmp_path / "m.onnx", 1)
    model = onnx.load(tmp_path / "m.onnx")
    for side in model.graph.input[0].type.tensor_type.shape.dim:
        side.dim_param = "any"
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((5, 1), np.float32), "w"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    foreign = read(str(tmp_path / "m.onnx"))
    data, _ = dataset_of(foreign, table(raw), "y", seed=0)
    with pytest.raises(BundleError, match=r"on rows of 3 numbers: .* export the model again\.$"):
        bundle_of(foreign, data)
    assert capfd.readouterr() == ("", "")


def test_hostile_graphs_are_not_run(tmp_path):
    raw = graph(tmp_path / "m.onnx", 1)
    model = onnx.load(tmp_path / "m.onnx")
    model.graph.node.append(helper.make_node("Evil", ["raw"], ["z"], domain="com.example"))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match=r"m\.onnx cannot be taken over: .*domains"):
        read(str(tmp_path / "m.onnx"))
    assert len(raw)


def forest(exported, folder, **more):
    """A file of a forest, its rows with two classes, and the probabilities of scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier

    labels = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
    model = RandomForestClassifier(10, random_state=0).fit(X, labels)
    node = exported.forest(model)
    for one in node.attribute:
        if one.name in more:
            one.s = more[one.name]
    path = exported.save(exported.graph(node, 3, 2), folder)
    frame = pd.DataFrame(X, columns=["rows", "b", "c"]).assign(y=labels)
    return path, ingest.from_frame(frame), model.predict_proba(X)


def test_trees_come_in_the_form_that_is_compressed(exported, tmp_path):
    path, rows, expected = forest(exported, tmp_path)
    foreign = read(path)
    data, _ = dataset_of(foreign, rows, "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert notes == ()
    assert len(tree_nodes(bundle)[1]) == 1
    assert np.allclose(Runner(bundle).predict(data.tensors), expected, atol=1e-6)
    as_it_was = replace(bundle, graph=foreign.graph(data.schema))
    assert len(bundle.to_bytes()) < len(as_it_was.to_bytes())
    assert Bundle.from_bytes(bundle.to_bytes()).graph == bundle.graph
    require_agreement(bundle, dict(data.tensors))
    kept = Truncate().recipes(bundle, None)
    assert kept
    assert len(Truncate().apply(bundle, kept[-1], None).graph) < len(bundle.graph)


def test_one_column_of_trees_for_two_classes(exported, tmp_path):
    part = {"treeids": [0, 0], "nodeids": [1, 2], "ids": [0, 0], "weights": [-0.5, 1.5]}
    held = {
        "nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0] * 3,
        "nodes_values": [0.25, 0.0, 0.0], "nodes_modes": ["BRANCH_LT", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
    }  # fmt: skip
    for scale in (1.0, 0.5):  # log-odds, and probabilities as they stand
        part["weights"] = [-0.5, 1.5] if scale == 1 else [0.25, 0.75]
        path = exported.save(exported.graph(exported.regressor(held, part), 3, 1), tmp_path)
        labels = (X[:, 0] > 0).astype(int)
        rows = ingest.from_frame(pd.DataFrame(X, columns=["rows", "b", "c"]).assign(y=labels))
        foreign = read(path)
        data, _ = dataset_of(foreign, rows, "y", seed=0)
        bundle, _ = bundle_of(foreign, data)
        foreign.require_same(bundle, data)
        assert len(tree_nodes(bundle)[1]) == 1


def test_trees_that_stay_as_they_are_are_told(exported, tmp_path):
    path, rows, _ = forest(exported, tmp_path, post_transform=b"SOFTMAX_ZERO")
    foreign = read(path)
    data, _ = dataset_of(foreign, rows, "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    told = "TreeEnsembleClassifier: it has the post_transform SOFTMAX_ZERO"
    assert notes[-1] == f"part of it is packed but not pruned ({told})"
    assert bundle.graph == foreign.graph(data.schema)


def test_a_rewritten_graph_with_other_answers_is_not_taken(exported, tmp_path, monkeypatch):
    path, rows, _ = forest(exported, tmp_path)
    true = graphs.rewrite

    def wrong(model, result):
        found = true(model, result)
        held = next(one for one in found.model.graph.node if one.doc_string)
        weights = next(one for one in held.attribute if one.name == "target_weights")
        weights.floats[0] += 0.01
        return found

    monkeypatch.setattr(graphs, "rewrite", wrong)
    foreign = read(path)
    data, _ = dataset_of(foreign, rows, "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    assert bundle.graph == foreign.graph(data.schema)
    assert notes[-1].startswith("part of it is packed but not pruned (with raymm's form")
    foreign.require_same(bundle, data)


def test_linear_models_come_in_the_form_that_is_pruned(exported, tmp_path):
    from sklearn.linear_model import LogisticRegression

    labels = (WIDE[:, 0] - WIDE[:, 1] + 0.5 * WIDE[:, 2] > 0).astype(int)
    model = LogisticRegression().fit(WIDE, labels)
    behind = helper.make_node(
        "Normalizer", ["probabilities"], ["normal"], domain="ai.onnx.ml", norm="L1"
    )
    path = exported.save(
        exported.graph(exported.linear(model), WIDE.shape[1], 2, after=[behind]), tmp_path
    )
    names = [f"c{number}" for number in range(WIDE.shape[1])]
    foreign = read(path)
    table = ingest.from_frame(pd.DataFrame(WIDE, columns=names).assign(y=labels))
    data, _ = dataset_of(foreign, table, "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    foreign.require_same(bundle, data)
    assert all("pruned" not in note for note in notes)
    found = Runner(bundle).predict(data.tensors)
    assert np.allclose(found, model.predict_proba(WIDE), atol=1e-6)
    rows = Rows(tensors=data.tensors, y=data.y, metric=None)
    recipes = PruneLinear().recipes(bundle, rows)
    assert [one["columns"] for one in recipes] == [0.5, 0.1]
    small = PruneLinear().apply(bundle, recipes[-1], rows)
    (network,) = networks(onnx.ModelProto.FromString(small.graph))
    assert network.layers[0].matrix.shape == (3, 1)
    assert (np.argmax(Runner(small).predict(data.tensors), axis=1) == labels).mean() > 0.95


def test_two_classes_by_a_softmax_are_rewritten_too(exported, tmp_path):
    """Infinite cells say nothing of one of two sums, and all of their difference."""
    node = helper.make_node(
        "LinearClassifier", ["rows"], ["label", "probabilities"], domain="ai.onnx.ml",
        coefficients=[0.5, -1.0, 0.3, 0.2, 1.0, -0.1], intercepts=[0.1, -0.2],
        classlabels_ints=[0, 1], post_transform="SOFTMAX",
    )  # fmt: skip
    foreign, data = of_two(exported.save(exported.graph(node, 3, 2), tmp_path))
    bundle, notes = bundle_of(foreign, data)
    assert notes == ()
    assert len(networks(onnx.ModelProto.FromString(bundle.graph))) == 1


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.INT64])
def test_linear_models_of_other_numbers_stay_as_they_are(exported, tmp_path, kind):
    """What raymm has in their place reads float32 alone."""
    node = helper.make_node(
        "LinearClassifier", ["other"], ["label", "probabilities"], domain="ai.onnx.ml",
        coefficients=[0.5, -1.0, 0.3], intercepts=[0.1], classlabels_ints=[0, 1],
        post_transform="LOGISTIC",
    )  # fmt: skip
    before = [
        helper.make_node("Cast", ["rows"], ["cast"], to=kind),
        helper.make_node("Abs", ["cast"], ["other"]),
    ]
    foreign, data = of_two(exported.save(exported.graph(node, 3, 2, before=before), tmp_path))
    bundle, notes = bundle_of(foreign, data)
    assert "cannot be run" in notes[-1]
    assert bundle.graph == foreign.graph(data.schema)
    foreign.require_same(bundle, data)


def of_two(path):
    """Read a graph of three columns, and the rows of two classes that it is given."""
    labels = (X[:, 0] > 0).astype(int)
    rows = ingest.from_frame(pd.DataFrame(X, columns=["rows", "b", "c"]).assign(y=labels))
    foreign = read(path)
    return foreign, dataset_of(foreign, rows, "y", seed=0)[0]
