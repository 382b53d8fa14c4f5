from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.quantize_columns import BITS, QuantizeColumns, _Held, shortened_line
from raymm.errors import BundleError
from raymm.onnx_builder import FLOAT, GraphBuilder

TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def case(dataset, trained):
    known = {}

    def make(task, family="linear"):
        if (task, family) not in known:
            data = dataset(task)
            known[task, family] = data, trained(data, family, rounds=1)[0]
        return known[task, family]

    return make


@pytest.mark.parametrize("task", TASKS)
def test_files_shrink_and_predictions_hardly_move(case, task):
    data, bundle = case(task)
    tensors = data.rows(data.test)
    before = Runner(bundle).predict(tensors)
    scale = np.std(before) if task == "regression" else 1.0
    sizes = [len(bundle.to_bytes(proven=False))]
    for bits, away in ((11, 0.004), (7, 0.04), (4, 0.25)):
        small = QuantizeColumns().apply(bundle, {"bits": bits}, None)
        assert small.graph == QuantizeColumns().apply(bundle, {"bits": bits}, None).graph
        read = Bundle.from_bytes(small.to_bytes())
        assert np.abs(before - Runner(read).predict(tensors)).max() < away * scale
        sizes.append(len(small.to_bytes(proven=False)))
    assert sizes[0] > 1.5 * sizes[1]
    assert sizes == sorted(sizes, reverse=True)


def test_missing_and_far_values_are_answered_as_before(case):
    data, bundle = case("binary")
    tensors = {name: np.array([np.nan, 1e30, -1e30, 0.1], np.float32) for name in data.tensors}
    small = QuantizeColumns().apply(bundle, {"bits": 10}, None)
    away = Runner(bundle).predict(tensors) - Runner(small).predict(tensors)
    assert np.abs(away).max() < 0.01


def test_nodes_stay_so_that_they_are_read_as_fast(case):
    _, bundle = case("multiclass")
    small = QuantizeColumns().apply(bundle, {"bits": 6}, None)
    kinds = [
        [node.op_type for node in onnx.ModelProto.FromString(one.graph).graph.node]
        for one in (bundle, small)
    ]
    assert kinds[0] == kinds[1]


def test_recipes_fall_and_are_for_what_has_such_numbers(case):
    bits = [one["bits"] for one in QuantizeColumns().recipes(case("binary")[1], None)]
    assert bits == sorted(bits, reverse=True) == list(BITS)
    assert [QuantizeColumns().bounded_moves({"bits": bits}) for bits in (11, 7, 6, 4)] == [
        True, True, False, False,
    ]  # fmt: skip
    trees = case("binary", "lightgbm")[1]
    assert QuantizeColumns().recipes(trees, None) == ()
    with pytest.raises(BundleError, match="for a linear model or a network"):
        QuantizeColumns().apply(trees, {"bits": 8}, None)
    for wrong in ({}, {"bits": 3}, {"bits": 12}):
        with pytest.raises(BundleError, match="4 to 11 bits"):
            QuantizeColumns().apply(case("binary")[1], wrong, None)


def line(knots, wide, slope, first, x):
    return first + np.clip(x[:, None] - knots, 0, wide) @ slope


@given(
    st.lists(st.integers(1, 10**6), min_size=2, max_size=40),
    st.integers(-(10**6), 10**6),
    st.sampled_from(BITS),
    st.integers(0, 5),
)
def test_a_shorter_line_is_nowhere_farther_away_than_a_step(gaps, start, bits, digits):
    ends = ((start + np.cumsum([0, *gaps])) / 10.0**digits).astype(np.float32).astype(np.float64)
    ends = np.unique(ends)
    if len(ends) < 3:
        return
    random = np.random.default_rng(len(ends))
    values = np.sort(random.normal(size=len(ends)))
    wide = np.diff(ends)
    given_ = ends[:-1], wide, np.diff(values) / wide, float(values[0])
    made = shortened_line(*given_, bits)
    if made is None:
        return
    assert 2 <= len(made[0]) <= max(2, len(ends) - 1)
    x = np.concatenate([ends, random.uniform(ends[0] - 1, ends[-1] + 1, 200), made[0]])
    away = line(*made[:3], float(made[3][0]), x) - line(*given_, x)
    assert np.abs(away).max() <= 1.001 * 2.0**-bits


def test_lines_whose_pieces_do_not_join_stay():
    knots, wide, slope = np.array([0.0, 2.0]), np.array([1.0, 1.0]), np.array([1.0, 1.0])
    assert shortened_line(knots, wide, slope, 0.0, 8) is None
    assert shortened_line(np.array([0.0, 1.0]), wide, slope * np.nan, 0.0, 8) is None
    assert shortened_line(np.array([0.0, 1.0]), -wide, slope, 0.0, 8) is None


def scaled(follow):
    """Return what is held of a graph that subtracts from a column, and the difference's place."""
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    lower = builder.node("Sub", [x, builder.constant(0.01234567)])
    made = follow(builder, lower)
    whole = builder.node("Concat", [made, made], axis=1)
    weights = [builder.constant(np.ones((2, 1))), builder.constant(np.zeros(1))]
    raw = builder.node("Gemm", [whole, *weights])
    model = builder.model([(raw, "prediction", FLOAT, ["n", 1])])
    held = _Held(model)
    held.shorten(4)
    (node,) = [one for one in model.graph.node if one.op_type == "Sub"]
    (value,) = [one for one in model.graph.initializer if one.name == node.input[1]]
    return abs(float(numpy_helper.to_array(value).reshape(())) - 0.01234567)


def squashed(builder, z):
    size = builder.node("Add", [builder.node("Abs", [z]), builder.constant(1.0)])
    z = builder.node("Mul", [builder.node("Sign", [z]), builder.node("Log", [size])])
    return builder.node("Mul", [z, builder.constant(100.0)])


def test_what_is_subtracted_moves_less_where_more_becomes_of_it():
    assert 1e-3 < scaled(lambda _, x: x) <= 2**-5
    assert 0 < scaled(squashed) <= 2**-5 / 100
    assert scaled(lambda b, x: b.node("Mul", [x, b.constant(1000.0)])) <= 2**-5 / 1000
    assert scaled(lambda b, x: b.node("Div", [x, b.constant(1e-6)])) < 1e-9
    assert scaled(lambda b, x: b.node("Cast", [b.node("Cast", [x], to=7)], to=FLOAT)) < 1e-9
