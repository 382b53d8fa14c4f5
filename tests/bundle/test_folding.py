from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from raymm.bundle import folding
from raymm.bundle.folding import Folded, fold, unfold
from raymm.bundle.packed import Bundle
from raymm.errors import BundleError
from raymm.models import trees
from raymm.models.trees import Tree
from raymm.onnx_builder import FLOAT, GraphBuilder


def ensemble():
    random = np.random.default_rng(0)
    made = [
        Tree(
            feature=np.array([0, -1, -1]),
            threshold=np.array([random.normal(), 0, 0], np.float32),
            missing_left=np.array([True, False, False]),
            left=np.array([1, -1, -1]),
            right=np.array([2, -1, -1]),
            value=random.normal(size=(3, 1)).astype(np.float32),
        )
        for _ in range(20)
    ]
    return trees.join(made, np.zeros(1))


def graph(weights=None, count=1, **kinds):
    """Return a graph of trees and a product with weights."""
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    for _ in range(count):
        x = ensemble().to_onnx(builder, x)
    for value in (weights, *kinds.values()):
        if value is not None:
            constant = builder.constant(value, value.dtype)
            if value.dtype == np.float32:
                x = builder.node("MatMul", [x, constant])
    return builder.model([(x, "prediction", FLOAT, ["n", 1])]).SerializeToString(deterministic=True)


WEIGHTS = np.random.default_rng(0).normal(size=(1, 900)).astype(np.float32)


def test_trees_are_taken_out_and_put_back():
    whole = graph(count=2)
    folded = fold(whole)
    assert len(folded.trees) == 2
    assert not folded.planes
    assert sum(map(len, (folded.skeleton, *folded.trees))) < 0.3 * len(whole)
    assert unfold(folded) == whole
    model = onnx.ModelProto.FromString(folded.skeleton)
    assert all(not node.attribute for node in model.graph.node[:2])


def test_tensors_are_laid_in_planes_where_that_is_smaller():
    random = np.random.default_rng(1)
    half = random.normal(size=800).astype(np.float16)
    byte = np.round(random.normal(size=700) * 5).astype(np.int8)
    for kinds, lengths in (
        ({"half": half, "byte": byte}, [900] * 4 + [800] * 2 + [700]),
        ({"byte": byte}, [900] * 4 + [700]),
        ({}, [900] * 4),
    ):
        whole = graph(WEIGHTS, count=0, **kinds)
        folded = fold(whole)
        assert [len(plane) for plane in folded.planes] == lengths
        assert unfold(folded) == whole
    for same in (np.zeros((1, 900), np.float32), WEIGHTS[:, :9]):
        assert not fold(graph(same, count=0)).planes


def test_a_graph_with_both_comes_apart_into_both():
    whole = graph(WEIGHTS)
    folded = fold(whole)
    assert folded.trees
    assert folded.planes
    assert unfold(folded) == whole


@pytest.mark.parametrize("change", ["order", "mark", "default"])
def test_what_would_not_come_back_stays_whole(change):
    model = onnx.ModelProto.FromString(graph(WEIGHTS))
    node = model.graph.node[0]
    if change == "order":
        first, second = node.attribute[0], node.attribute[1]
        one, other = first.SerializeToString(), second.SerializeToString()
        first.ParseFromString(other)
        second.ParseFromString(one)
    elif change == "mark":
        node.doc_string = ""
    else:
        node.attribute.add(name="extra", type=onnx.AttributeProto.INT, i=1)
    whole = model.SerializeToString(deterministic=True)
    folded = fold(whole)
    assert not folded.trees
    assert folded.planes
    assert unfold(folded) == whole


@pytest.mark.parametrize("whole", [b"", b"\xff\xff", b"nonsense"])
def test_what_is_no_graph_stays_whole(whole):
    assert fold(whole) == Folded(skeleton=whole)
    assert unfold(Folded(skeleton=whole)) == whole


FOLDED = fold(graph(WEIGHTS))


@pytest.mark.parametrize(
    "folded",
    [
        replace(FOLDED, trees=()),
        replace(FOLDED, trees=FOLDED.trees * 2),
        replace(FOLDED, trees=(b"",)),
        replace(FOLDED, planes=FOLDED.planes[:3]),
        replace(FOLDED, planes=FOLDED.planes * 2),
        replace(FOLDED, planes=(b"", *FOLDED.planes[1:])),
        replace(FOLDED, planes=(*FOLDED.planes, b"1")),
        replace(FOLDED, planes=tuple(plane[:-1] for plane in FOLDED.planes)),
        replace(FOLDED, planes=tuple(plane * 2 for plane in FOLDED.planes)),
        replace(FOLDED, skeleton=b"\xff\xff"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(folded):
    with pytest.raises(BundleError, match="damaged"):
        unfold(folded)


@pytest.mark.parametrize("side", [-1, 2**62, 2**31])
def test_tensors_that_claim_more_than_there_is_are_an_error(side):
    model = onnx.ModelProto.FromString(FOLDED.skeleton)
    for tensor in model.graph.initializer:
        tensor.dims[:] = [side, side]
    with pytest.raises(BundleError, match="tensors"):
        unfold(replace(FOLDED, skeleton=model.SerializeToString()))


def test_a_graph_of_raymm_comes_apart():
    bundle = Bundle.from_bytes((Path(__file__).parent / "version_1.raymm").read_bytes())
    folded = fold(bundle.graph)
    assert len(folded.trees) == 1
    assert unfold(folded) == bundle.graph


def test_what_was_folded_for_its_size_is_proven_before_it_is_a_file(monkeypatch):
    data = graph()
    folding._known.clear()
    monkeypatch.setattr(folding, "unfold", lambda folded: b"something else")
    assert fold(data, proven=False).trees
    assert not fold(data).trees, "the graph is left whole"
    monkeypatch.setattr(folding, "_taken_apart", None)  # from now on it is known
    assert not fold(data).trees
    assert not fold(data, proven=False).trees
    folding._known.clear()


@pytest.mark.long
def test_few_graphs_are_remembered():
    folding._known.clear()
    for count in range(1, 2 + folding._REMEMBERED):
        fold(graph(count=count))
    assert len(folding._known) == folding._REMEMBERED
