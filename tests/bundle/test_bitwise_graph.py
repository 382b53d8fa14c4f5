from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle.bitwise import Coder
from raymm.bundle.bitwise_graph import Graphs
from raymm.bundle.bitwise_text import Texts
from raymm.errors import BundleError
from raymm.onnx_builder import FLOAT, INT64, STRING, GraphBuilder


def graphs(data=None):
    coder = Coder(data, most=1 << 24)
    return Graphs(coder, Texts(coder))


def require_back(graph: bytes, words=()) -> int:
    writer = graphs()
    assert writer.code(graph, words, most=8 * len(graph)) == graph
    data = writer.coder.finish()
    reader = graphs(data)
    assert reader.code(None, words, most=8 * len(graph)) == graph
    reader.coder.finish()
    return len(data)


def model(columns=3, change=None) -> bytes:
    """Return a graph that prepares columns alike, with a table of words."""
    builder = GraphBuilder()
    names = [builder.input(f"column {n}", FLOAT) for n in range(columns)]
    word = builder.input("word", STRING)
    parts = []
    for place, name in enumerate(names):
        low, high = builder.constant(-1.5 - place), builder.constant(2.5 + place)
        clipped = builder.node("Clip", [name, low, high])
        lower = builder.node("Sub", [clipped, low])
        parts.append(builder.node("Mul", [lower, builder.constant(0.25 * (place + 3))]))
    coded = builder.node(
        "LabelEncoder", [word], domain="ai.onnx.ml", keys_strings=["a", "bé"],
        values_int64s=np.array([1, 2]), default_int64=0,
    )  # fmt: skip
    parts.append(builder.node("Cast", [coded], to=FLOAT))
    whole = builder.node("Concat", parts, axis=1)
    raw = builder.node("MatMul", [whole, builder.constant(np.ones((len(parts), 2)) / 4)])
    best = builder.node("ArgMax", [raw], axis=1, keepdims=0)
    classes = builder.constant(np.array(["yes", "no"], object), object)
    label = builder.node("Gather", [classes, best], axis=0)
    builder.constant(np.array([1, 2]), np.int64)
    made = builder.model(
        [(label, "prediction", STRING, ["n"]), (raw, "probabilities", FLOAT, ["n", 2])]
    )
    del made.graph.initializer[-1]
    if change:
        change(made)
    return made.SerializeToString(deterministic=True)


def test_a_graph_comes_back_byte_for_byte():
    require_back(model())


def test_a_column_more_takes_its_numbers_and_its_name():
    sizes = [require_back(model(columns)) for columns in (3, 4, 30)]
    assert sizes[1] - sizes[0] <= 14
    assert sizes[2] < 0.12 * len(model(30))


def test_names_that_are_known_take_next_to_nothing():
    words = ["column 0", "column 1", "column 2", "word", "yes", "no"]
    assert require_back(model(), words) < require_back(model()) - 12


def named(made):
    for node in made.graph.node:
        node.name = f"a {node.op_type}"
    made.graph.node[0].doc_string = "read me"


def ordered(made):
    held = list(made.graph.initializer)[::-1]
    copies = [onnx.TensorProto.FromString(one.SerializeToString()) for one in held]
    del made.graph.initializer[:]
    made.graph.initializer.extend(copies)


def typed(made):
    held = made.graph.initializer[0]
    held.ClearField("raw_data")
    held.float_data.append(0.5)


def emptied(made):
    made.graph.initializer[1].ClearField("raw_data")


def renamed(made):
    for node in made.graph.node:
        node.input[:] = [f"my{n}" if n.startswith("sub") else n for n in node.input]
        node.output[:] = [f"my{n}" if n.startswith("sub") else n for n in node.output]


def halved(made):
    held = made.graph.initializer[-2]
    held.CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 2), np.float16), held.name))


@pytest.mark.parametrize("change", [named, ordered, typed, emptied, renamed, halved])
def test_other_graphs_come_back_too(change):
    require_back(model(change=change))


def unread(made):
    made.graph.initializer.add(name="left over", data_type=FLOAT, raw_data=b"1234")


def doubled(made):
    made.graph.node.add(op_type="Add", domain="", input=["x", "y"], output=["z"])
    made.graph.node[-1].attribute.add(name="t", type=onnx.AttributeProto.TENSOR)


def outside(made):
    made.graph.initializer[0].external_data.add(key="location", value="x")


@pytest.mark.parametrize("change", [unread, doubled, outside])
def test_what_is_not_coded_is_refused_or_does_not_come_back(change):
    graph = model(change=change)
    with contextlib.suppress(ValueError):
        assert graphs().code(graph, most=8 * len(graph)) != graph
    with pytest.raises(ValueError, match="no model"):
        graphs().code(b"\xff\xff", most=100)


@given(st.binary(min_size=1, max_size=80))
def test_other_bytes_are_an_error_or_a_graph(data):
    try:
        made = graphs(data).code(None, most=4000)
    except (BundleError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        return
    assert len(made) < 20_000


def test_integers_keep_their_types():
    builder = GraphBuilder()
    x = builder.input("x", INT64)
    parts = [
        builder.constant(np.array([value]), kind)
        for value, kind in ((3, np.int64), (-2, np.int32), (1, np.bool_))
    ]
    casts = [builder.node("Cast", [one], to=INT64) for one in parts]
    total = builder.node(
        "Add", [builder.node("Add", casts[:2]), builder.node("Mul", [x, casts[2]])]
    )
    require_back(
        builder.model([(total, "prediction", INT64, ["n", 1])]).SerializeToString(
            deterministic=True
        )
    )


@pytest.mark.parametrize("where", ["input", "output"])
def test_a_long_name_that_is_told_again_and_again_takes_no_memory(where):
    """A node that is the same as one before takes a bit, but its names what they are long."""
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    made = builder.model([(x, "prediction", FLOAT, ["n", 1])])
    name = "n" * 2000
    made.graph.initializer.add(name=name, data_type=1, dims=[1], raw_data=bytes(4))
    read, results = ([name] * 5, ["y"]) if where == "input" else (["x"], [name])
    made.graph.node.extend([onnx.helper.make_node("Sum", read, results)] * 100)
    writer = graphs()
    writer.code(made.SerializeToString(deterministic=True), most=1 << 24)
    data = writer.coder.finish()
    assert len(data) < 400
    with pytest.raises(BundleError, match="longer than it declares"):
        graphs(data).code(None, most=50_000)
