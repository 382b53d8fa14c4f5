"""How much of a target is explained by the levels of something else, and how likely by chance."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Association(NamedTuple):
    """What levels explain of a target.

    ``share`` is the share of the target's variation explained, at most 1, and 0 on average where
    levels and target are independent; ``chance`` the probability of as much by chance.
    """

    share: float
    chance: float


NONE = Association(0.0, 1.0)


def explained(
    levels: npt.NDArray[np.int64], truth: npt.NDArray[Any], classes: int = 0
) -> Association:
    """Return what levels explain of a target.

    The share is epsilon squared, the correlation ratio without its bias: for classes that of
    their indicators together, where the sum of squares is Gini's (Light & Margolin 1971). Levels
    of single rows explain nothing by themselves. The probability is by the F distribution.

    Parameters
    ----------
    levels : int64, shape (n,)
        At least 0.
    truth : float64 or int64, shape (n,)
        Values (ranks, where outliers must not count), or class codes below ``classes``.
    classes : int
        0 for values.

    Notes
    -----
    Source: Kelley 1935, "An unbiased correlation ratio measure".
    """
    from scipy.special import fdtrc

    rows = len(levels)
    counts = np.bincount(levels) if rows else np.zeros(0, dtype=np.int64)
    groups = int((counts > 0).sum())
    if groups < 2 or rows - groups < 2:
        return NONE
    if classes:
        cells, held = np.unique(levels * classes + truth, return_counts=True)
        within = rows - float(np.sum(held.astype(np.float64) ** 2 / counts[cells // classes]))
        share = np.bincount(truth, minlength=classes) / rows
        total = rows * (1.0 - float(np.sum(share**2)))
        width = max(1, int((share > 0).sum()) - 1)
    else:
        centred = truth - truth.mean()
        sums = np.bincount(levels, centred)
        total = float(centred @ centred)
        within = total - float(np.sum(sums[counts > 0] ** 2 / counts[counts > 0]))
        width = 1
    if total <= 0:
        return NONE
    within = max(within, 1e-12 * total)
    left = within / (rows - groups)
    ratio = (total - within) / (groups - 1) / left
    chance = fdtrc(width * (groups - 1), width * (rows - groups), max(ratio, 0.0))
    return Association(1.0 - left / (total / (rows - 1)), float(chance))
