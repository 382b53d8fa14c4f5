"""Which columns, units and weights of a network count least, and the network without them.

A column or unit counts by how much of the next layer's sums varies with it: its deviation times
the length of its outgoing weights. What the others can say of it by a linear map is handed over
to them (Luo, Wu & Lin 2017, "ThiNet", section 3.3), so that training starts from little loss. What
never varies goes into the bias of the next layer without any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.compression.network import Floats32, Layer, Network

FEWEST = 3
"""Columns and units that a layer keeps, whatever the share."""
RIDGE = 1e-4
"""Of the mean square of what is kept, added to the diagonal."""


def count(width: int, share: float) -> int:
    """Return how many of ``width`` columns or units a share is.

    >>> count(128, 0.25), count(8, 0.12), count(2, 0.5)
    (32, 3, 2)
    """
    return min(width, max(FEWEST, round(width * share)))


def fewer_columns(network: Network, share: float, x: Floats32) -> Network:
    """Return the network that reads a share of its columns; ``x`` has those it reads now."""
    first = network.layers[0]
    kept, layer = _handed_over(first, x, count(first.matrix.shape[0], share))
    if len(kept) == x.shape[1]:
        return network
    held = np.array(network.columns) if network.columns else np.arange(x.shape[1])
    columns = tuple(held[kept].tolist())
    return replace(network, layers=(layer, *network.layers[1:]), columns=columns)


def fewer_units(network: Network, number: int, share: float, x: Floats32) -> Network:
    """Return the network with a share of the units of its hidden layer ``number``, from 0."""
    here, following = network.layers[number : number + 2]
    width = here.matrix.shape[1]
    kept, layer = _handed_over(following, network.hidden(x)[number + 1], count(width, share))
    if len(kept) == width:
        return network
    layers = list(network.layers)
    layers[number] = Layer(
        matrix=np.ascontiguousarray(here.matrix[:, kept]), bias=here.bias[kept].copy()
    )
    layers[number + 1] = layer
    return replace(network, layers=tuple(layers))


def largest(matrix: Floats32, x: Floats32, share: float) -> npt.NDArray[np.bool_]:
    """Return where the weights stand that move sums most; ``x`` is what the layer reads."""
    moved = np.abs(matrix) * x.std(axis=0)[:, None]
    order = np.argsort(-moved.ravel(), kind="stable")
    mask = np.zeros(matrix.size, np.bool_)
    mask[order[: max(1, round(matrix.size * share))]] = True
    return mask.reshape(matrix.shape)


def _handed_over(layer: Layer, x: npt.NDArray[Any], most: int) -> tuple[npt.NDArray[Any], Layer]:
    """Return which of its inputs a layer keeps, at most so many, and the layer of those alone."""
    read, matrix = x.astype(np.float64), layer.matrix.astype(np.float64)
    mean = read.mean(axis=0)
    weight = read.std(axis=0) * np.linalg.norm(matrix, axis=1)
    order = np.argsort(-weight, kind="stable")
    kept, gone = np.sort(order[:most]), np.sort(order[most:])
    if not len(gone):
        return kept, layer
    centred = read[:, kept] - mean[kept]
    square = centred.T @ centred
    square += (RIDGE * np.trace(square) / most + 1e-12) * np.eye(most)
    said = np.linalg.solve(square, centred.T @ (read[:, gone] - mean[gone]))
    bias = layer.bias + (mean[gone] - mean[kept] @ said) @ matrix[gone]
    return kept, Layer(
        matrix=(matrix[kept] + said @ matrix[gone]).astype(np.float32),
        bias=bias.astype(np.float32),
    )
