"""The points of a space on a grid, and how many configurations a finite space has.

Neither recurs: spaces of thousands of parameters, and conditions as deep, are walked as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from raymm.artifacts import Categorical, Config, Float, Int, Parameter, Scalar, Space
from raymm.search.space import is_active, order, value_at

_INACTIVE = object()


def grid(space: Space, resolution: int) -> Iterator[Config]:
    """Yield every point of a grid once, the last parameters varying fastest.

    Parameters
    ----------
    resolution : int
        Values of a number, evenly spaced on its scale with both ends; 1 is its middle. A whole
        number has no more than there are; a choice has all of its own.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, but got {resolution}")
    return ({n: at[n] for n in space if n in at} for at in _points(space, resolution))


def size(space: Space, limit: int) -> int | None:
    """Return how many configurations there are; None where there are more than ``limit``."""
    widest = 1
    for parameter in space.values():
        if isinstance(parameter, Float) and parameter.low < parameter.high:
            return None
        if isinstance(parameter, Int):
            widest = max(widest, parameter.high - parameter.low + 1)
    if widest > limit:
        return None
    # What is always active multiplies, whatever else there is.
    if math.prod(len(_values(p, widest)) for p in space.values() if not p.when) > limit:
        return None
    count = sum(1 for _ in islice(_points(space, widest), limit + 1))
    return count if count <= limit else None


def _points(space: Space, resolution: int) -> Iterator[Mapping[str, Scalar]]:
    """Yield every point as the same mapping, which changes from one to the next."""
    names = order(space)
    values = {name: _values(space[name], resolution) for name in names}
    chosen: dict[str, Scalar] = {}
    left: list[Iterator[Any]] = []

    def enter() -> None:
        name = names[len(left)]
        left.append(iter(values[name] if is_active(name, space, chosen) else (_INACTIVE,)))

    if names:
        enter()
    while left:
        name = names[len(left) - 1]
        chosen.pop(name, None)
        for value in left[-1]:
            if value is not _INACTIVE:
                chosen[name] = value
            break
        else:
            left.pop()
            continue
        if len(left) == len(names):
            yield chosen
        else:
            enter()


def _values(parameter: Parameter, resolution: int) -> list[Scalar]:
    if isinstance(parameter, Categorical):
        return list(parameter.choices)
    if isinstance(parameter, Int) and parameter.high - parameter.low < resolution:
        return list(range(parameter.low, parameter.high + 1))
    places = np.linspace(0.0, 1.0, resolution).tolist() if resolution > 1 else [0.5]
    return list(dict.fromkeys(value_at(parameter, at) for at in places))
