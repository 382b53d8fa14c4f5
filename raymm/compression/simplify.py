"""What may be taken from trees without changing any answer.

Taken are sides of splits that no row can reach, as the splits above contradict them; splits whose
two sides are equal; trees of equal splits, whose leaf values are added; and trees of one leaf.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from raymm.compression.grove import Bools, Grove, Ints, heights


def simplify(grove: Grove) -> Grove:
    """Return fewer nodes that answer every row alike, but for the rounding of added leaf values."""
    grove = living(grove)
    labels = np.unique(grove.value, axis=0, return_inverse=True)[1].reshape(-1)
    same = identities(grove, labels, shortened=True)
    splits = grove.left >= 0
    equal = splits & (same[grove.left] == same[grove.right])
    grove = _without(grove, np.zeros_like(equal), equal)
    return _merged(grove).folded()[0]


def living(grove: Grove) -> Grove:
    """Return the trees without sides of splits that no row can reach, nodes in preorder."""
    return _without(grove, *unreached(grove))


def unreached(grove: Grove) -> tuple[Bools, Bools]:
    """Return which splits have a left side that no row reaches, and which such a right side.

    A split's feature lies in the interval that the splits of this feature above it leave, or is
    missing where all of them send missing values its way. Thresholds are compared by their rank.
    """
    parent, splits = grove.parents(), grove.left >= 0
    distinct = np.unique(grove.threshold[splits])
    rank = np.searchsorted(distinct, grove.threshold)
    low, high = np.full(len(parent), -1), np.full(len(parent), len(distinct))
    missing = np.ones(len(parent), bool)
    node = np.flatnonzero(splits & (parent >= 0))
    below, above = node, parent[node]
    while len(node):
        same = grove.feature[above] == grove.feature[node]
        left = grove.left[above] == below
        lower, upper = node[same & ~left], node[same & left]
        low[lower] = np.maximum(low[lower], rank[above[same & ~left]])
        high[upper] = np.minimum(high[upper], rank[above[same & left]])
        missing[node[same]] &= left[same] == grove.missing_left[above[same]]
        further = parent[above] >= 0
        node, below, above = node[further], above[further], parent[above[further]]
    to_left, to_right = missing & grove.missing_left, missing & ~grove.missing_left
    no_left = splits & (np.minimum(high, rank) <= low) & ~to_left
    no_right = splits & (np.maximum(low, rank) >= high) & ~to_right
    return no_left, no_right & ~no_left


def identities(grove: Grove, labels: Ints, *, shortened: bool) -> Ints:
    """Return a number for each node: two are equal where the subtrees below are.

    Parameters
    ----------
    labels : int64, shape (nodes,)
        Equal for leaves that count as equal; at least 0, read at leaves only.
    shortened : bool
        Whether a split whose two sides are equal counts as such a side.
    """
    height = heights(grove)
    order = np.argsort(height, kind="stable")
    starts = np.searchsorted(height[order], np.arange(int(height.max()) + 2))
    found = labels.astype(np.int64)
    count = int(labels.max()) + 1
    threshold = np.unique(grove.threshold, return_inverse=True)[1].reshape(-1)
    for first, last in pairwise(starts[1:].tolist()):
        at = order[first:last]
        left, right = found[grove.left[at]], found[grove.right[at]]
        split = [grove.feature[at], threshold[at], grove.missing_left[at], left, right]
        number = np.unique(np.stack(split), axis=1, return_inverse=True)[1].reshape(-1)
        found[at] = np.where(shortened & (left == right), left, count + number)
        count += len(at)
    return found


def _without(grove: Grove, no_left: Bools, no_right: Bools) -> Grove:
    """Put the other side of a split in its place where one side goes."""
    instead = np.arange(len(grove.feature))
    for at in reversed(grove.levels()):
        one, other = at[no_left[at]], at[no_right[at]]
        instead[one] = instead[grove.right[one]]
        instead[other] = instead[grove.left[other]]
    return grove.rebuilt(instead=instead)[0]


def _merged(grove: Grove) -> Grove:
    """Add the leaf values of trees whose splits and outputs are equal; nodes are in preorder."""
    shape = identities(grove, np.zeros(len(grove.feature), np.int64), shortened=False)
    kinds = np.column_stack([shape[grove.roots], grove.outputs])
    _, first, kind = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    into = first[kind.reshape(-1)]
    value, ends = grove.value.copy(), grove.ends
    for tree in np.flatnonzero(into != np.arange(len(into))):
        start, size = grove.roots[into[tree]], ends[tree] - grove.roots[tree]
        value[start : start + size] += grove.value[grove.roots[tree] : ends[tree]]
    return replace(grove, value=value).rebuilt(keep=into == np.arange(len(into)))[0]
