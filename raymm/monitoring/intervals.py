"""How far a measured quality may be off by chance, in closed form where there is one.

A monitor reports every few seconds, so its intervals are functions of the rows alone, without
draws, for means of a row's loss and for the area under the curve; any other metric is resampled.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import bootstrap

Ends = tuple[float, float]

_DRAWS = 100
_CELLS = 5_000_000
"""Rows of all resamples together at most; 20 resamples are drawn in any case."""


def share_interval(hits: int, rows: int, level: float) -> Ends:
    """Return the interval of a share, ``hits`` of ``rows``, both ends in [0, 1].

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(end, 4) for end in share_interval(90, 100, 0.95)]
    [0.8256, 0.9448]
    """
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (hits + z2 / 2) / (rows + z2)
    reach = np.sqrt(z2 * (hits * (rows - hits) / rows + z2 / 4)) / (rows + z2)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def mean_interval(losses: npt.NDArray[np.float64], level: float) -> Ends:
    """Return the interval of a mean of losses, shape (n,), by the normal law; n at least 2."""
    reach = NormalDist().inv_cdf((1 + level) / 2) * float(losses.std(ddof=1)) / len(losses) ** 0.5
    mean = float(losses.mean())
    return mean - reach, mean + reach


def area_interval(
    positive: npt.NDArray[np.bool_], score: npt.NDArray[np.float64], level: float
) -> Ends:
    """Return the interval of the area under the ROC curve, both ends in [0, 1].

    ``positive`` and ``score`` have shape (n,); NaN where either class has fewer than two rows.
    Where all rows say the same the deviation is zero, and the interval reaches as far as what was
    not seen once among the rows of the rarer class may happen (Clopper & Pearson 1934).
    Source: DeLong, DeLong & Clarke-Pearson 1988; as ranks: Sun & Xu 2014.
    """
    first, rest = score[positive], score[~positive]
    m, n = len(first), len(rest)
    if min(m, n) < 2:
        return float("nan"), float("nan")
    ranks = _ranks(np.concatenate([first, rest]))
    over = (ranks[:m] - _ranks(first)) / n  # of each positive: the share of negatives below it
    under = 1 - (ranks[m:] - _ranks(rest)) / m
    area = float(over.mean())
    deviation = float(np.sqrt(over.var(ddof=1) / m + under.var(ddof=1) / n))
    reach = NormalDist().inv_cdf((1 + level) / 2) * deviation
    if not deviation:
        reach = float(1.0 - ((1.0 - level) / 2) ** (1.0 / min(m, n)))
    return max(0.0, area - reach), min(1.0, area + reach)


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ranks from 1, shape (n,); equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[place])


def interval_of(
    metric: Any, truth: npt.NDArray[Any], prediction: npt.NDArray[Any], level: float
) -> Ends:
    """Return the interval of a metric (see `raymm.evaluation.metrics.Metric`) on these rows.

    ``truth`` has shape (n,) with n at least 1, ``prediction`` (n, classes) or (n,). The ends are
    NaN where the rows are too few or of one class.
    """
    rows = len(truth)
    if metric.name == "accuracy":
        hits = int((prediction.argmax(axis=1) == truth).sum())
        return share_interval(hits, rows, level)
    if rows < 2:
        return float("nan"), float("nan")
    if hasattr(metric, "losses"):
        low, high = mean_interval(metric.losses(truth, prediction), level)
        floor = 0.0 if metric.direction == "minimize" else -np.inf
        ends = metric.finish(np.maximum([low, high], floor))
        return float(min(ends)), float(max(ends))
    if metric.name == "roc_auc" and prediction.shape[1] == 2:
        return area_interval(truth == 1, prediction[:, 1].astype(np.float64), level)
    count = int(np.clip(_CELLS // rows, 20, _DRAWS))
    drawn = bootstrap.replicates(
        metric, truth, [prediction], count=count, generator=np.random.default_rng(0)
    )
    return bootstrap.interval(drawn[:, 0], level)
