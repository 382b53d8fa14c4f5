"""Features that nothing reads are taken out, and the rest stays as it is."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from raymm.compression.unread import drop


def model(picked, *, more=(), outputs=("y",)):
    """Four inputs, of which two are joined first, one after a Neg; some columns are picked."""
    names = ["a", "b", "c", "d"]
    inputs = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["n", 1]) for one in names]
    nodes = [
        helper.make_node("Neg", ["a"], ["minus"]),
        helper.make_node("Concat", ["minus", "b"], ["first"], axis=1),
        helper.make_node("Concat", ["first", "c", "d"], ["all"], axis=1),
        helper.make_node("Gather", ["all", "at"], ["y"], axis=1),
        *more,
    ]
    ends = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["n", "w"]) for one in outputs]
    held = [numpy_helper.from_array(np.array(picked, np.int64), "at")]
    graph = helper.make_graph(nodes, "g", inputs, ends, held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 9
    return made


def run(made):
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    feed = {name: x[:, i : i + 1] for i, name in enumerate("abcd")}
    return session.run(None, feed)


@pytest.mark.parametrize(
    ("picked", "nodes"),
    [
        ([0, 1, 2, 3], ["Neg", "Concat", "Identity"]),
        ([1, 2], ["Concat", "Identity"]),
        ([3, 1], ["Concat", "Gather"]),
        ([0], ["Neg", "Concat", "Identity"]),
        ([2, 2, 0], ["Neg", "Concat", "Gather"]),
    ],
)
def test_the_same_is_picked_of_less(picked, nodes):
    made = model(picked)
    before = run(made)
    drop(made)
    onnx.checker.check_model(made, full_check=True)
    assert [node.op_type for node in made.graph.node] == nodes
    assert np.array_equal(run(made)[0], before[0])
    assert [one.name for one in made.graph.input] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("read", ["all", "first"])
def test_what_is_read_elsewhere_stays(read):
    made = model([1], more=[helper.make_node("Abs", [read], ["z"])], outputs=("y", "z"))
    before = run(made)
    drop(made)
    for one, other in zip(run(made), before, strict=True):
        assert np.array_equal(one, other)
    assert any(node.op_type == "Neg" for node in made.graph.node)


@pytest.mark.parametrize("picked", [1, [-1, 0], []])
def test_other_ways_to_pick_are_left_alone(picked):
    made = model(picked)
    before = run(made)
    kept = [node.op_type for node in made.graph.node]
    drop(made)
    assert [node.op_type for node in made.graph.node] == kept
    assert np.array_equal(run(made)[0], before[0])


def test_parts_of_unknown_width_stay():
    made = model([1])
    made.graph.input[2].type.tensor_type.shape.dim[1].dim_param = "w"
    kept = len(made.graph.node)
    drop(made)
    assert len(made.graph.node) == kept
