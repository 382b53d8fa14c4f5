"""Networks are found, and written back so that the graph says the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from raymm.bundle.run import Runner
from raymm.compression import network as nets

TASKS = ["binary", "multiclass", "regression"]


def model_of(bundle):
    return onnx.ModelProto.FromString(bundle.graph)


@pytest.mark.parametrize("task", TASKS)
def test_a_perceptron_is_found_and_says_what_the_graph_says(dataset, trained, task):
    data = dataset(task)
    bundle, pipeline = trained(data, "mlp", rounds=5)
    (found,) = nets.networks(model_of(bundle))
    for layer, (matrix, bias) in zip(found.layers, pipeline.model.mean, strict=True):
        assert np.array_equal(layer.matrix, matrix)
        assert np.array_equal(layer.bias, bias)
    rows = data.rows(data.test)
    x, raw = nets.tensor(bundle, found.source, rows), nets.tensor(bundle, found.result, rows)
    assert np.array_equal(x, pipeline.features.transform(rows))
    assert np.allclose(found.hidden(x)[-1], raw, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_a_network_written_back_predicts_the_same(dataset, trained, task):
    data = dataset(task)
    bundle, _ = trained(data, "mlp", rounds=5)
    model = model_of(bundle)
    nets.put(model, nets.networks(model)[0])
    onnx.checker.check_model(model, full_check=True)
    rows = data.rows(data.test)
    again = nets.written(bundle, model)
    assert np.array_equal(Runner(again).predict(rows), Runner(bundle).predict(rows))
    assert len(model.graph.initializer) == len(model_of(bundle).graph.initializer)


def test_columns_left_out_count_as_weights_of_zero(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data, "mlp", rounds=5)
    model, plain = model_of(bundle), model_of(bundle)
    (found,) = nets.networks(model)
    first = found.layers[0]
    few = replace(first, matrix=first.matrix[[1, 4]])
    nets.put(model, replace(found, layers=(few, *found.layers[1:]), columns=(1, 4)))
    blank = np.zeros_like(first.matrix)
    blank[[1, 4]] = first.matrix[[1, 4]]
    nets.put(plain, replace(found, layers=(replace(first, matrix=blank), *found.layers[1:])))
    rows = data.rows(data.test)
    ours, theirs = (Runner(nets.written(bundle, one)).predict(rows) for one in (model, plain))
    assert np.allclose(ours, theirs, atol=1e-6)


def test_a_linear_model_is_a_network_of_one_layer(dataset, trained):
    bundle, pipeline = trained(dataset("multiclass"), "linear")
    (found,) = nets.networks(model_of(bundle))
    assert found.activations == ()
    assert np.array_equal(found.layers[0].matrix, pipeline.model.coefficients)


@pytest.mark.parametrize("family", ["lightgbm", "neighbors", "svm"])
def test_other_families_have_no_network(dataset, trained, family):
    bundle, _ = trained(dataset("binary"), family, rounds=3)
    assert nets.networks(model_of(bundle)) == ()


def foreign(nodes, **constants):
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])


W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.ones(3, np.float32)


def test_the_forms_of_other_writers_are_read():
    turned = helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1)
    after = [
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["m"]),
        helper.make_node("Add", ["c", "m"], ["y"]),
    ]
    made = foreign(
        [turned, *after], w=W.T.copy(), b=B, v=np.eye(3, dtype=np.float32), c=B.reshape(1, 3)
    )
    (found,) = nets.networks(made)
    assert np.array_equal(found.layers[0].matrix, W)
    assert np.array_equal(found.layers[1].bias, B)
    assert (found.source, found.result, found.nodes) == ("x", "y", (0, 1, 2, 3))


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=2.0)],
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1)],
        [helper.make_node("Gemm", ["w", "x"], ["y"])],
    ],
)
def test_what_is_no_layer_is_passed_over(nodes):
    assert nets.networks(foreign(nodes, w=W, b=B)) == ()


def test_a_layer_whose_sums_are_read_elsewhere_ends_its_network():
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "v", "b"], ["z"]),
        helper.make_node("Add", ["h", "z"], ["y"]),
    ]
    found = nets.networks(foreign(nodes, w=W, b=B, v=np.eye(3, dtype=np.float32)))
    assert [one.result for one in found] == ["h", "z"]


def test_names_within_a_graph_do_not_clash(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data, "mlp", rounds=2)
    model = model_of(bundle)
    for _ in range(3):
        nets.put(model, nets.networks(model)[0])
    onnx.checker.check_model(model, full_check=True)
    rows = data.rows(data.test)
    assert np.array_equal(
        Runner(nets.written(bundle, model)).predict(rows), Runner(bundle).predict(rows)
    )


def test_a_network_alone_does_what_it_does_in_its_graph(dataset, trained):
    import onnxruntime

    data = dataset("multiclass")
    bundle, _ = trained(data, "mlp", rounds=3)
    (found,) = nets.networks(model_of(bundle))
    x = nets.tensor(bundle, found.source, data.rows(data.test))
    session = onnxruntime.InferenceSession(
        nets.alone(found).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (raw,) = session.run([found.result], {found.source: x})
    assert np.allclose(raw, found.hidden(x)[-1], atol=1e-5)
