from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.errors import BundleError
from raymm.models import trees
from raymm.onnx_builder import FLOAT, GraphBuilder

THRESHOLDS = st.one_of(
    st.floats(width=32, allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.0, 1e-45, 3.4028234663852886e38, float("inf")]),
)


@st.composite
def ensembles(draw):
    """Trees grown at random over three columns, two outputs."""

    def tree():
        feature, threshold, missing, left, right = [-1], [0.0], [False], [-1], [-1]
        for _ in range(draw(st.integers(0, 5))):
            leaf = draw(st.sampled_from([i for i, f in enumerate(feature) if f < 0]))
            feature[leaf] = draw(st.integers(0, 2))
            threshold[leaf] = draw(THRESHOLDS)
            missing[leaf] = draw(st.booleans())
            left[leaf], right[leaf] = len(feature), len(feature) + 1
            for values, blank in ((feature, -1), (threshold, 0.0), (missing, False)):
                values.extend([blank, blank])
            left.extend([-1, -1])
            right.extend([-1, -1])
        size = (len(feature), 2)
        value = draw(st.lists(st.integers(-8, 8), min_size=2 * size[0], max_size=2 * size[0]))
        return trees.Tree(
            feature=np.array(feature),
            threshold=np.array(threshold, np.float32),
            missing_left=np.array(missing),
            left=np.array(left),
            right=np.array(right),
            value=np.array(value, np.float32).reshape(size),
            outputs=(0, 1),
        )

    count = draw(st.integers(1, 4))
    return trees.join(
        [tree() for _ in range(count)],
        [0.5, -2.0],
        strict=draw(st.booleans()),
        averaged=draw(st.booleans()),
    )


def around(thresholds):
    """The thresholds, their neighbours, and the ends of float32, in all three columns."""
    t = np.asarray(thresholds, np.float32)
    ends = np.array([np.nan, np.inf, -np.inf, 0, 1e-38, -1e-38], np.float32)
    with np.errstate(over="ignore"):
        near = [np.nextafter(t, np.float32(s)) for s in (-np.inf, np.inf)]
    values = np.concatenate([t, *near, ends])
    return np.stack([values, np.roll(values, 1), np.roll(values, 2)], axis=1).astype(np.float32)


def as_graph(ensemble):
    builder = GraphBuilder()
    columns = [builder.input(f"f{i}", FLOAT) for i in range(3)]
    out = ensemble.to_onnx(builder, builder.node("Concat", columns, axis=1))
    return builder.model([(out, "out", FLOAT, ["n", 2])])


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(ensembles())
def test_graph_takes_the_same_branches_as_the_reference(run, ensemble):
    x = around(ensemble.threshold)
    # Leaf values are whole numbers and the base a half: sums are exact in float32.
    assert np.array_equal(run(as_graph(ensemble).SerializeToString(), x), ensemble.margins(x))


@settings(max_examples=40, deadline=None)
@given(ensembles())
def test_node_reads_back_as_it_was_written(ensemble):
    model = as_graph(ensemble)
    node = next(n for n in model.graph.node if n.op_type == trees.OPERATOR)
    again = trees.TreeEnsemble.from_node(node)
    for name in trees.TreeEnsemble.__dataclass_fields__:
        if name == "strict" and not (ensemble.feature >= 0).any():
            continue  # without a comparison there is no rule to read
        assert np.array_equal(getattr(again, name), getattr(ensemble, name)), name
    assert again.to_node(node) == ensemble.to_node(node)


@settings(max_examples=40, deadline=None)
@given(ensembles(), st.data())
def test_first_trees_sum_alone_and_a_forest_keeps_its_weight(ensemble, data):
    kept = data.draw(st.integers(1, ensemble.rounds))
    x = around(ensemble.threshold)
    table = np.zeros((len(ensemble.feature), 2))
    table[ensemble.leaf, ensemble.output] = ensemble.value
    expected = table[ensemble.leaves(x)[:, :kept]].sum(axis=1)
    if ensemble.averaged:
        expected *= ensemble.rounds / kept
    # Rescaled leaves are rounded to float32 once each: relative 6e-8 of at most 4 * 8 * 4.
    assert np.allclose(ensemble.first(kept).margins(x), expected + ensemble.base, atol=1e-5)


@pytest.mark.parametrize("rounds", [0, 2])
def test_first_refuses_more_rounds_than_there_are(rounds):
    blank = np.array([-1])
    leaf = trees.Tree(
        feature=blank,
        threshold=np.zeros(1, np.float32),
        missing_left=np.array([False]),
        left=blank,
        right=blank,
        value=np.zeros((1, 1), np.float32),
    )
    with pytest.raises(ValueError, match="from 1 to 1"):
        trees.join([leaf], [0.0]).first(rounds)


@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False))
def test_rounding_down_moves_no_float32_across_the_threshold(threshold, x):
    down = trees.round_down(threshold)
    near = np.float32(down)
    with np.errstate(over="ignore"):
        values = [
            np.float32(x),
            near,
            *(np.nextafter(near, np.float32(s * np.inf)) for s in (1, -1)),
        ]
    for value in values:
        assert (float(value) <= threshold) == bool(value <= down)


def test_a_foreign_node_is_refused():
    node = onnx.helper.make_node(trees.OPERATOR, ["x"], ["y"], domain="ai.onnx.ml")
    with pytest.raises(BundleError, match="written by raymm"):
        trees.TreeEnsemble.from_node(node)
