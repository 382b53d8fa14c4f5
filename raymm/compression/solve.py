"""Fits the leaves of one ensemble to all rows at once, by conjugate gradients.

`raymm.compression.refit` moves leaves tree by tree with a strong ridge. Margins may be followed
more closely: with a hundredth of that ridge, a mix of 500,000 nodes on california_housing lost
0.2 % of its RMSE at 7 % of them instead of 0.9 %, one of 1,400,000 on bike_sharing_hour 0.2 %
instead of 1 to 4 %. Of classifiers with 30 % of the nodes, elec2 lost 0.0046 of AUC and 7.7 % of
log loss instead of 0.0060 and 10.3 %, adult 0.0032 and 1.5 % instead of 0.0036 and 1.6 %. All trees
together take a tenth of the time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raymm.compression.grove import Floats, Grove, Ints, Reached
from raymm.compression.spread import spread
from raymm.compression.sums import Floats32, Sum, kernels_for, margins, sums

RIDGE = 0.1
"""In rows, for each tree that adds to the output."""
RIDGE_OF_CROWDS, CROWD = 0.01, 3
"""Where there are `MANY` rows, and so many times as many leaves as rows: these then have room to
follow the whole without learning any row by heart. A mix of 1,183,000 nodes on bike_sharing_hour
lost 0.1 % of its RMSE at 15 % of them and 1.4 % at 7 %, and gains 0.4 % and loses 0.6 % by this;
twice as many `STEPS` gained as much, but lost 0.3 % on california_housing. With about as many
leaves as rows it loses more: 500 trees of california_housing at half of the nodes, mixes at 3 %."""
RIDGE_OF_CLASSES = 1.0
"""For margins that a softmax turns into probabilities: with 15 % of the nodes of 5,512 trees of 26
classes (letter) the log loss was 0.132, with a ridge of 0.3 0.136, tree by tree 0.138."""
MANY = 10_000
"""Rows from which on a sigmoid's margins are followed as closely as a regressor's: fewer are learnt
by heart, which a strong ridge keeps pruned trees from. On telco_churn, of 3,756 rows, that gains
0.003 of AUC."""
STEPS = 8
"""Fewer steps than the solution takes hold leaves back as well."""


def solved(
    grove: Grove, reached: Reached, target: Floats, weight: Floats, *, ridge: float = RIDGE
) -> Grove:
    """Return the grove with leaf values and base moved towards ``target`` in weighted squares.

    Parameters
    ----------
    reached : int, shape (trees, n)
        The leaf that each row reaches in each tree.
    target : float64, shape (outputs, n)
    weight : float64, shape (outputs, n)
        Of mean 1.

    Notes
    -----
    Source: Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems",
    preconditioned by the diagonal.
    """
    value, base = grove.value.copy(), grove.base.copy()
    missing = target - margins(grove, reached)
    kernels = kernels_for(reached)

    def moved(output: int) -> list[tuple[Ints, int, Floats]]:
        made = []
        heavy = weight[output].astype(np.float32)
        for column in range(grove.outputs.shape[1]):
            trees = np.flatnonzero(grove.outputs[:, column] == output)
            if len(trees):
                inside, places = _places(grove, reached, trees)
                ways = sums(kernels, places, len(inside))
                step, given = _step(ways, missing[output], heavy, np.float32(ridge * len(trees)))
                missing[output] -= given
                made.append((inside, column, step.astype(np.float64)))
        shift = float(np.average(missing[output], weights=weight[output]))
        base[output] += shift
        missing[output] -= shift
        return made

    outputs = range(len(base))
    # scipy holds Python while it works, so that threads are of use to the kernels alone.
    for made in map(moved, outputs) if kernels is None else spread(moved, outputs):
        for inside, column, step in made:
            value[inside, column] += step
    return replace(grove, value=value, base=base)


def _places(grove: Grove, reached: Reached, trees: Ints) -> tuple[Ints, Reached]:
    """Return the nodes of some trees, and where among them each row ends, shape (n, trees)."""
    sizes = grove.ends[trees] - grove.roots[trees]
    first = np.cumsum(sizes) - sizes
    inside = np.repeat(grove.roots[trees] - first, sizes) + np.arange(sizes.sum())
    moved = (first - grove.roots[trees]).astype(np.int32)
    return inside, np.ascontiguousarray((reached[trees] + moved[:, None]).T)


def _step(
    ways: tuple[Sum, Sum], missing: Floats, weight: Floats32, held: np.float32
) -> tuple[Floats32, Floats32]:
    """Return what to add to nodes, shape (nodes,), and what that adds to rows, shape (n,)."""
    added, gathered = ways
    scale = gathered(weight) + held
    step = np.zeros(len(scale), np.float32)
    rest = gathered(weight * missing.astype(np.float32))
    near = rest / scale
    way, size = near.copy(), float(rest @ near)
    for _ in range(STEPS):
        if size <= 0:
            break
        moved = gathered(weight * added(way)) + held * way
        length = np.float32(size / float(way @ moved))
        step += length * way
        rest -= length * moved
        near = rest / scale
        before, size = size, float(rest @ near)
        way = near + np.float32(size / before) * way
    return step, added(step)
