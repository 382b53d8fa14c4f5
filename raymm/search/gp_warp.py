"""Output warping: brings losses onto a scale on which a Gaussian process can describe them.

The scales are the losses themselves and the logarithm of their height above the lowest one plus
an offset, the two-parameter transformation of Box & Cox 1964 (eq. 2) at λ = 1 and λ = 0. Which
one holds is decided by the likelihood, densities on the warped scale being carried back by the
Jacobian (Box & Cox 1964, eq. 8; Snelson, Rasmussen & Ghahramani 2004, eq. 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

OFFSETS: tuple[float, ...] = (math.inf, 1.0, 0.1, 0.01)
"""Offsets of the logarithm, in multiples of the median's height above the lowest loss; infinity
is no logarithm at all."""

FENCE = 3.0
"""Warped losses further above the upper quartile than this many quartile ranges are brought there
(Tukey 1977's far out values): how bad they are tells nothing of where the best is."""

FURTHEST = 1e100
"""Heights beyond, in the median's, are taken for this one: their squares would overflow."""


def warp(losses: Vector, offset: float) -> tuple[Vector, float]:
    """Return losses on a standard scale, in the same order, and the log of the Jacobian.

    Parameters
    ----------
    losses : float64, shape (n,)
        Finite.
    offset : float
        One of `OFFSETS`.

    Returns
    -------
    float64, shape (n,)
        Of mean 0 and variance 1, or all 0 where the losses do not differ.
    float
        Σ log |dz/dy|, up to a constant that is the same for every offset.
    """
    top = float(np.abs(losses).max(initial=0.0))
    if top == 0.0:
        return np.zeros_like(losses), 0.0
    height = losses / top  # differences of the largest floats would overflow
    height = height - height.min()
    scale = float(np.median(height)) or float(height.mean())
    if scale <= 0.0:
        return np.zeros_like(losses), 0.0
    with np.errstate(over="ignore"):
        height = np.minimum(height / scale, FURTHEST)
    jacobian = 0.0
    if math.isfinite(offset):
        height = np.log(height + offset)
        jacobian = -float(height.sum())
    low, high = np.quantile(height, (0.25, 0.75))
    if high > low:
        height = np.minimum(height, high + FENCE * (high - low))
    height = height - height.mean()
    deviation = float(height.std())
    if deviation <= 1e-12:
        return np.zeros_like(losses), 0.0
    return height / deviation, jacobian - len(losses) * math.log(deviation)


def choose(losses: Vector, likelihood: Callable[[Vector], float]) -> float:
    """Return the offset under which the losses are likeliest.

    ``likelihood`` gives the log density of warped losses, shape (n,).
    """
    scores = []
    for offset in OFFSETS:
        warped, jacobian = warp(losses, offset)
        scores.append(likelihood(warped) + jacobian)
    return OFFSETS[int(np.argmax(scores))]


def ranked(keys: Sequence[tuple[float, ...]]) -> Vector:
    """Return the normal scores of ranks, shape (n,), where keys are sorted lowest first.

    Equal keys share their mean rank. Source: Blom 1958, Φ⁻¹((i - 3/8) / (n + 1/4)).
    """
    from scipy.special import ndtri

    order = sorted(range(len(keys)), key=lambda at: keys[at])
    ranks = np.empty(len(keys))
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and keys[order[end]] == keys[order[start]]:
            end += 1
        ranks[order[start:end]] = 0.5 * (start + end - 1) + 1.0
        start = end
    return np.asarray(ndtri((ranks - 0.375) / (len(keys) + 0.25)), dtype=np.float64)
