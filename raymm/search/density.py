"""Densities over a mixed, conditional space: mixtures of product kernels.

Each point of a sample carries a kernel that is a product over the parameters: a normal density in
the unit coordinate, cut off at the ends of [0, 1], for a number (integrated over its cell for a
whole number), and Aitchison & Aitken's kernel for a choice. Where a parameter is not active in
the point, the kernel is flat in it.

Sources: Falkner, Klein & Hutter 2018, "BOHB", section 3.2 (the multivariate density); Li & Racine
2007, "Nonparametric econometrics", equations 1.9 and 4.4 (the product kernel); Aitchison & Aitken
1976, "Multivariate binary discrimination by the kernel method".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Int, Parameter, Space
from raymm.search import space as spaces

Array = npt.NDArray[np.float64]


class Density:
    """A mixture of product kernels, with a flat one of a small weight.

    Parameters
    ----------
    space : mapping of name to parameter
    points : float64, shape (n, d)
        Unit coordinates as of `raymm.search.space.unit`, NaN where inactive; n at least 1.
    narrowest : float
        Bandwidths of numbers are at least this times n^(-1/(4 + d)).
    prior : float
        Weight of the flat kernel, where a point's is 1; at least 0.
    """

    def __init__(
        self, space: Space, points: Array, *, narrowest: float = 1e-3, prior: float = 1.0
    ) -> None:
        self.space, self.points, self.prior = space, points, prior
        self._bandwidths = np.array(
            [
                bandwidth(parameter, points[:, column], len(space), narrowest)
                for column, parameter in enumerate(space.values())
            ]
        )

    def log(self, at: Array) -> Array:
        """Return the logarithm of the density at unit coordinates ``at``, shape (m, d) to (m,)."""
        kernels = np.zeros((len(at), len(self.points)))
        for column, parameter in enumerate(self.space.values()):
            width = float(self._bandwidths[column])
            # Coordinates of whole numbers and choices recur: each pair is worked out once.
            here, back = np.unique(at[:, column], return_inverse=True)
            there, forth = np.unique(self.points[:, column], return_inverse=True)
            kernels += _log_kernel(parameter, here, there, width)[np.ix_(back, forth)]
        top = kernels.max(axis=1)
        if self.prior > 0:
            top = np.maximum(top, 0.0)
        mass = np.exp(kernels - top[:, None]).sum(axis=1) + self.prior * np.exp(-top)
        found: Array = top + np.log(mass / (len(self.points) + self.prior))
        return found

    def draw(self, count: int, generator: np.random.Generator, *, widen: float = 1.0) -> Array:
        """Draw unit coordinates, shape (count, d), each of a configuration, NaN where inactive.

        ``widen`` multiplies the bandwidths of numbers. A parameter that is active in what is
        drawn, but not in the point whose kernel it comes from, is drawn evenly.
        """
        picked = (generator.random(count) * (len(self.points) + self.prior)).astype(int)
        flat = np.full((1, len(self.space)), np.nan)
        centres = np.concatenate([self.points, flat])[np.minimum(picked, len(self.points))]
        drawn = generator.random(centres.shape)
        for column, parameter in enumerate(self.space.values()):
            middles, width = centres[:, column], float(self._bandwidths[column])
            known = ~np.isnan(middles)
            if isinstance(parameter, Categorical):
                drawn[:, column] = _choice(parameter, middles, width, drawn[:, column])
            else:
                near = _near(middles[known], width * widen, drawn[known, column])
                drawn[known, column] = near
                drawn[:, column] = _snapped(parameter, drawn[:, column])
        return np.where(active(self.space, drawn), drawn, np.nan)


def active(space: Space, at: Array) -> npt.NDArray[np.bool_]:
    """Return which parameters are active at unit coordinates, shape (m, d) to (m, d).

    Coordinates of inactive choices may hold anything.
    """
    columns = {name: column for column, name in enumerate(space)}
    found = np.ones(at.shape, dtype=np.bool_)
    for name in spaces.order(space):
        for parent, values in space[name].when.items():
            known, column = space[parent], columns[parent]
            places = [spaces.place(known, value) for value in values]
            half = 0.5 / len(known.choices) if isinstance(known, Categorical) else 0.0
            held = (np.abs(at[:, [column]] - np.array(places)) < half).any(axis=1)
            found[:, columns[name]] &= found[:, column] & held
    return found


def bandwidth(parameter: Parameter, points: Array, dimension: int, narrowest: float) -> float:
    """Return the bandwidth of a parameter by the normal reference rule.

    1.06 · σ · n^(-1/(4 + d)) for a number (Li & Racine 2007, section 1.12); the chance that
    another choice is drawn, at most (c - 1) / c, for a choice.
    """
    known = points[~np.isnan(points)]
    shrink = float(max(1, len(known)) ** (-1.0 / (4 + dimension)))
    if isinstance(parameter, Categorical):
        count = len(parameter.choices)
        return (count - 1) / count * min(1.0, shrink)
    spread = float(np.std(known)) if len(known) > 1 else 0.25
    return max(narrowest * shrink, float(1.06 * spread * shrink))


def _log_kernel(parameter: Parameter, at: Array, points: Array, width: float) -> Array:
    """Return log kernels, shape (m, n), relative to the flat density of the parameter."""
    if isinstance(parameter, Categorical):
        count = len(parameter.choices)
        if count == 1:
            return np.zeros((len(at), len(points)))
        same = np.abs(at[:, None] - points[None, :]) < 0.5 / count
        found = np.log(np.where(same, (1.0 - width) * count, width / (count - 1) * count))
    elif parameter.low == parameter.high:
        return np.zeros((len(at), len(points)))
    elif isinstance(parameter, Int):
        found = _log_cell(parameter, at, points, width)
    else:
        z = (at[:, None] - points[None, :]) / width
        found = -0.5 * z**2 - math.log(width * math.sqrt(2 * math.pi)) - _log_inside(points, width)
    inactive = np.isnan(at)[:, None] | np.isnan(points)[None, :]
    return np.where(inactive, 0.0, found)


def _log_cell(parameter: Int, at: Array, points: Array, width: float) -> Array:
    """Return the log of the kernels' mean density over the cells of whole numbers."""
    from scipy.special import ndtr

    low, high = cell(parameter, at)
    mass = ndtr((high[:, None] - points) / width) - ndtr((low[:, None] - points) / width)
    found: Array = np.log(np.maximum(mass, 1e-300) / (high - low)[:, None])
    return found - _log_inside(points, width)


def _log_inside(points: Array, width: float) -> Array:
    """Return the log of each normal kernel's mass within [0, 1]."""
    from scipy.special import ndtr

    found: Array = np.log(ndtr((1.0 - points) / width) - ndtr(-points / width))
    return found


def cell(parameter: Int, at: Array) -> tuple[Array, Array]:
    """Return the ends of the cells of unit coordinates that `spaces.place` gives whole numbers."""
    low, high = parameter.low - 0.5, parameter.high + 0.5
    if not parameter.log:
        half = 0.5 / (high - low)
        return at - half, at + half
    start, whole = math.log(low), math.log(high / low)
    values = np.round(np.exp(start + at * whole))
    return (np.log(values - 0.5) - start) / whole, (np.log(values + 0.5) - start) / whole


def _snapped(parameter: Parameter, at: Array) -> Array:
    """Return the coordinates of the values that coordinates stand for."""
    if not isinstance(parameter, Int):
        return at
    low, whole = math.log(parameter.low - 0.5) if parameter.log else parameter.low - 0.5, 0.0
    whole = (math.log(parameter.high + 0.5) if parameter.log else parameter.high + 0.5) - low
    raw = low + at * whole
    values = np.floor((np.exp(raw) if parameter.log else raw) + 0.5)
    values = np.clip(values, parameter.low, parameter.high)
    found: Array = ((np.log(values) if parameter.log else values) - low) / whole
    return found


def _near(middles: Array, width: float, even: Array) -> Array:
    """Turn even draws into draws from normal densities cut off at 0 and 1, by inversion."""
    from scipy.special import ndtr, ndtri

    low, high = ndtr(-middles / width), ndtr((1.0 - middles) / width)
    found: Array = np.clip(middles + width * ndtri(low + (high - low) * even), 0.0, 1.0)
    return found


def _choice(parameter: Categorical, middles: Array, chance: float, even: Array) -> Array:
    """Turn even draws into the same choice, with ``chance`` into one of the others.

    Where there is no choice to stay with, each is drawn as often.
    """
    count = len(parameter.choices)
    index = np.where(np.isnan(middles), even, middles)
    index = np.minimum((index * count).astype(int), count - 1)
    moves = ~np.isnan(middles) & (even < chance)
    step = 1 + (even / max(chance, 1e-12) * (count - 1)).astype(int)
    found: Array = (np.where(moves, (index + step) % count, index) + 0.5) / count
    return found
