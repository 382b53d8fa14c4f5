"""Ensembles of trees laid out for `raymm.bundle.kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raymm.models.trees import TreeEnsemble

MOST_NODES = 1 << 31
"""Nodes, and values of leaves, that places of 32 bits can tell apart."""
MOST_COLUMNS = 0xFFFF
MOST_THRESHOLDS = 0xFFFD
"""Different thresholds of a feature: the rank above them all is less than that of a missing one."""
_LEAF_RANK = 0xFFFF
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What `raymm.bundle.kernels.descend_rows` reads, and the thresholds that `rank` does.

    Attributes
    ----------
    thresholds : float32, shape (t,)
        Those of each of d features, rising.
    starts : int32, shape (d + 1,)
    node : uint64, shape (nodes,)
    roots : uint64, shape (trees,)
    first : int32, shape (nodes + 1,) or (0,)
    output : int32, shape (values,) or (trees,)
    value : float32, shape (values,) or (nodes,)
    base : float32, shape (outputs,)
        Added to what the leaves sum up to.
    """

    thresholds: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int32]
    node: npt.NDArray[np.uint64]
    roots: npt.NDArray[np.uint64]
    first: npt.NDArray[np.int32]
    output: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    base: npt.NDArray[np.float32]


def laid_out(
    ensembles: Sequence[TreeEnsemble], columns: Sequence[Sequence[int]], width: int
) -> Layout | None:
    """Lay ensembles out as one, their outputs behind each other.

    Parameters
    ----------
    ensembles : sequence of TreeEnsemble
        At least one.
    columns : sequence of sequence of int
        Which feature each column of an ensemble is.
    width : int
        How many features there are.

    Returns
    -------
    Layout or None
        None where the trees are not sound (a feature or an output that there is not, a child that
        is no node of the tree or has two parents), or more than the layout has places for.
    """
    parts = [_sound(one, len(names)) for one, names in zip(ensembles, columns, strict=True)]
    orders = [part for part in parts if part is not None]
    if len(orders) < len(parts) or 2 * width > MOST_COLUMNS:
        return None
    if max(sum(len(one.feature) for one in ensembles), sum(map(_values, ensembles))) >= MOST_NODES:
        return None
    feature = np.concatenate(
        [
            np.where(one.feature < 0, -1, np.asarray(names, np.int64)[one.feature])[order]
            for one, names, order in zip(ensembles, columns, orders, strict=True)
        ]
    )
    threshold = np.concatenate(
        [_inclusive(one)[order] for one, order in zip(ensembles, orders, strict=True)]
    )
    missing_left = np.concatenate(
        [one.missing_left[order] for one, order in zip(ensembles, orders, strict=True)]
    )
    thresholds, starts, rank = _ranked(feature, threshold, width)
    if np.diff(starts).max(initial=0) > MOST_THRESHOLDS:
        return None
    column = np.where(feature < 0, 0, 2 * feature + ~missing_left).astype(np.uint64)
    child, roots = _places(ensembles, orders)
    low = (rank << np.uint64(16)) | column
    first, output, value = _leaves(ensembles, orders, len(feature))
    return Layout(
        thresholds=thresholds,
        starts=starts,
        node=(child.astype(np.uint64) << np.uint64(32)) | low,
        roots=roots.astype(np.uint64),
        first=first,
        output=output,
        value=value,
        base=np.concatenate([one.base for one in ensembles]).astype(np.float32),
    )


def _ranked(
    feature: Ints, threshold: npt.NDArray[np.float32], width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
    """Return ``thresholds`` and ``starts`` of a layout, and each node's rank among those."""
    rank = np.full(len(feature), _LEAF_RANK, np.uint64)
    inner = np.flatnonzero(feature >= 0)
    order = inner[np.lexsort((threshold[inner], feature[inner]))]
    of, bound = feature[order], threshold[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(of) > 0) | (bound[1:] > bound[:-1])
    starts = np.searchsorted(of[new], np.arange(width + 1)).astype(np.int32)
    rank[order] = np.cumsum(new) - starts[of]
    return bound[new].astype(np.float32), starts, rank


def _values(ensemble: TreeEnsemble) -> int:
    return len(ensemble.value)


def _inclusive(ensemble: TreeEnsemble) -> npt.NDArray[np.float32]:
    """Return thresholds that are compared by "at most"."""
    if not ensemble.strict:
        return ensemble.threshold
    with np.errstate(over="ignore"):
        below: npt.NDArray[np.float32] = np.nextafter(ensemble.threshold, np.float32(-np.inf))
    return below


def _sound(ensemble: TreeEnsemble, width: int) -> Ints | None:
    """Return nodes in the order of the layout: tree by tree, and level by level in each.

    None where an ensemble is not sound; see `laid_out`.
    """
    count, trees = len(ensemble.feature), len(ensemble.roots)
    left, right, inner = ensemble.left, ensemble.right, ensemble.feature >= 0
    fine = trees > 0 and count > 0 and ensemble.roots[0] == 0
    fine = fine and bool((np.diff(ensemble.roots) > 0).all()) and ensemble.roots[-1] < count
    fine = fine and bool((ensemble.feature < width).all())
    least = -np.inf if ensemble.strict else np.nan  # nothing is below it, and nothing equals it
    fine = fine and not (np.isnan(ensemble.threshold) | (ensemble.threshold == least))[inner].any()
    children = np.concatenate([left[inner], right[inner]])
    fine = fine and bool(((children >= 0) & (children < count)).all())
    held, outputs = ensemble.leaf, len(ensemble.base)
    fine = fine and bool(((ensemble.output >= 0) & (ensemble.output < outputs)).all())
    fine = fine and bool(((held >= 0) & (held < count)).all() and (np.diff(held) >= 0).all())
    fine = fine and not inner[held].any()
    if not fine:
        return None
    levels, at, reached = [], ensemble.roots, 0
    while len(at):
        levels.append(at)
        reached += len(at)
        if reached > count:  # a circle, or nodes with two parents
            return None
        splits = at[inner[at]]
        at = np.stack([left[splits], right[splits]], axis=1).ravel()
    order = np.concatenate(levels)
    if reached < count or len(np.unique(order)) < count:
        return None
    tree = np.searchsorted(ensemble.roots, order, side="right")
    own = np.searchsorted(ensemble.roots, np.flatnonzero(inner), side="right")
    for side in (left, right):
        if not np.array_equal(np.searchsorted(ensemble.roots, side[inner], side="right"), own):
            return None
    return order[np.argsort(tree, kind="stable")]


def _places(ensembles: Sequence[TreeEnsemble], orders: Sequence[Ints]) -> tuple[Ints, Ints]:
    """Return each node's place of its first child, its own at a leaf, and the roots' places."""
    children, roots, start = [], [], 0
    for one, order in zip(ensembles, orders, strict=True):
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(start, start + len(order))
        children.append(np.where(one.feature < 0, place, place[one.left])[order])
        roots.append(place[one.roots])
        start += len(order)
    return np.concatenate(children), np.concatenate(roots)


def _leaves(
    ensembles: Sequence[TreeEnsemble], orders: Sequence[Ints], count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return ``first``, ``output`` and ``value`` of a layout."""
    places, outputs, values, starts, start, base = [], [], [], [], 0, 0
    for one, order in zip(ensembles, orders, strict=True):
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(start, start + len(order))
        places.append(place[one.leaf])
        outputs.append(one.output + base)
        values.append(one.value)
        starts.append(one.roots + start)
        start, base = start + len(order), base + len(one.base)
    at = np.concatenate(places)
    by = np.argsort(at, kind="stable")
    at, output, value = at[by], np.concatenate(outputs)[by], np.concatenate(values)[by]
    # Trees lie in the same order as before, so a place tells its tree by the old roots.
    tree = np.searchsorted(np.concatenate(starts), at, side="right") - 1
    alone = np.zeros(sum(map(len, starts)), np.int64)
    alone[tree] = output
    if np.array_equal(alone[tree], output) and len(np.unique(at)) == len(at):
        single = np.zeros(count, np.float32)
        single[at] = value
        return np.zeros(0, np.int32), alone.astype(np.int32), single
    first = np.searchsorted(at, np.arange(count + 1)).astype(np.int32)
    return first, output.astype(np.int32), value.astype(np.float32)
