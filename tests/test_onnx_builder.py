from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.onnx_builder import FLOAT, INT64, GraphBuilder, make_node


def run(builder, outputs, feed):
    model = builder.model(outputs).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def test_fresh_names_avoid_inputs_and_outputs():
    builder = GraphBuilder()
    builder.input("constant_1", FLOAT)
    builder.reserve("add_1")
    one = builder.constant(1.0)
    total = builder.node("Add", ["constant_1", one])
    assert len({"constant_1", "add_1", one, total}) == 4
    (result,) = run(
        builder,
        [(total, "add_1", FLOAT, ["n", 1])],
        {"constant_1": np.array([[2.0], [3.0]], dtype=np.float32)},
    )
    assert result.tolist() == [[3.0], [4.0]]


@pytest.mark.parametrize("name", ["", "x"])
def test_a_name_must_be_new_and_not_empty(name):
    builder = GraphBuilder()
    builder.input("x", FLOAT)
    with pytest.raises(ValueError, match="new and not empty"):
        builder.input(name, FLOAT)


def test_equal_constants_are_stored_once_and_different_ones_apart():
    builder = GraphBuilder()
    first = builder.constant([1.0, 2.0])
    assert builder.constant([1.0, 2.0]) == first
    different = {
        first,
        builder.constant([[1.0, 2.0]]),
        builder.constant([1, 2], np.int64),
        builder.constant(0.0),
        builder.constant(-0.0),
        builder.constant(["a\0b"], object),
        builder.constant(["a", "b"], object),
        builder.constant(["a\0b", "c"], object),
        builder.constant(["a", "b\0c"], object),
    }
    assert len(different) == 9


def test_same_calls_make_the_same_bytes():
    def make() -> bytes:
        builder = GraphBuilder()
        x = builder.input("x", INT64)
        split = builder.nodes(
            "Split", [builder.node("Concat", [x, x], axis=1)], outputs=2, axis=1, num_outputs=2
        )
        return builder.model([(split[1], "y", INT64, ["n", 1])]).SerializeToString()

    assert make() == make()


def test_attributes_are_those_that_onnx_s_own_helper_makes():
    given = {"floats": [0.5, 2.0], "ints": [3, -1], "words": ["LEAF", "é", ""], "word": "SUM"}
    arrays = {"floats": np.float32([0.5, 2.0]), "ints": np.int64([3, -1])}
    ours = make_node("Some", ["a"], ["b"], domain="d", doc_string="e", **{**given, **arrays})
    theirs = onnx.helper.make_node("Some", ["a"], ["b"], domain="d", doc_string="e", **given)
    assert ours.SerializeToString() == theirs.SerializeToString()
