"""Which columns, units and weights of a network count least, and the network without them.

One column or unit after another goes: the one without which the next layer's sums change least
once the others have taken over what they can say of it by a linear map (Hassibi & Stork 1993,
"Second order derivatives for network pruning: optimal brain surgeon", equations 5 and 6, with
squared sums as the error). So of two that say the same one goes at no loss, and what never varies
goes into the bias.
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
"""Of the mean variance, added to the diagonal of the covariances."""
MOST_ONE_BY_ONE = 1024
"""Of more columns those go first that vary least, times the length of their weights: to weigh one
after another takes seconds from there on."""
MOST_SOLVED = 4096
"""Of more that are kept, none takes over what others said: the equations would take minutes."""


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
    width = len(layer.matrix)
    if width <= most:
        return np.arange(width), layer
    mean = x.mean(axis=0, dtype=np.float64)
    matrix = layer.matrix.astype(np.float64)
    kept = np.arange(width)
    if width > MOST_ONE_BY_ONE:
        weight = x.std(axis=0, dtype=np.float64) * np.linalg.norm(matrix, axis=1)
        order = np.argsort(-weight, kind="stable")
        kept = np.sort(order[: max(most, MOST_ONE_BY_ONE)])
    if len(kept) > MOST_SOLVED:
        gone = np.setdiff1d(np.arange(width), kept)
        bias = layer.bias + mean[gone] @ matrix[gone]
        return kept, Layer(matrix=layer.matrix[kept], bias=bias.astype(np.float32))
    centred = x - mean
    square = _covariance(centred, kept)
    inverse = np.linalg.inv(_ridged(square[:, kept]))
    left = matrix[kept]
    while len(kept) > most:
        cost = (left * left).sum(axis=1) / np.diag(inverse)
        last = int(np.argmin(cost))
        share = inverse[last] / inverse[last, last]
        left -= share[:, None] * left[last]
        inverse -= share[:, None] * inverse[last]
        rest = np.arange(len(kept)) != last
        kept, left, inverse = kept[rest], left[rest], inverse[np.ix_(rest, rest)]
    return kept, _fitted(layer, _covariance(centred, kept), mean, kept)


def _covariance(
    centred: npt.NDArray[np.float64], kept: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """Return those of some columns with all, shape (kept, columns)."""
    return np.asarray(centred[:, kept].T @ centred / len(centred))


def _fitted(
    layer: Layer,
    square: npt.NDArray[np.float64],
    mean: npt.NDArray[np.float64],
    kept: npt.NDArray[Any],
) -> Layer:
    """Return the layer of some inputs whose sums are nearest to those of all."""
    matrix = layer.matrix.astype(np.float64)
    gone = np.setdiff1d(np.arange(len(matrix)), kept)
    said = np.linalg.solve(_ridged(square[:, kept]), square[:, gone])
    bias = layer.bias + (mean[gone] - mean[kept] @ said) @ matrix[gone]
    return Layer(
        matrix=(matrix[kept] + said @ matrix[gone]).astype(np.float32),
        bias=bias.astype(np.float32),
    )


def _ridged(square: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ridge = RIDGE * float(np.trace(square)) / len(square) + 1e-12
    return np.asarray(square + ridge * np.eye(len(square)))
