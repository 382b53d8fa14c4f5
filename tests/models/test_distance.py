from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from raymm.models import distance
from raymm.models.family import Matrix
from raymm.onnx_builder import FLOAT, GraphBuilder


def points(rows, *, seed=0, shift=0.0):
    random = np.random.default_rng(seed)
    return (shift + random.normal(size=(rows, 4))).astype(np.float32)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_distances_are_those_of_scipy(shift):
    x, kept = points(30, shift=shift), points(20, seed=1, shift=shift)
    ours = distance.squared(x, kept)
    # Squared lengths are 4 shift² at most, and a handful of roundings of 1.1e-16 are made of each.
    assert np.allclose(
        ours, cdist(x, kept, "sqeuclidean"), rtol=1e-12, atol=1e-14 + 4e-15 * shift**2
    )


def test_a_point_is_no_less_than_nothing_away_from_itself():
    kept = points(200, shift=1000.0)
    own = np.diag(distance.squared(kept, kept))
    assert (own >= 0).all()
    assert own.max() < 1e-8


def test_the_graph_computes_the_same():
    x, kept = points(30, shift=5.0), points(20, seed=1, shift=5.0)
    builder = GraphBuilder()
    columns = [builder.input(f"f{i}", FLOAT) for i in range(4)]
    wide = builder.node("Cast", [builder.node("Concat", columns, axis=1)], to=distance.DOUBLE)
    out = distance.to_onnx(builder, wide, kept)
    data = builder.model([(out, "out", distance.DOUBLE, ["n", "m"])]).SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    feed = {f"f{i}": np.ascontiguousarray(x[:, i : i + 1]) for i in range(4)}
    # Squared lengths are near 100: roundings of 1e-14.
    assert np.allclose(session.run(None, feed)[0], distance.squared(x, kept), rtol=0, atol=1e-12)


@given(st.integers(0, 10**9))
def test_chunks_bound_the_distances_at_a_time(count):
    rows = distance.chunk(count)
    assert rows >= 1
    assert rows == 1 or rows * count <= distance.CELLS


def table(rows, width=3, classes=3):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, width)).astype(np.float32)
    y = np.zeros(rows, np.int64)
    y[:classes] = np.arange(classes)
    return Matrix(x=x, y=random.permutation(y), names=tuple(f"f{i}" for i in range(width)))


def test_few_rows_are_all_kept(fitting):
    train = table(40)
    x, y = distance.drawn(train, fitting("multiclass"))
    assert x is train.x
    assert y is train.y


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_of_many_rows_a_sample_is_kept_in_their_order(fitting, monkeypatch, task):
    monkeypatch.setattr(distance, "POINTS", 20)
    train = table(200)
    train = Matrix(x=np.arange(200, dtype="f4")[:, None], y=train.y, names=("f0",))
    x, y = distance.drawn(train, fitting(task))
    assert len(x) == len(y) == 20
    assert (np.diff(x[:, 0]) > 0).all()
    assert np.array_equal(y, train.y[x[:, 0].astype(int)])
    again, other = (distance.drawn(train, fitting(task, seed=seed))[0] for seed in (3, 4))
    assert np.array_equal(x, again)
    assert not np.array_equal(x, other)


def test_every_class_keeps_a_row(fitting, monkeypatch):
    monkeypatch.setattr(distance, "POINTS", 5)
    # Drawn by chance alone, the two rare rows of 500 would both be kept once in 10,000 seeds.
    for seed in range(5):
        kept = distance.drawn(table(500), fitting("multiclass", seed=seed))[1]
        assert set(kept) == {0, 1, 2}
    monkeypatch.setattr(distance, "POINTS", 2)
    assert len(distance.drawn(table(500), fitting("multiclass"))[1]) == 2


def test_wide_rows_are_fewer(fitting, monkeypatch):
    monkeypatch.setattr(distance, "POINT_CELLS", 100)
    assert distance.drawn(table(90, width=10), fitting("multiclass"))[0].shape == (10, 10)
    assert distance.drawn(table(90, width=300), fitting("multiclass"))[0].shape == (1, 300)
