"""Which of two versions answers better, by the labelled rows that both of them answered.

What makes a row hard is hard for both, so the difference on the same rows is known far better
than either quality is: of two versions that disagree on a tenth of the rows, 400 rows tell apart
what takes thousands where each is judged on rows of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import bootstrap
from raymm.bundle.blend import decided
from raymm.monitoring.judged import Judged, metric_of
from raymm.plugins import metrics

_DRAWS = 200
_CELLS = 5_000_000
"""Rows of all resamples of both sides at most; 20 resamples are drawn in any case."""
_REACH = 16
"""Times as many of each version's newest rows as are wanted are looked through."""


def paired(old: Judged, new: Judged, *, count: int, since: int = 0) -> dict[str, Any] | None:
    """Compare two versions on the newest labelled rows that both answered, ``count`` at most.

    Predictions before the one numbered ``since`` (see `raymm.monitoring.labels.Pair`) are left out.

    Returns
    -------
    dict or None
        "gain" is the metric's difference, above 0 where ``new`` is better whichever way the
        metric goes, and "deviation" its standard deviation, both in the metric's unit and None
        where they are not defined on the rows; "old" and "new" are the metric's values, "n" the
        rows. None where no row was answered by both, or they tell other classes apart.
    """
    if old.target.classes != new.target.classes or old.target.task != new.target.task:
        return None
    reach = _REACH * count
    ours, theirs = _same(new.keys(reach, since), old.keys(reach, since), count)
    if not len(ours):
        return None
    truth, rows = new.rows(reach)
    truth, sides = truth[ours], [old.rows(reach)[1][theirs], rows[ours]]
    name = metric_of(new.target)
    metric = metrics.get(name)()
    if metric.labels:
        decisions = (old.target.decision, new.target.decision)
        sides = [decided(side, how) for side, how in zip(sides, decisions, strict=True)]
    told: dict[str, Any] = {"metric": name, "direction": metric.direction, "n": len(truth)}
    told |= dict.fromkeys(("old", "new", "gain", "deviation"))
    if not all(np.isfinite(side).all() for side in sides):
        return told
    values = [float(metric(truth, side)) for side in sides]
    sign = 1.0 if metric.direction == "maximize" else -1.0
    deviation = _deviation(metric, truth, sides)
    if all(map(math.isfinite, (*values, deviation))):
        gain = sign * (values[1] - values[0])
        told |= {"old": values[0], "new": values[1], "gain": gain, "deviation": deviation}
    return told


def _same(
    ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the places of the keys that both have, of ours the last ``count``; 0 is no key."""
    known, first, second = np.intersect1d(ours, theirs, return_indices=True)
    first, second = first[known != 0], second[known != 0]
    order = np.argsort(first, kind="stable")[-count:]
    return first[order], second[order]


def _deviation(metric: Any, truth: npt.NDArray[Any], sides: list[npt.NDArray[Any]]) -> float:
    """Return the standard deviation of the difference of two scores on the same rows.

    Of accuracies in closed form, with a row added to each kind of disagreement so that few rows
    are not taken for certain; of any other metric by resampling. Source: Bonett & Price 2012,
    "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", Journal of Educational and Behavioral Statistics 37(4).
    """
    if metric.name == "accuracy":
        before, after = (side.argmax(axis=1) == truth for side in sides)
        lost, won = int((before & ~after).sum()), int((after & ~before).sum())
        n = len(truth) + 2
        p, q = (won + 1) / n, (lost + 1) / n
        return math.sqrt((p + q - (p - q) ** 2) / n)
    count = int(np.clip(_CELLS // (2 * len(truth)), 20, _DRAWS))
    drawn = bootstrap.replicates(
        metric, truth, sides, count=count, generator=np.random.default_rng(0)
    )
    gains = drawn[:, 1] - drawn[:, 0]
    known = gains[np.isfinite(gains)]
    return float(known.std(ddof=1)) if 2 * len(known) > len(gains) else math.nan
