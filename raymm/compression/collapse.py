"""Which subtrees to replace by a leaf, so that answers change least for so many nodes less.

The change is counted in squared margins over rows: replacing a subtree by its mean costs the
weighted variance of its leaf values over the rows that reach it. For a price per leaf, the best
choice within each tree follows from below (Breiman et al. 1984, "Classification and regression
trees", section 3.3); one price for all trees leaves most where most is gained, and whole trees go.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from raymm.compression.grove import Bools, Floats, Grove, Ints, Reached
from raymm.compression.sums import weigh

_STEPS = 40
_PRICES = -60.0, 60.0
"""Logarithms, base 2, between which the price of a leaf is looked for; further where the unit of
answers asks for it (see `_prices`)."""
_NEAR = 0.995
"""Share of the nodes that may stay from which on no lower price is looked for."""
_UNSEEN = 1e-3
"""Rows that count for a leaf in any case, so that one that no row reached has a say in a mean."""


def collapsed(
    grove: Grove, reached: Reached, weight: Floats, nodes: int, costs: Floats | None = None
) -> tuple[Grove, Reached]:
    """Return the grove with at most ``nodes`` nodes, and the leaves that the rows reach in it.

    Arguments are those of `raymm.compression.sums.weigh`; ``costs``, float64 of shape (columns,),
    is what a split on each column takes in a file, as a multiple of one on a number, 1 where it is
    None. Replaced subtrees
    answer the mean over their rows; trees of one leaf are folded (see `Grove.folded`). Where
    ``nodes`` is less than one tree needs, all but folded trees go.
    """
    levels = grove.levels()
    weights = weigh(grove, reached, weight) + _UNSEEN * (grove.left < 0)[:, None]
    sums, squares = weights * grove.value, weights * grove.value**2
    for at in reversed(levels):
        splits = at[grove.left[at] >= 0]
        for total in (weights, sums, squares):
            total[splits] = total[grove.left[splits]] + total[grove.right[splits]]
    mean = sums / weights
    change = np.maximum(squares - sums * mean, 0.0).sum(axis=1)
    dear = np.zeros(len(change)) if costs is None else costs[grove.feature] - 1.0
    ended = _cheapest(grove, levels, change, dear, nodes)
    return _ended(grove, levels, reached, ended, mean)


def _cheapest(grove: Grove, levels: list[Ints], change: Floats, dear: Floats, nodes: int) -> Bools:
    """Return the splits to end at about the lowest price that leaves at most ``nodes`` nodes."""
    low, high = _prices(float(change[grove.roots].sum()))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        ended, count = _priced(grove, levels, change, dear, 2.0**middle)
        if count > nodes:
            low = middle
        else:
            high = middle
            if count >= _NEAR * nodes:
                return ended
    return _priced(grove, levels, change, dear, 2.0**high)[0]


def _prices(whole: float) -> tuple[float, float]:
    """Return the bounds of a price's logarithm where ending every tree changes as much as this."""
    low, high = _PRICES
    if not 0 < whole < math.inf:
        return low, high
    size = math.log2(whole)
    return min(low, size + low), max(high, size + 1)


def _priced(
    grove: Grove, levels: list[Ints], change: Floats, dear: Floats, price: float
) -> tuple[Bools, int]:
    """Return the splits to end when a leaf costs ``price`` (a tree of one leaf nothing), and how
    many nodes that leaves.

    A split costs ``dear`` of that more, shape (nodes,).
    """
    ended = np.zeros(len(change), bool)
    best = np.where(grove.left < 0, price, 0.0)
    count = np.ones(len(change), np.int64)
    for depth in range(len(levels) - 1, -1, -1):
        at = levels[depth]
        splits = at[grove.left[at] >= 0]
        left, right = grove.left[splits], grove.right[splits]
        below = best[left] + best[right] + price * dear[splits]
        alone = change[splits] + (price if depth else 0.0)
        ends = alone <= below
        ended[splits] = ends
        best[splits] = np.where(ends, alone, below)
        count[splits] = np.where(ends, 1, 1 + count[left] + count[right])
    whole = count[grove.roots]
    return ended, int(whole[whole > 1].sum())


def _ended(
    grove: Grove, levels: list[Ints], reached: Reached, ended: Bools, mean: Floats
) -> tuple[Grove, Reached]:
    parent = grove.parents()
    stands = np.arange(len(parent))
    for at in levels[1:]:
        above = stands[parent[at]]
        stands[at] = np.where(ended[above], above, at)
    value = np.where(ended[:, None], mean, grove.value)
    made, place = replace(grove, value=value).rebuilt(leaf=ended)
    folded, keep = made.folded()
    # Folding takes whole trees, so what is left keeps its order.
    number = np.full(len(made.feature), -1)
    number[keep[made.tree]] = np.arange(len(folded.feature))
    leaf = number[place[stands]].astype(np.int32)
    left = np.empty((int(keep.sum()), reached.shape[1]), np.int32)
    # Tree by tree, as a tree's leaves lie side by side.
    for row, tree in zip(left, np.flatnonzero(keep).tolist(), strict=True):
        leaf.take(reached[tree], out=row, mode="clip")
    return folded, left
