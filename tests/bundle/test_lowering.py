"""What onnxruntime runs predicts what the file's graph predicts, with fewer nodes and inputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.bundle.lowering import Lowered, lowered
from raymm.onnx_builder import FLOAT, RUNTIME_DOMAIN, GraphBuilder

CASTS_TO = {"float": FLOAT, "double": onnx.TensorProto.DOUBLE}


def products(*, bias=True, cast="float", scale=0.02, shared=False):
    """Return a graph of two products of whole numbers, as quantization writes them."""
    random, builder = np.random.default_rng(2), GraphBuilder()
    raw = builder.node("Concat", [builder.input(f"x{k}", FLOAT) for k in range(3)], axis=1)
    for name in ("other", "out"):
        builder.reserve(name)
    zero = builder.constant(128, np.uint8)
    for inputs, outputs in ((3, 5), (5, 2)):
        matrix = builder.constant(random.integers(-64, 65, (inputs, outputs)), np.int8)
        size, sizes = builder.constant(scale), builder.constant(random.random(outputs) / 10)
        whole = builder.node("QuantizeLinear", [raw, size, zero])
        none = builder.constant(np.zeros(outputs), np.int8)
        made = builder.node("MatMulInteger", [whole, matrix, zero, none])
        raw = builder.node("Cast", [made], to=CASTS_TO[cast])
        if cast == "double":
            raw = builder.node("Cast", [raw], to=FLOAT)
        raw = builder.node("Mul", [raw, builder.node("Mul", [size, sizes])])
        if bias:
            raw = builder.node("Add", [raw, builder.constant(random.normal(size=outputs))])
        other = builder.node("Cast", [made if shared else raw], to=FLOAT)
        raw = builder.node("Relu", [raw])
    outputs = [(other, "other", FLOAT, ["n", None]), (raw, "out", FLOAT, ["n", 2])]
    return builder.model(outputs).SerializeToString(deterministic=True)


def rows(count=50):
    random = np.random.default_rng(3)
    return {f"x{k}": random.normal(size=(count, 1)).astype(np.float32) for k in range(3)}


def run(graph, output, feed):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run([output], feed)[0]


def operators(graph):
    return [node.op_type for node in onnx.ModelProto.FromString(graph).graph.node]


@pytest.mark.parametrize("bias", [True, False])
def test_products_of_whole_numbers_become_one_node_each(bias):
    graph = products(bias=bias)
    assert lowered(graph, "out") == lowered(graph, "out")
    assert (lowered(graph, "out").matrices, lowered(graph, "out").spare) == ((), "")
    made = lowered(graph, "out").graph
    found = operators(made)
    assert found.count("MatMulIntegerToFloat") == 2
    assert not {"MatMulInteger", "Mul", "Add", "Cast"} & set(found)
    domains = [one.domain for one in onnx.ModelProto.FromString(made).opset_import]
    assert domains.count(RUNTIME_DOMAIN) == 1
    np.testing.assert_allclose(run(made, "out", rows()), run(graph, "out", rows()), rtol=1e-6)


@pytest.mark.parametrize("how", [{"cast": "double"}, {"scale": [0.02]}, {"shared": True}])
def test_other_products_stay(how):
    graph = products(**how)
    before, after = (operators(one) for one in (graph, lowered(graph, "").graph))
    # The first of two is read by nobody else.
    assert after.count("MatMulInteger") == 2 - after.count("MatMulIntegerToFloat")
    assert before.count("MatMulInteger") == 2
    assert after.count("MatMulInteger") >= 1


def test_what_nobody_asks_for_is_left_out():
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    for name in ("other", "out"):
        builder.reserve(name)
    whole = builder.node("Add", [x, builder.constant(2.0)])
    pair = (
        (builder.node("Sign", [whole]), "other", FLOAT, ["n", 1]),
        (whole, "out", FLOAT, ["n", 1]),
    )
    graph = builder.model(pair).SerializeToString(deterministic=True)
    made = lowered(graph, "out").graph
    assert operators(made) == ["Add", "Identity"]
    feed = {"x": np.ones((3, 1), np.float32)}
    np.testing.assert_array_equal(run(made, "out", feed), run(graph, "out", feed))
    assert lowered(graph, "unknown") == Lowered(graph)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_number_of_inputs_becomes_odd(count):
    builder = GraphBuilder()
    names = [builder.input(f"x{k}", FLOAT) for k in range(count - 1)]
    names.append(builder.input("spare", FLOAT))
    builder.reserve("out")
    total = builder.node("Sum", names)
    graph = builder.model([(total, "out", FLOAT, ["n", 1])]).SerializeToString(deterministic=True)
    made = lowered(graph, "out")
    feed = {name: np.ones((3, 1), np.float32) for name in names}
    if count % 2:
        assert made == Lowered(graph)
    else:
        assert made.spare not in ("", *names)
        feed[made.spare] = np.zeros(3, np.uint8)
    assert (run(made.graph, "out", feed) == count).all()


def test_what_cannot_be_read_is_left_to_the_runtime():
    for graph in (b"", b"no graph", bytes(range(256))):
        assert lowered(graph, "out") == Lowered(graph)
    builder = GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(2)]
    deep = builder.node("Concat", names, axis=1)
    for _ in range(3000):
        deep = builder.node("Concat", [deep], axis=1)
    builder.reserve("out")
    graph = builder.model([(deep, "out", FLOAT, ["n", 2])]).SerializeToString()
    assert lowered(graph, "out") == Lowered(graph)


def crafted(doubled=0, columns=1, kind=None):
    """Return a graph of Concats that read each other twice, and of constants that are not so."""
    builder = GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(3)]
    builder.reserve("out")
    shift, wide = builder.constant(2.0), builder.constant([[1.0]])
    made = [builder.node("Add", [x, shift]) for x in names]
    deep = builder.node("Concat", [*made, wide], axis=1)
    for _ in range(doubled):
        deep = builder.node("Concat", [deep, deep], axis=1)
    model = builder.model([(deep, "out", FLOAT, ["n", None])])
    for tensor in model.graph.initializer:
        if tensor.name == wide:
            tensor.dims[-1] = columns
        elif kind is not None:
            tensor.data_type = kind
    return model


def test_a_crafted_graph_is_left_as_it_is():
    plain = crafted(doubled=3).SerializeToString()
    assert lowered(plain, "out").matrices
    twice = crafted()
    twice.graph.node.append(twice.graph.node[-2])
    wide, none = crafted(columns=3_000_000), crafted(columns=-1)
    for model in (crafted(doubled=18), wide, none, crafted(kind=999), twice):
        graph = model.SerializeToString()
        assert lowered(graph, "out") == Lowered(graph)
