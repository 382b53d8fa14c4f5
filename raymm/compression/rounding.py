"""Matrices in few bits: what rounding takes from one row of weights, the rows after it give back.

Rows are rounded one after another, and the others change so that sums over the rows of a table stay
as near as they can. Sources: Hassibi & Stork 1993, "Second order derivatives for network pruning:
optimal brain surgeon", equation 5; Frantar et al. 2023, "GPTQ: accurate post-training quantization
for generative pre-trained transformers", section 3. On letter 6 bits cost as much by nearest values
as 5 bits do so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.compression.network import Floats32, Layer, Network, activated
from raymm.features.digits import shortened

DIGITS = 10
"""Significant binary digits of scales and biases."""
RIDGE = 1e-3
"""Of the mean variance, added to the diagonal of the covariances."""
MOST_SOLVED = 2048
"""Inputs beyond which values are rounded to the nearest: the equations would take many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A matrix of whole numbers: int8 (inputs, outputs), and a float32 scale for each output."""

    numbers: npt.NDArray[np.int8]
    scales: Floats32


def rounded(network: Network, x: Floats32, bits: int) -> tuple[Network, tuple[Whole, ...]]:
    """Return a network of rounded matrices, and these as whole numbers.

    Parameters
    ----------
    network : Network
    x : float32, shape (n, inputs)
        Rows that sums are to stay near on, at least one.
    bits : int
        From 2 to 8, the sign among them.

    Returns
    -------
    Network, tuple of Whole
        A matrix of the network is ``numbers * scales``; biases make up for what is lost on average.
    """
    layers, held = list[Layer](), list[Whole]()
    read: npt.NDArray[Any] = x
    for number, layer in enumerate(network.layers):
        made = _whole(layer.matrix, read, 2 ** (bits - 1) - 1)
        matrix = made.numbers * made.scales
        lost = read.mean(axis=0, dtype=np.float64) @ (layer.matrix.astype(np.float64) - matrix)
        layers.append(Layer(matrix=matrix, bias=shortened(layer.bias + lost, DIGITS)))
        held.append(made)
        read = read @ matrix + layers[-1].bias
        if number < len(network.activations):
            read = activated(read, network.activations[number])
    return replace(network, layers=tuple(layers)), tuple(held)


def _whole(matrix: Floats32, x: npt.NDArray[Any], top: int) -> Whole:
    scales = shortened(np.abs(matrix).max(axis=0) / top, DIGITS)
    scales[scales == 0] = 1
    left = matrix / scales.astype(np.float64)
    if len(matrix) > MOST_SOLVED:
        return Whole(numbers=_nearest(left, top), scales=scales)
    centred = x - x.mean(axis=0, dtype=np.float64)
    square = centred.T @ centred / len(x)
    ridge = RIDGE * float(np.trace(square)) / len(square) + 1e-12
    order = np.argsort(-np.diag(square), kind="stable")
    square = (square + ridge * np.eye(len(square)))[np.ix_(order, order)]
    # Row k of this triangle says how what is lost of input k is shared among those after it.
    shares = np.linalg.cholesky(np.linalg.inv(square)).T
    left, numbers = left[order], np.empty(matrix.shape, np.int8)
    for place, row in enumerate(order):
        numbers[row] = _nearest(left[place], top)
        lost = (left[place] - numbers[row]) / shares[place, place]
        left[place + 1 :] -= shares[place, place + 1 :, None] * lost
    return Whole(numbers=numbers, scales=scales)


def _nearest(values: npt.NDArray[np.float64], top: int) -> npt.NDArray[np.int8]:
    return np.clip(np.rint(values), -top, top).astype(np.int8)
