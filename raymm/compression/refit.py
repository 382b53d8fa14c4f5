"""Fits the leaves of pruned trees again, towards what the whole ensemble says of the rows.

Leaves are moved tree by tree, each tree's by the ridge regression of what is still missing on its
leaves: a few rounds of block coordinate descent. The ridge holds leaves where they are rather than
at zero, and it is strong: of 500 trees of 63 leaves fitted to 40,000 rows, 30 % of the nodes (some
250 trees) lost 0.004 of AUC on other rows with a ridge of 10 rows, and gained 0.003 with one of
1,000 to 3,000. Rows made by mixing others added nothing at that strength.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import expit, softmax

from raymm.compression.grove import Floats, Grove, Reached
from raymm.compression.sums import margins, weigh

RIDGE = 10.0
"""In rows of mean weight, for each tree that adds to the output: so many leaves share in moving a
row, and each has to move the less."""
PASSES = 6
LEAST_CURVATURE, LEAST_OF_CLASSES = 1e-6, 1e-3
"""Of log-odds, and of a class among several: with less, steps of letter's 26 classes went too far,
and the log loss on other rows with 15 % of the nodes was 0.1033 instead of 0.0998."""


def refitted(
    grove: Grove,
    reached: Reached,
    target: Floats,
    weight: Floats,
    *,
    ridge: float = RIDGE,
    passes: int = PASSES,
) -> Grove:
    """Return the grove with leaf values and base moved towards ``target``.

    Parameters
    ----------
    reached : int, shape (trees, n)
    target : float64, shape (outputs, n)
        Margins to come close to in weighted squares.
    weight : float64, shape (outputs, n)
        Of mean 1.
    """
    value, base = grove.value.copy(), grove.base.copy()
    missing = target - margins(grove, reached)
    adding = np.bincount(grove.outputs.ravel(), minlength=len(base))
    held = weigh(grove, reached, weight) + ridge * adding[grove.outputs][grove.tree]
    starts, ends = grove.roots.tolist(), grove.ends.tolist()
    for _ in range(passes):
        for tree, outputs in enumerate(grove.outputs):
            inside = slice(starts[tree], ends[tree])
            leaf = reached[tree] - starts[tree]
            for column, output in enumerate(outputs):
                pull = np.bincount(
                    leaf, weight[output] * missing[output], minlength=ends[tree] - starts[tree]
                )
                step = pull / held[inside, column]
                value[inside, column] += step
                missing[output] -= step[leaf]
        shift = np.average(missing, axis=1, weights=weight)
        base += shift
        missing -= shift[:, None]
    return replace(grove, value=value, base=base)


def corrected(grove: Grove, reached: Reached, truth: Floats, *, logits: bool) -> Grove:
    """Return the grove after one step of boosting towards what rows truly are.

    One pass of `refitted` on the Newton step of the log loss, or on what the squares lack. On rows
    that nothing had seen it gained 0.001 to 0.003 of AUC or R2 over distilling alone; more passes
    or a weaker ridge fit the rows rather than what they stand for.

    Parameters
    ----------
    reached : int, shape (trees, n)
    truth : float64, shape (outputs, n)
        0 or 1 where margins are log-odds (``logits``), of each class where there are several
        outputs; else values in the unit of margins.

    Notes
    -----
    The curvature of several classes is that of Friedman 2001, "Greedy function approximation: a
    gradient boosting machine", section 4.6.
    """
    now = margins(grove, reached)
    if not logits:
        return refitted(grove, reached, truth, np.ones_like(now), passes=1)
    count = len(now)
    share = expit(now) if count == 1 else softmax(now, axis=0)
    # Each class moves as if the others stayed, which they do not: of two, both do the whole way.
    bent = share * (1 - share) * (1 if count == 1 else count / (count - 1))
    weight = np.maximum(bent, LEAST_CURVATURE if count == 1 else LEAST_OF_CLASSES)
    target = now + (truth - share) / weight
    return refitted(grove, reached, target, weight / weight.mean(), passes=1)
