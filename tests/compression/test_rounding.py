"""Rounded matrices keep sums over rows better than the nearest values do."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.compression import rounding
from raymm.compression.network import Layer, Network
from raymm.compression.rounding import rounded
from raymm.features.digits import shortened


@pytest.fixture
def case():
    """Return a network, and rows whose columns go together."""
    random = np.random.default_rng(0)
    x = (random.normal(size=(500, 6)) @ random.normal(size=(6, 20)) + 3).astype(np.float32)
    layers = tuple(
        Layer(
            matrix=random.normal(size=shape).astype(np.float32),
            bias=random.normal(size=shape[1]).astype(np.float32),
        )
        for shape in ((20, 16), (16, 4))
    )
    return Network(layers=layers, activations=("Relu",), source="x", result="y"), x


def error(network, other, x):
    return float(np.square(network.hidden(x)[-1] - other.hidden(x)[-1]).mean())


def test_scales_and_biases_have_few_digits(case):
    network, x = case
    made, matrices = rounded(network, x, 6)
    for values in (*(one.scales for one in matrices), *(one.bias for one in made.layers)):
        np.testing.assert_array_equal(shortened(values, rounding.DIGITS), values)


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_numbers_are_whole_and_of_so_many_bits(case, bits):
    network, x = case
    made, matrices = rounded(network, x, bits)
    for layer, whole in zip(made.layers, matrices, strict=True):
        assert whole.numbers.dtype == np.int8
        assert np.abs(whole.numbers.astype(int)).max() <= 2 ** (bits - 1) - 1
        np.testing.assert_array_equal(layer.matrix, whole.numbers * whole.scales)


def test_sums_stay_nearer_than_with_the_nearest_values(case, monkeypatch):
    network, x = case
    shared = rounded(network, x, 5)[0]
    monkeypatch.setattr(rounding, "MOST_SOLVED", 1)
    nearest = rounded(network, x, 5)[0]
    assert error(network, shared, x) < error(network, nearest, x) / 3
    assert error(network, rounded(network, x, 8)[0], x) < error(network, nearest, x)


def test_what_never_varies_and_weights_of_zero_do_no_harm(case):
    network, x = case
    x[:, 3] = 7
    network.layers[0].matrix[:, 2] = 0
    made, matrices = rounded(network, x[:1], 6)
    assert all(np.isfinite(layer.bias).all() for layer in made.layers)
    assert not matrices[0].numbers[:, 2].any()
    assert error(network, rounded(network, x, 8)[0], x) < 0.1
