"""Several objectives at once: dominance, fronts, crowding and hypervolume.

Everything here takes *losses*: float64 of shape (n, m), one row a point, one column an objective,
smaller is better, all finite. One point dominates another where it is nowhere worse and somewhere
better. With constraints, a feasible point dominates every infeasible one, and of two infeasible
ones the one that breaks its constraints less (Deb et al. 2002, section VI).

>>> points = [[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [3.0, 3.0]]
>>> front(points).tolist(), ranks(points).tolist()
([True, True, True, False], [0, 0, 0, 1])
>>> hypervolume(points, [4.0, 4.0])
6.0

Sources: Deb, Pratap, Agarwal & Meyarivan 2002, "A fast and elitist multiobjective genetic
algorithm: NSGA-II"; Zitzler & Thiele 1998 (hypervolume); While, Hingston, Barone & Huband 2006,
"A faster algorithm for calculating hypervolume" (slicing objectives).
"""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

Losses = npt.ArrayLike
Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def _points(losses: Losses) -> Vector:
    points = np.asarray(losses, dtype=np.float64)
    if points.size == 0:
        return points.reshape(0, points.shape[1] if points.ndim == 2 else 0)
    if points.ndim != 2:
        raise ValueError(f"losses must have shape (n, m), but got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("losses must be finite; leave failed points out")
    return points


def dominates(first: npt.ArrayLike, second: npt.ArrayLike) -> bool:
    """Say whether one row of losses, shape (m,), dominates another."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return bool((a <= b).all() and (a < b).any())


def front(losses: Losses) -> Mask:
    """Return which points no other dominates, shape (n,); equal points stand together.

    Raises ValueError where a loss is not finite. Two objectives take a sort; more of them take
    n × (size of the front) comparisons.
    """
    points = _points(losses)
    kept = np.zeros(len(points), dtype=np.bool_)
    if not len(points):
        return kept
    # A point is dominated only by one that comes before it in lexicographic order.
    unique, back = np.unique(points, axis=0, return_inverse=True)
    if points.shape[1] <= 2:
        last = unique[:, -1]
        before = np.concatenate([[math.inf], np.minimum.accumulate(last)[:-1]])
        found = last < before if points.shape[1] == 2 else np.arange(len(unique)) == 0
    else:
        found = _sweep(unique)
    kept[:] = found[back.reshape(-1)]
    return kept


def _sweep(unique: Vector) -> Mask:
    found = np.zeros(len(unique), dtype=np.bool_)
    best = np.empty_like(unique)
    count = 0
    for number, point in enumerate(unique):
        if not (best[:count] <= point).all(axis=1).any():
            best[count], found[number] = point, True
            count += 1
    return found


def ranks(losses: Losses, violation: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
    """Return each point's non-dominated rank, shape (n,): 0 is the front, 1 the front without it.

    Parameters
    ----------
    violation : float64, shape (n,), optional
        How far each point is from being allowed, at least 0; 0 is feasible.
    """
    points = _points(losses)
    broken = np.zeros(len(points)) if violation is None else np.asarray(violation, dtype=np.float64)
    if broken.shape != (len(points),) or not (broken >= 0).all():
        raise ValueError(f"violation must be {len(points)} numbers of at least 0, but got {broken}")
    found = np.zeros(len(points), dtype=np.int64)
    left = np.flatnonzero(broken == 0)
    rank = 0
    while len(left):
        best = front(points[left])
        found[left[best]] = rank
        left, rank = left[~best], rank + 1
    for amount in np.unique(broken[broken > 0]):
        found[broken == amount] = rank
        rank += 1
    return found


def crowding(losses: Losses) -> Vector:
    """Return each point's crowding distance within these, shape (n,); infinite at an end.

    The sum over the objectives of the gap between its two neighbours, as a share of the
    objective's range (Deb et al. 2002, section III.B). Of equal points all but one get 0, so that
    none is kept for being many.
    """
    points = _points(losses)
    found = np.zeros(len(points))
    if not len(points):
        return found
    unique, first = np.unique(points, axis=0, return_index=True)
    distance = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = math.inf
        if span > 0 and len(order) > 2:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    found[first] = distance
    return found


def order(losses: Losses, violation: npt.ArrayLike | None = None) -> npt.NDArray[np.int64]:
    """Return the points' numbers, best first: by rank, then the least crowded of a rank.

    Ties go to the earlier point. This is NSGA-II's crowded comparison (Deb et al. 2002, III.B).
    """
    points = _points(losses)
    rank = ranks(points, violation)
    distance = np.zeros(len(points))
    for level in np.unique(rank):
        distance[rank == level] = crowding(points[rank == level])
    return np.lexsort((-distance, rank)).astype(np.int64)


def hypervolume(losses: Losses, reference: npt.ArrayLike) -> float:
    """Return the volume that the points dominate below a reference point; exact.

    Parameters
    ----------
    reference : float64, shape (m,)
        A point worse than those of interest; what is not better than it in every objective
        counts nothing.

    Returns
    -------
    float
        At least 0, in the product of the objectives' units. Up to three objectives take a sort;
        each further one multiplies that by the size of the front.
    """
    corner = np.asarray(reference, dtype=np.float64)
    points = _points(losses)
    if corner.ndim != 1 or not np.isfinite(corner).all():
        raise ValueError(f"reference must be a row of finite numbers, but got {reference!r}")
    if not len(points):
        return 0.0
    if points.shape[1] != len(corner):
        raise ValueError(
            f"reference must have {points.shape[1]} numbers, one an objective, not {len(corner)}"
        )
    points = points[(points < corner).all(axis=1)]
    return _volume(np.unique(points[front(points)], axis=0), corner) if len(points) else 0.0


def _volume(points: Vector, corner: Vector) -> float:
    """Volume of mutually non-dominated points in lexicographic order."""
    if len(corner) == 1:
        return float(corner[0] - points[0, 0])
    if len(corner) == 2:
        ceiling = np.concatenate([corner[1:], points[:-1, 1]])
        return float(((corner[0] - points[:, 0]) * (ceiling - points[:, 1])).sum())
    # Slices along the first objective: within one, all points up to its start count.
    if len(corner) == 3:
        return _sliced(points, corner)
    edges = np.append(points[:, 0], corner[0])
    total = 0.0
    for number, width in enumerate(np.diff(edges), start=1):
        if width > 0:
            rest = points[:number, 1:]
            rest = np.unique(rest[front(rest)], axis=0)
            total += float(width) * _volume(rest, corner[1:])
    return total


def _sliced(points: Vector, corner: Vector) -> float:
    """Volume in three objectives: the slices' area grows with each point that joins."""
    across: list[float] = []
    down: list[float] = []
    end, ceiling = float(corner[1]), float(corner[2])
    area = total = 0.0
    before = float(points[0, 0])
    for x, y, z in points.tolist():
        total += (x - before) * area
        before = x
        at = bisect_left(across, y)
        top = down[at - 1] if at else ceiling
        if top <= z or (at < len(across) and across[at] == y and down[at] <= z):
            continue
        start, stop = y, at
        while stop < len(across) and down[stop] >= z:
            area += (across[stop] - start) * (top - z)
            start, top = across[stop], down[stop]
            stop += 1
        area += ((across[stop] if stop < len(across) else end) - start) * (top - z)
        across[at:stop], down[at:stop] = [y], [z]
    return total + (float(corner[0]) - before) * area
