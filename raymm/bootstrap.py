"""The bootstrap: how far a score would move had other rows of the same kind been drawn.

A resample is written as how often it holds each row, so that a metric can score hundreds of
resamples in a few array operations. Scores of several predictions on the same resamples are
paired: their differences carry none of the noise that they share.

Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from raymm.artifacts import MetricLike

_CELLS = 2_000_000
"""Resamples are drawn in chunks of about this many counts (8 MB), so memory does not grow."""


class _Weighted(Protocol):
    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float64]: ...


def draws(
    rows: int, *, count: int, generator: np.random.Generator
) -> Iterator[npt.NDArray[np.float32]]:
    """Draw resamples of ``rows`` rows with replacement.

    Yields float32 arrays of shape (b, rows), the b of them adding up to ``count``: how often each
    row stands in each resample; every line sums to ``rows``.

    Raises
    ------
    ValueError
        When rows or count is below 1.
    """
    if rows < 1 or count < 1:
        raise ValueError(f"rows and count must be at least 1, but got rows={rows}, count={count}")
    step = max(1, _CELLS // rows)
    for start in range(0, count, step):
        size = min(step, count - start)
        picks = generator.integers(0, rows, size=(size, rows))
        picks += rows * np.arange(size)[:, None]
        counts = np.bincount(picks.ravel(), minlength=size * rows)
        yield counts.reshape(size, rows).astype(np.float32)


def replicates(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: Sequence[npt.NDArray[Any]],
    *,
    count: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Score several predictions of the same rows on the same resamples.

    Parameters
    ----------
    metric : MetricLike
        A metric with a method ``weighted`` (see `raymm.evaluation.metrics.Metric`) is scored on
        many resamples at once; any other is called once a resample.
    truth : shape (n,)
    predictions : arrays of shape (n, classes) or (n,)
    count : int
        Resamples.

    Returns
    -------
    float64, shape (count, len(predictions))
        NaN where the metric is not defined on a resample, say one that holds a single class.
    """
    parts = [
        np.stack([weighted(metric, truth, one, weights) for one in predictions], axis=1)
        for weights in draws(len(truth), count=count, generator=generator)
    ]
    return np.concatenate(parts)


def weighted(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    weights: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Score each resample of ``weights``, shape (b, n), as the metric can; float64, shape (b,)."""
    if hasattr(metric, "weighted"):
        return cast(_Weighted, metric).weighted(truth, prediction, weights)
    return repeated(metric, truth, prediction, weights)


def repeated(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    weights: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Score each resample with one call of the metric; arguments as in `weighted`."""
    scores = np.empty(len(weights))
    for index, counts in enumerate(weights):
        rows = np.repeat(np.arange(len(truth)), counts.astype(np.int64))
        scores[index] = metric(truth[rows], prediction[rows]) if len(rows) else np.nan
    return scores


def interval(scores: npt.NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the percentile interval of bootstrap scores, shape (count,), at ``level``.

    Each end is a one-sided bound at confidence (1 + level) / 2. Scores that are NaN are left
    out; where more than half are, the ends are NaN, for then little can be said.

    Source: Efron & Tibshirani 1993, section 13.3.
    """
    known = scores[np.isfinite(scores)]
    if len(known) * 2 <= len(scores):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def expanded(level: float, rows: int) -> float:
    """Return the level at which a percentile interval of few rows covers as often as ``level``.

    Resamples spread less than samples do, by sqrt(1 - 1 / rows), and a normal quantile is less than
    Student's. ``rows`` is at least 2; with 30 rows 0.95 becomes 0.962, with 1,000 0.9504.

    Source: Hesterberg 2015, "What teachers should know about the bootstrap", section 4.4 (the
    expanded percentile interval).
    """
    from scipy.stats import t

    reach = float(t.ppf((1 + level) / 2, rows - 1)) * float(np.sqrt(rows / (rows - 1)))
    return float(min(2 * NormalDist().cdf(reach) - 1, 1 - 1e-9))
