from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from raymm.models.heads import Head
from raymm.onnx_builder import FLOAT, GraphBuilder


def as_graph(head, width):
    builder = GraphBuilder()
    columns = [builder.input(f"f{i}", FLOAT) for i in range(width)]
    out = head.to_onnx(builder, builder.node("Concat", columns, axis=1))
    return builder.model([(out, "out", FLOAT, ["n", "k"])]).SerializeToString()


RAW = st.lists(st.floats(-300, 300, width=32), min_size=3, max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(RAW, min_size=1, max_size=6))
def test_probabilities_equal_scipy_and_the_graph(run, rows):
    raw = np.array(rows, np.float32)
    many = Head(task="multiclass", classes=3)
    assert np.allclose(many.predict(raw), softmax(raw.astype(np.float64), axis=1), atol=1e-12)
    two = Head(task="binary", classes=2)
    p = expit(raw[:, :1].astype(np.float64))
    assert np.allclose(two.predict(raw[:, :1]), np.hstack([1 - p, p]), atol=1e-12)
    # float32 exponentials: a relative error of a few 6e-8, at most 1 in size.
    assert np.allclose(run(as_graph(many, 3), raw), many.predict(raw), atol=1e-6)
    assert np.allclose(run(as_graph(two, 1), raw[:, :1]), two.predict(raw[:, :1]), atol=1e-6)


def test_regression_undoes_what_the_target_went_through(run, fitting):
    y = np.array([1000.0, 1010.0, 1100.0])
    head = Head.fit(fitting("regression"), y)
    standard = head.target(y)
    assert standard.mean() == pytest.approx(0, abs=1e-12)
    assert standard.std() == pytest.approx(1)
    assert np.allclose(head.predict(standard[:, None]), y, rtol=1e-12)
    # Two float32 roundings of numbers near 1,000: relative 2 * 6e-8.
    out = run(as_graph(head, 1), standard[:, None].astype(np.float32))
    assert np.allclose(out[:, 0], y, rtol=2e-7)


def test_a_constant_target_is_predicted_as_it_is(fitting):
    head = Head.fit(fitting("regression"), np.full(4, 7.0))
    assert np.array_equal(head.predict(head.target(np.full(4, 7.0))[:, None]), np.full(4, 7.0))
