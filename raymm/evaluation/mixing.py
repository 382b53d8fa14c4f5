"""Greedy choice of a weighted mean of predictions.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of
models": members are drawn with replacement, each time the one that makes the mean score best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import MetricLike

DRAWS = 25
"""Draws of members: a weight is a multiple of a 25th at the finest."""
PATIENCE = 6
"""Draws without a better mean after which no more are made."""

Predictions = Sequence[npt.NDArray[Any]]
Left = Callable[[], float]


def greedy(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: Predictions,
    *,
    most: int,
    left: Left | None = None,
) -> npt.NDArray[np.float64]:
    """Return the weights of the mean that scores best on these rows.

    Parameters
    ----------
    truth : shape (n,)
    predictions : arrays of shape (n, classes) or (n,), one a candidate
        They must not have been trained on these rows.
    most : int
        How many candidates may have a weight, at least 1.
    left : callable, optional
        Returns how many seconds are left; where none are, the best mean so far is taken.

    Returns
    -------
    float64, shape (len(predictions),)
        Not negative, summing to 1. Of equal means the one of fewer draws is taken, and of equal
        candidates the earlier; the first alone where there was no time for one draw.
    """
    sign = 1.0 if metric.direction == "maximize" else -1.0
    counts = np.zeros(len(predictions))
    best, best_counts, since = -np.inf, counts.copy(), 0
    total = np.zeros_like(predictions[0], dtype=np.float64)
    for draw in range(1, DRAWS + 1):
        full = np.count_nonzero(counts) >= most
        scores = []
        for k, one in enumerate(predictions):
            if left is not None and left() <= 0:
                break
            tried = bool(counts[k]) or not full
            score = sign * metric(truth, (total + one) / draw) if tried else -np.inf
            scores.append(score if np.isfinite(score) else -np.inf)
        if len(scores) < len(predictions):
            break
        chosen = int(np.argmax(scores))
        counts[chosen] += 1
        total += predictions[chosen]
        if scores[chosen] > best:
            best, best_counts, since = scores[chosen], counts.copy(), 0
        else:
            since += 1
        if since == PATIENCE:
            break
    if not best_counts.any():  # the metric is defined for none, or there was no time
        best_counts[0] = 1.0
    return np.asarray(best_counts / best_counts.sum(), dtype=np.float64)


def mean(predictions: Predictions, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted mean of predictions; those of no weight are not read."""
    used = [weight * one for one, weight in zip(predictions, weights, strict=True) if weight > 0]
    return np.asarray(np.sum(used, axis=0), dtype=np.float64)


def parts(rows: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Deal rows into ``count`` parts of like sizes; returns each row's part, shape (rows,)."""
    return generator.permutation(np.arange(rows, dtype=np.int64) % count)


def crossed(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: Predictions,
    *,
    most: int,
    part: npt.NDArray[np.int64],
    left: Left | None = None,
) -> npt.NDArray[np.float64]:
    """Return the mean's predictions for each row, its weights chosen on the other parts alone.

    A choice looks better on the rows that made it than it is; on these it does not.
    """
    made = np.zeros_like(predictions[0], dtype=np.float64)
    for number in np.unique(part):
        here = part == number
        others = [one[~here] for one in predictions]
        weights = greedy(metric, truth[~here], others, most=most, left=left)
        made[here] = mean([one[here] for one in predictions], weights)
    return made
