from __future__ import annotations

import numpy as np
import onnx
import pytest

from raymm.bundle.compiled_graph import taken_apart
from raymm.models.trees import Tree, join
from raymm.onnx_builder import FLOAT, INT64, ML_DOMAIN, STRING, GraphBuilder

STUMP = Tree(
    feature=np.array([0, -1, -1]),
    threshold=np.array([0.5, 0, 0], np.float32),
    missing_left=np.array([True, False, False]),
    left=np.array([1, -1, -1]),
    right=np.array([2, -1, -1]),
    value=np.array([[0], [1], [2]], np.float32),
)
INPUTS = {"a": "column a", "b": "column b", "w": "words", "t": "time"}


def _graph(features, behind=lambda builder, margins: margins):
    builder = GraphBuilder()
    for name, kind in (("a", FLOAT), ("b", FLOAT), ("w", STRING), ("t", INT64)):
        builder.input(name, kind)
    builder.reserve("y")
    margins = join([STUMP], [0.25]).to_onnx(builder, features(builder))
    model = builder.model([(behind(builder, margins), "y", FLOAT, ["n", 1])])
    return model.SerializeToString()


def _taken(features, **changes):
    return taken_apart(_graph(features, **changes), INPUTS, "y")


def _clip(builder, name, low=-3.0, high=3.0):
    return builder.node("Clip", [name, builder.constant(low), builder.constant(high)])


def test_a_column_is_read_as_it_is_or_within_limits():
    (plain,) = _taken(lambda builder: "a").features
    assert ([one.column for one in plain.sources], plain.plain) == (["column a"], True)
    (held,) = _taken(lambda builder: _clip(builder, "b")).features
    assert (held.sources[0].column, held.low, held.high) == ("column b", -3.0, 3.0)


def test_words_have_places_and_a_table():
    def ordinal(builder):
        return builder.node(
            "LabelEncoder", ["w"], domain=ML_DOMAIN,
            keys_strings=["x", "é"], values_floats=[4.0, 7.0], default_float=np.nan,
        )  # fmt: skip

    (one,) = _taken(ordinal).features
    (source,) = one.sources
    assert (source.column, source.places) == ("words", {"x": 0, "é": 1})
    np.testing.assert_array_equal(source.table, [4, 7, np.nan])

    def statistics(builder):
        flat = builder.node("Reshape", ["w", builder.constant([-1], np.int64)])
        place = builder.node(
            "LabelEncoder", [flat], domain=ML_DOMAIN,
            keys_strings=["x", "é"], values_int64s=[0, 1], default_int64=2,
        )  # fmt: skip
        table = builder.constant(np.arange(6).reshape(3, 2))
        return builder.node("Gather", [table, place])

    found = _taken(statistics)
    assert [one.sources[0].table.tolist() for one in found.features] == [[0, 2, 4], [1, 3, 5]]
    assert list(found.columns[0]) == [0, 1]


def test_pairs_and_their_order_are_kept():
    def several(builder):
        ratio = builder.node("Div", ["a", "b"])
        gap = builder.constant(np.nan)
        mended = builder.node("Where", [builder.node("IsInf", [ratio]), gap, ratio])
        parts = builder.node("Concat", ["b", _clip(builder, mended), "a", "b"], axis=1)
        return builder.node("Gather", [parts, builder.constant([1, 3, 2], np.int64)], axis=1)

    found = _taken(several)
    ratio, b, a = (found.features[place] for place in found.columns[0])
    assert [one.column for one in ratio.sources] == ["column a", "column b"]
    assert (ratio.operation, ratio.mends, ratio.low, ratio.high) == (4, True, -3.0, 3.0)
    assert ((a.sources[0].column, a.plain), (b.sources[0].column, b.plain)) == (
        ("column a", True),
        ("column b", True),
    )
    assert len(found.features) == 3  # the one that two columns share is made once


def test_what_is_not_needed_is_not_looked_at():
    def also(builder, margins):
        builder.node("MatMul", [margins, margins])
        return builder.node("Neg", [margins])

    found = _taken(lambda builder: "a", behind=also)
    assert found.width == 1
    assert found.tail(np.array([[3.0]], np.float32)).tolist() == [[-3.0]]


def _where(builder, marked, kept, value=np.nan):
    endless = builder.node("IsInf", [marked])
    return builder.node("Where", [endless, builder.constant(value), kept])


def _encoded(builder, **changes):
    held = {"keys_strings": ["x", "y"], "values_int64s": [0, 1], "default_int64": 2, **changes}
    held = {name: value for name, value in held.items() if value is not None}
    place = builder.node("LabelEncoder", ["w"], domain=ML_DOMAIN, **held)
    return builder.node("Gather", [builder.constant(np.zeros((3, 1))), place])


OTHERS = {
    "a date": lambda builder: builder.node("Cast", ["t"], to=FLOAT),
    "a word of its own": lambda builder: builder.node("Cast", ["w"], to=FLOAT),
    "a root": lambda builder: builder.node("Sqrt", ["a"]),
    "limits within limits": lambda builder: _clip(builder, _clip(builder, "a")),
    "limits one by one": lambda builder: builder.node("Clip", ["a", builder.constant(0.0)]),
    "limits of columns": lambda builder: builder.node("Clip", ["a", "b", "b"]),
    "pairs of pairs": lambda builder: builder.node("Add", [builder.node("Add", ["a", "b"]), "a"]),
    "pairs with constants": lambda builder: builder.node("Add", ["a", builder.constant([1.0])]),
    "another for the endless": lambda builder: _where(builder, "a", "b"),
    "zero for the endless": lambda builder: _where(builder, "a", "a", 0.0),
    "mended behind limits": lambda builder: _where(
        builder, *[_clip(builder, "a")] * 2
    ),
    "one side of the endless": lambda builder: builder.node(
        "Where",
        [builder.node("IsInf", ["a"], detect_negative=0), builder.constant(np.nan), "a"],
    ),
    "places out of order": lambda builder: _encoded(builder, values_int64s=[1, 0]),
    "another place for others": lambda builder: _encoded(builder, default_int64=0),
    "no place for others": lambda builder: _encoded(builder, default_int64=None),
    "a word twice": lambda builder: _encoded(builder, keys_strings=["x", "x"]),
    "columns under each other": lambda builder: builder.node("Concat", ["a", "b"], axis=0),
}  # fmt: skip


def test_columns_beside_themselves_again_and_again_are_left_whole():
    def doubled(builder):
        made = "a"
        for _ in range(40):
            made = builder.node("Concat", [made, made], axis=1)
        return made

    assert _taken(doubled) is None


@pytest.mark.parametrize("what", OTHERS)
def test_anything_else_is_left_whole(what):
    assert _taken(OTHERS[what]) is None


def test_graphs_without_trees_or_with_those_of_others():
    builder = GraphBuilder()
    builder.input("a", FLOAT)
    builder.reserve("y")
    model = builder.model([(builder.node("Neg", ["a"]), "y", FLOAT, ["n", 1])])
    assert taken_apart(model.SerializeToString(), INPUTS, "y") is None
    assert taken_apart(b"no graph", INPUTS, "y") is None
    other = onnx.ModelProto.FromString(_graph(lambda builder: "a"))
    for node in other.graph.node:
        node.doc_string = ""
    assert taken_apart(other.SerializeToString(), INPUTS, "y") is None
    assert taken_apart(_graph(lambda builder: "a"), INPUTS, "z") is None
