from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from raymm.bundle.parity import adversarial
from raymm.compression import agreement, quantize_network
from raymm.compression.agreement import require_agreement
from raymm.compression.compressor import Rows
from raymm.compression.network import Layer, Network
from raymm.errors import ParityError


@pytest.fixture
def hard(dataset):
    def make(data):
        generator = np.random.default_rng(0)
        return adversarial(data.rows(data.train), data.schema, generator=generator, count=300)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("family", ["lightgbm", "forest", "linear", "mlp"])
def test_graphs_of_ours_agree_on_hard_rows(dataset, trained, hard, task, family):
    data = dataset(task)
    assert 0 < require_agreement(trained(data, family, 20)[0], hard(data)) <= 1


@pytest.fixture
def quantized(dataset, trained, monkeypatch):
    """Return a network in a form of ``quantize_network``, and its data."""
    monkeypatch.setattr(quantize_network, "SMALLEST", 8)

    def make(recipe):
        data = dataset("multiclass")
        rows = Rows(tensors=data.rows(data.train), y=data.y[data.train], metric=None)
        bundle = trained(data, "mlp", 20)[0]
        return quantize_network.QuantizeNetwork().apply(bundle, recipe, rows), data

    return make


RECIPES = [{"bits": 16}, {"bits": 8, "range": "rows"}, {"bits": 8, "range": "batch"}, {"bits": 5}]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_networks_of_smaller_numbers_agree(quantized, hard, recipe):
    made, data = quantized(recipe)
    worst = require_agreement(made, hard(data))
    assert 0 <= worst <= 1
    if recipe["bits"] == 16:
        assert worst > 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES[:2], ids=str)
def test_a_network_that_adds_up_otherwise_is_refused(quantized, hard, monkeypatch, recipe):
    made, data = quantized(recipe)
    read = agreement.tapped
    operators = {"Gemm", "MatMul", "Add", "MatMulInteger"}
    model = onnx.ModelProto.FromString(made.graph)
    results = {node.output[0] for node in model.graph.node if node.op_type in operators}

    def moved(bundle, name, tensors):
        found = read(bundle, name, tensors)
        return found * np.float32(1.001) + np.float32(0.9) if name in results else found

    monkeypatch.setattr(agreement, "tapped", moved)
    with pytest.raises(ParityError, match="networks must add up"):
        require_agreement(made, hard(data))


def test_a_step_beside_a_threshold_is_told(dataset, trained, hard, monkeypatch):
    """The graph compares by "less than" where the reference takes "at most"."""
    data = dataset("regression")
    bundle, _ = trained(data, "lightgbm", 20)
    answered = agreement.answered
    monkeypatch.setattr(
        agreement, "answered", lambda trees, x: answered(replace(trees, strict=not trees.strict), x)
    )
    with pytest.raises(ParityError, match="trees must add up"):
        require_agreement(bundle, hard(data))


def test_a_graph_that_takes_a_wrong_branch_is_refused(dataset, trained, hard, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data)
    tensors = hard(data)
    read = agreement.tapped

    features = agreement.tree_nodes(bundle)[1][0].input[0]

    def moved(bundle, name, tensors):
        """The features of one row are other ones for the reference alone."""
        found = read(bundle, name, tensors)
        if name == features:
            found[5] += 1
        return found

    monkeypatch.setattr(agreement, "tapped", moved)
    with pytest.raises(ParityError, match="must add up"):
        require_agreement(bundle, tensors)


def test_margins_that_are_not_finite_are_refused(dataset, trained, hard, monkeypatch):
    data = dataset("binary")
    bundle, _ = trained(data)
    read = agreement.tapped
    monkeypatch.setattr(agreement, "tapped", lambda *given: read(*given) * np.float32(np.nan))
    with pytest.raises(ParityError):
        require_agreement(bundle, hard(data))


@pytest.mark.parametrize("activation", ["Relu", "Tanh"])
def test_rows_whose_sums_are_beyond_any_number_are_left_out_in_silence(activation):
    """Infinity taken off infinity, and times nothing, warns of itself in numpy."""
    random = np.random.default_rng(0)
    layers = [
        Layer(matrix=random.normal(size=sides).astype(np.float32), bias=np.zeros(sides[1], "f4"))
        for sides in ((3, 4), (4, 2))
    ]
    layers[1].matrix[0] = 0
    network = Network(layers=tuple(layers), activations=(activation,), source="x", result="y")
    x = np.array([[1, 2, 3], [np.inf, np.inf, 1], [1e308, 1e308, -1e308], [np.nan, 1, 1]])
    found = network.hidden(x[:1])[-1]

    def answers(bundle, name, tensors):
        return x if name == "x" else np.vstack([found, np.full((3, 2), np.nan)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "tapped", answers)
        assert 0 <= agreement._network_apart(None, network, {}) <= 1
