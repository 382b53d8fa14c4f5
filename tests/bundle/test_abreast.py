from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.artifacts import Column
from raymm.bundle.abreast import _bent, joined, sweep
from raymm.bundle.lanes import LINE, Step
from raymm.features.normal_score import NormalScore
from raymm.features.number import Number
from raymm.features.onehot_category import OneHotCategory
from raymm.features.scaled_number import ScaledNumber
from raymm.models.sets import Sets
from raymm.onnx_builder import FLOAT, STRING, GraphBuilder

ROWS = 400
HARD = (np.nan, np.inf, -np.inf, 3e38, -1e30, 1e-45, 0.0, -0.0, 1.0)


def table(columns):
    """Return numbers of every kind: skewed, in steps, with gaps, of two values."""
    random = np.random.default_rng(3)
    values = [random.normal(number, 1 + number, ROWS) for number in range(columns)]
    values[1] = np.exp(4 * values[1])
    values[2] = np.round(values[2])
    values[3][::3] = np.nan
    values[4] = (values[4] > 4).astype(float)
    return [value.astype(np.float32) for value in values]


def graph_of(kind, columns=14):
    """Return a graph of columns, one of them words, and rows that are hard for it."""
    values, builder = table(columns), GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(columns)]
    word = builder.input("word", STRING)
    builder.reserve("out")
    y = np.arange(ROWS) % 2
    parts = [
        kind(Column(name=name, kind="number", role="feature")).fit(value, y)
        for name, value in zip(names, values, strict=True)
    ]
    made = [part.to_onnx(builder, name) for part, name in zip(parts, names, strict=True)]
    words = np.array(["a", "b", "c", ""] * (ROWS // 4), object)
    category = OneHotCategory(Column(name="word", kind="category", role="feature"))
    made.insert(5, category.fit(words, y).to_onnx(builder, word))
    result = builder.node("Concat", made, axis=1)
    model = builder.model([(result, "out", FLOAT, ["n", None])])
    random = np.random.default_rng(4)
    feed = {"word": words[:, None]}
    for name, value in zip(names, values, strict=True):
        hard = random.choice(np.array(HARD, np.float32), ROWS)
        feed[name] = np.where(random.random(ROWS) < 0.3, hard, value)[:, None].astype(np.float32)
    return model.SerializeToString(deterministic=True), feed


def abreast(graph):
    """Return a graph whose columns are prepared together, and the matrices that it reads."""
    model = onnx.ModelProto.FromString(graph)
    matrices = joined(model.graph)
    return model.SerializeToString(deterministic=True), matrices


def every(graph, feed, matrices=()):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    gone = {name for matrix in matrices for name in matrix.columns}
    columns = {name: values.ravel() for name, values in feed.items()}
    feed = {name: values for name, values in feed.items() if name not in gone}
    feed |= {matrix.name: matrix.of(columns) for matrix in matrices}
    assert set(feed) == {one.name for one in session.get_inputs()}
    return session.run(None, feed)


def run(graph, feed, matrices=()):
    return every(graph, feed, matrices)[0]


def nodes(graph):
    return len(onnx.ModelProto.FromString(graph).graph.node)


@pytest.mark.parametrize("kind", [Number, ScaledNumber])
def test_the_same_numbers_come_of_fewer_nodes(kind):
    graph, feed = graph_of(kind)
    made, matrices = abreast(graph)
    onnx.checker.check_model(onnx.ModelProto.FromString(made))
    assert nodes(made) < nodes(graph) / 2
    assert (made, matrices) == abreast(graph)
    assert all(matrix.lying == (kind is ScaledNumber) for matrix in matrices)
    for rows in (1, ROWS):
        some = {name: values[:rows] for name, values in feed.items()}
        before, after = run(graph, some), run(made, some, matrices)
        np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
        # Broken lines are summed in float64 in another order before they become float32.
        np.testing.assert_allclose(after, before, rtol=2e-7, atol=1e-7)


def scores_of(values):
    """Return a graph of the normal scores of some columns, and these."""
    builder = GraphBuilder()
    names = [builder.input(f"x{place}", FLOAT) for place in range(len(values))]
    scores = [NormalScore().fit(one) for one in values]
    made = [one.to_onnx(builder, name) for one, name in zip(scores, names, strict=True)]
    model = builder.model([(builder.node("Concat", made, axis=1), "out", FLOAT, ["n", None])])
    return model.SerializeToString(deterministic=True), scores


def told(start, step, counts):
    """Return the operators that scores of columns are told by, which are as in numpy."""
    random = np.random.default_rng(5)
    values = [(start + step * random.choice(count, ROWS)).astype(np.float32) for count in counts]
    graph, scores = scores_of(values)
    made, matrices = abreast(graph)
    feed = {}
    for place, one in enumerate(values):
        hard = random.choice(np.array(HARD[1:], np.float32), ROWS)
        between = one + np.float32(step / 3) * random.normal(size=ROWS).astype(np.float32)
        feed[f"x{place}"] = np.where(random.random(ROWS) < 0.3, hard, between)[:, None]
    for rows in (1, ROWS):
        some = {name: values[:rows] for name, values in feed.items()}
        for found in (run(made, some, matrices), run(graph, some)):
            for place, score in enumerate(scores):
                expected = score(some[f"x{place}"][:, 0])
                np.testing.assert_allclose(found[:, place], expected, rtol=2e-7, atol=1e-7)
    return {node.op_type for node in onnx.ModelProto.FromString(made).graph.node}


@pytest.mark.parametrize(
    ("start", "step", "bent"),
    [
        (0, 1, True),
        (-1e-20, 1e-21, True),
        (2**20, 8, True),
        (1.7e9, 256, False),
        (0, 2.0**-60, True),
    ],
)
def test_broken_lines_are_told_by_their_bends(start, step, bent):
    operators = told(start, step, [300, 400])  # more values than knots, which are quantiles
    assert ("Max" in operators, "Clip" in operators) == (bent, not bent)
    assert "GatherElements" not in operators


@pytest.mark.parametrize(
    ("start", "step"), [(0, 1), (-7, 1), (2**20, 8), (1.7e9, 256), (0, 2.0**-60), (0.5, 0.25)]
)
def test_pieces_of_one_width_are_looked_up(start, step):
    operators = told(start, step, [5, 16, 30])
    assert "GatherElements" in operators
    assert "MatMul" not in operators


def test_nan_is_nan_where_it_is_looked_up():
    graph, _ = scores_of([np.arange(5, dtype=np.float32), np.arange(7, dtype=np.float32)])
    made, matrices = abreast(graph)
    feed = {name: np.full((3, 1), np.nan, np.float32) for name in ("x0", "x1")}
    feed["x0"][1] = 2
    found = run(made, feed, matrices)
    assert np.isnan(found).tolist() == [[True, True], [False, True], [True, True]]


def line(knots, widths, slopes):
    return Step((LINE,), None, (-1, *map(np.asarray, (knots, widths, slopes))), "made")


def test_lines_that_would_lose_too_much_are_told_by_their_pieces():
    knots, widths, slopes = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 0.5]), np.ones(3)
    assert _bent(line(knots, widths, slopes))
    assert _bent(line(knots + 1e6, widths, slopes))
    assert not _bent(line(knots + 1e7, widths, slopes))  # of 3.5, 5e-9 are lost among millions
    assert not _bent(line(knots, widths - np.array([0.0, 0.1, 0.0]), slopes))  # a gap
    assert not _bent(line(*(one.astype(np.float32) for one in (knots, widths, slopes))))
    assert not _bent(line(knots, widths, np.full(3, 1e308)))  # what it rises by overflows
    steep = np.array([1e304, -1e304, 5e303])  # what is summed overflows, and not the rise
    assert not _bent(line(knots[[0, 1, 1]] + [1e6, 1e6, 1e6 + 2], widths, steep))
    flat = np.zeros(3)
    assert _bent(line(knots, widths, flat))


def test_what_is_reached_before_a_piece_is_not_lost_in_its_rise():
    made = NormalScore()
    made.knots, made.scores = np.arange(4.0), np.array([0, 1, 1e20, 0.0])
    builder = GraphBuilder()
    names = [builder.input(name, FLOAT) for name in ("x0", "x1")]
    both = builder.node("Concat", [made.to_onnx(builder, name) for name in names], axis=1)
    graph = builder.model([(both, "out", FLOAT, ["n", None])]).SerializeToString()
    looked, matrices = abreast(graph)
    assert "GatherElements" in {
        node.op_type for node in onnx.ModelProto.FromString(looked).graph.node
    }
    feed = dict.fromkeys(("x0", "x1"), np.array([[1.0], [0.5]], np.float32))
    assert run(looked, feed, matrices).tolist() == [[1, 1], [0.5, 0.5]]


def test_done_once_there_is_nothing_left_to_do():
    made, matrices = abreast(graph_of(ScaledNumber)[0])
    assert matrices
    assert abreast(made) == (made, ())


def test_a_column_that_something_else_reads_is_left_there():
    builder = GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(3)]
    builder.reserve("out")
    shifted = [builder.node("Add", [x, builder.constant(k)]) for k, x in enumerate(names)]
    joined = builder.node("Concat", shifted, axis=1)
    result = builder.node("MatMul", [joined, builder.constant(np.ones((3, 1)))])
    result = builder.node("Mul", [result, shifted[0]])
    graph = builder.model([(result, "out", FLOAT, ["n", 1])]).SerializeToString()
    feed = {f"x{k}": np.array([[1.0 + k], [2.0]], np.float32) for k in range(3)}
    made, matrices = abreast(graph)
    assert [matrix.columns for matrix in matrices] == [("x1", "x2")]
    np.testing.assert_array_equal(run(made, feed, matrices), run(graph, feed))


def sets_beside_a_network(columns=14):
    """Return a graph where trees read sets of categories, and a network scaled numbers."""
    values, builder = table(columns), GraphBuilder()
    names = [builder.input(f"x{number}", FLOAT) for number in range(columns)]
    for name in ("trees", "network"):
        builder.reserve(name)
    features = []
    for kind in (Number, ScaledNumber):
        made = [
            kind(Column(name=name, kind="number", role="feature"))
            .fit(value, np.arange(ROWS) % 2)
            .to_onnx(builder, name)
            for name, value in zip(names, values, strict=True)
        ]
        features.append(builder.node("Concat", made, axis=1))
    sets = Sets(width=columns, places=(2, 4))
    for feature, words in ((0, [0b101]), (0, [0b10]), (1, [0b10])):
        sets.column(columns + feature, words)
    outputs = [sets.to_onnx(builder, features[0]), builder.node("Abs", [features[1]])]
    kinds = [(outputs[0], "trees", FLOAT, ["n", None]), (outputs[1], "network", FLOAT, ["n", None])]
    model = builder.model(kinds)
    return model.SerializeToString(), {f"x{k}": value[:, None] for k, value in enumerate(values)}


def test_columns_that_sets_of_categories_stand_behind_are_prepared_together():
    graph, feed = sets_beside_a_network()
    made, matrices = abreast(graph)
    assert any("x6" in matrix.columns for matrix in matrices)
    assert nodes(made) < 0.7 * nodes(graph)
    for before, after in zip(every(graph, feed), every(made, feed, matrices), strict=True):
        np.testing.assert_allclose(after, before, rtol=2e-7, atol=1e-7)


def test_sweep_takes_out_what_leads_nowhere():
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    builder.reserve("out")
    builder.node("Add", [x, builder.constant(2.0)])
    graph = builder.model([(builder.node("Abs", [x]), "out", FLOAT, ["n", 1])]).graph
    sweep(graph)
    assert [node.op_type for node in graph.node] == ["Abs", "Identity"]
    assert not graph.initializer
