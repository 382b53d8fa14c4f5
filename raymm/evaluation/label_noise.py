"""Rows whose own label is implausible to models that were trained without them.

A wrong label is not what a model errs about, but what it is sure of: the row looks just as rows
of another label do. So a row's label is ranked among those rows, by the probability that they have
of it. Rows of a wrong label are spread evenly over these ranks, whereas those that are merely hard
to tell come late. How many stand in the first half of the ranks thus tells how many labels are
wrong, and how far down the ranks most of the rows still are. Nothing is said where the evenly
spread ones are few among all: there the classes overlap. The field's name is confident learning
(Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels");
its thresholds, the mean probability of a class, called 5 % of adult and 12 % of telco_churn wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

LEVELS = np.array([0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
"""Shares of the rows of other labels down to which rows are looked for."""
PRECISION = 0.8
"""Share of the rows told that is to be wrong, as it is reckoned."""
APART = 0.4
"""Share of wrong labels among all rows in the first 85 % of the ranks, from which classes are
taken to be told apart. Without any label changed it was 0.23 on adult and 0.15 on telco_churn."""
HARD = 0.2
"""Share of a class that may be hard to tell, and be in the first 85 % of the ranks, for the same.
Two normal distributions that lie 2 deviations apart have 0.15 of it, a little closer 0.2."""
WRONG = 0.5
"""Share of a class from which it is taken not to be told by the features at all."""
UNLIKELY, LIKELY = 0.3, 0.5
"""Probabilities of the own label under which, and of another one over which a row is told."""
SURE = 0.01
"""That of the own label where classes overlap."""
FEW, LEAST = 10, 3
"""Rows from which a class is looked at alone, and rows that one by one mean nothing."""

CHANCE = 5e-4
"""Of a gap as wide between distances as there is."""
GAPS = (2.0, 3.0, 5.0, 10.0)
FAR = 6.0
"""Times the median distance."""
MOST = 0.01
"""Share of the rows of which distances may stand apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Implausible:
    """Rows of doubtful labels, the most doubtful first.

    Attributes
    ----------
    places : int64, shape (m,)
        Where they stand among the rows looked at.
    likelier : int64 or float64, shape (m,)
        The class code, or value, that is predicted.
    measure : float64, shape (m,)
        The probability of the own label; in regression the distance from the predicted value in
        medians of the distances of rows that are predicted alike.
    """

    places: npt.NDArray[np.int64]
    likelier: npt.NDArray[Any]
    measure: npt.NDArray[np.float64]


def implausible(truth: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> Implausible:
    """Return the rows whose label, or value, is doubtful.

    Parameters
    ----------
    truth : int64 or float64, shape (n,)
        Class codes, or values in regression.
    predictions : shape (n, classes) or (n,)
        Probabilities or values, by models that were trained without the row. Where one is not
        finite, nothing is told.

    >>> truth = np.array([0] * 50 + [1] * 50)
    >>> sure = np.where(truth == 1, 0.99, 0.01) + np.linspace(-0.005, 0.005, 100)
    >>> truth[[3, 8, 70]] = 1 - truth[[3, 8, 70]]
    >>> implausible(truth, np.stack([1 - sure, sure], axis=1)).places.tolist()
    [3, 8, 70]
    """
    predictions = np.asarray(predictions, dtype=np.float64)
    if not len(truth) or not np.isfinite(predictions).all():
        return _found(np.zeros(len(truth), dtype=bool), truth, np.zeros(len(truth)))
    if predictions.ndim == 1:
        return _slips(np.asarray(truth, dtype=np.float64), predictions)
    return _labels(np.asarray(truth, dtype=np.int64), predictions)


def _found(
    chosen: npt.NDArray[np.bool_], likelier: npt.NDArray[Any], measure: npt.NDArray[np.float64]
) -> Implausible:
    places = np.flatnonzero(chosen)
    return Implausible(places=places, likelier=likelier[places], measure=measure[places])


# ---------------------------------------------------------------------------------- classification


def _labels(truth: npt.NDArray[np.int64], predictions: npt.NDArray[np.float64]) -> Implausible:
    rows = np.arange(len(truth))
    own, others = predictions[rows, truth], predictions.copy()
    others[rows, truth] = -1.0
    likelier = others.argmax(axis=1)
    rank = ranks(truth, predictions)
    told = (own < UNLIKELY) & (others[rows, likelier] > LIKELY)
    known = _known(truth, rank)
    chosen = np.zeros(len(truth), dtype=bool)
    for here in _groups(truth, known, told & (rank <= 0.5)):
        level = _level(rank[here], told[here])
        part = rank <= level if level else (own < SURE) & (rank <= 0.5)
        chosen |= here & told & part
    found = _found(chosen, likelier, own)
    order = np.lexsort((found.places, found.measure))
    return Implausible(
        places=found.places[order], likelier=found.likelier[order], measure=found.measure[order]
    )


def ranks(
    truth: npt.NDArray[np.int64], predictions: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return for each row which share of the rows of other labels are less likely of its label.

    Those that are as likely count by half. 1 where there is no other label.
    """
    found = np.ones(len(truth))
    for label in np.unique(truth).tolist():
        here = truth == label
        others = np.sort(predictions[~here, label])
        if len(others):
            mine = predictions[here, label]
            twice = np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")
            found[here] = twice / (2.0 * len(others))
    return found


def _known(truth: npt.NDArray[np.int64], rank: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether a row's class is told by the features: its rows are not those of others."""
    rows = np.bincount(truth)
    early = np.bincount(truth[rank <= 0.5], minlength=len(rows))
    return np.asarray((2.0 * early <= WRONG * rows)[truth], dtype=bool)


def _groups(
    truth: npt.NDArray[np.int64], known: npt.NDArray[np.bool_], early: npt.NDArray[np.bool_]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the rows of each class that has early ones enough, and those of the rest together."""
    counts = np.bincount(truth[early], minlength=int(truth.max()) + 1)
    for label in np.flatnonzero(counts >= FEW).tolist():
        yield known & (truth == label)
    yield known & (counts < FEW)[truth]


def _level(rank: npt.NDArray[np.float64], told: npt.NDArray[np.bool_]) -> float:
    """Return down to which rank most labels are wrong; 0 where that is not to be said."""
    counts = np.array([np.count_nonzero(told & (rank <= level)) for level in LEVELS])
    # Fewer in the first quarter than their share: the second has some that are hard to tell.
    wrong = min(counts[1] / LEVELS[1], (counts[0] + np.sqrt(counts[0] + 1)) / LEVELS[0])
    whole = np.count_nonzero(rank <= LEVELS[6]) / LEVELS[6]
    good = np.flatnonzero((wrong * LEVELS >= PRECISION * counts) & (counts >= LEAST))
    if not len(good) or wrong < APART * whole or whole - wrong > HARD * len(rank):
        return 0.0
    return float(LEVELS[good[-1]])


# -------------------------------------------------------------------------------------- regression


def _slips(truth: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]) -> Implausible:
    """Return the rows whose distance, or ratio, stands apart from those of all others."""
    distance = _scaled(predictions, truth - predictions)
    chosen = apart(distance)
    measure = np.where(chosen, distance, 0.0)
    if (truth > 0).all():
        least = np.maximum(predictions, np.quantile(truth, 0.001))
        distance = _scaled(predictions, np.log(truth / least))
        ratio = apart(distance)
        chosen |= ratio
        measure = np.maximum(measure, np.where(ratio, distance, 0.0))
    found = _found(chosen, predictions, measure)
    order = np.lexsort((found.places, -found.measure))
    return Implausible(
        places=found.places[order], likelier=found.likelier[order], measure=found.measure[order]
    )


def _scaled(
    predictions: npt.NDArray[np.float64], residual: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return absolute residuals in medians of those of rows that are predicted alike."""
    size, order = np.abs(residual), np.argsort(predictions, kind="stable")
    parts = np.array_split(np.arange(len(size)), int(np.clip(len(size) // 100, 1, 40)))
    medians = [np.median(size[order[part]]) for part in parts]
    scale = np.empty(len(size))
    scale[order] = np.interp(np.arange(len(size)), [part.mean() for part in parts], medians)
    scale = np.maximum(scale, 0.2 * np.median(size))
    found = np.zeros(len(size))
    np.divide(size, scale, out=found, where=scale > 0)
    return found


def apart(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which distances stand beyond a gap that a heavy tail would not leave.

    Of a tail as heavy as Pareto's that leaves a share s of ``deep`` ones beyond a factor, the same
    share is left beyond the next such factor, and of a lighter one less. What is beyond a gap is
    told where so many, or more, of those before and behind it would be beyond it by a chance of
    `CHANCE`.

    Parameters
    ----------
    distance : float64, shape (n,), at least 0
        In units of what is usual.
    """
    ordered = np.sort(distance)
    best, least = np.inf, CHANCE
    for count in range(1, int(MOST * len(ordered)) + 1):
        edge = ordered[-count]
        if edge < FAR:
            break
        for gap in GAPS:
            near, deep = (len(ordered) - np.searchsorted(ordered, edge / gap**k) for k in (1, 2))
            tail = float(np.clip(np.log(deep / near) / np.log(gap) - 0.25, 0.25, 4.0))
            chance = float(bdtr(near - count, near, 1.0 - gap**-tail))
            if chance < least:
                best, least = edge, chance
    return np.asarray(distance >= best, dtype=bool)
