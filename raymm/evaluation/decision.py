"""Which label to answer: weights of the classes, chosen for a metric of labels.

A metric that counts classes otherwise than accuracy does is not at its best with the likeliest
class: for balanced accuracy a class counts as much as it is rare, for F1 the threshold is half of
the score that can be reached (Lipton, Elkan & Naryanaswamy 2014). Moving the decision does what
weights of the classes in training would, and leaves the probabilities true (Elkan 2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Direction, MetricLike
from raymm.evaluation.metrics import Metric

CANDIDATES = 200
"""Up to which each value between two classes is tried; beyond, so many of the rows of each."""
SMOOTH, SMOOTH_BOTH = 5, 9
"""Neighbouring thresholds whose mean score counts, so that no single row decides; as many again
where they stand at rows of both classes."""
FEW_CLASSES = 10
"""Up to which each class's weight is tried by itself; beyond, a power of all frequencies is."""
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FACTORS = (0.5, 0.7, 0.85, 1.2, 1.4, 2.0)

Values = npt.NDArray[np.float64]


def choose(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    *,
    single: bool = True,
) -> Values:
    """Return the weights of the classes that score best on these rows.

    Parameters
    ----------
    truth : int64, shape (n,)
    predictions : shape (n, classes)
        Probabilities of rows that were not trained on.
    single : bool
        Whether to look at each of several classes by itself, which takes longer.

    Returns
    -------
    float64, shape (classes,)
        Positive, summing to 1; all equal where nothing scores better.
    """
    if predictions.shape[1] == 2:
        return _threshold(metric, truth, predictions)
    return _weights(metric, truth, predictions, single=single)


def crossed(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    part: npt.NDArray[np.int64],
    *,
    single: bool = True,
) -> npt.NDArray[Any]:
    """Return weighed probabilities of each row, its weights chosen on the other parts alone."""
    made = np.array(predictions)
    for number in np.unique(part):
        here = part == number
        weights = choose(metric, truth[~here], predictions[~here], single=single)
        made[here] = weigh(predictions[here], weights)
    return made


class Decided:
    """A metric of labels after the decision has been moved, each half of the rows by the other.

    What a search compares where the decision will be moved in the end: with the likeliest class
    most trials on a rare one would score the same.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.name = metric.name
        self.direction: Direction = metric.direction

    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score probabilities; see `Metric`."""
        half = np.arange(len(truth), dtype=np.int64) % 2
        weighed = crossed(self.metric, truth, prediction, half, single=False)
        return float(self.metric(truth, weighed))


def judge(metric: Metric, *, moves: bool) -> Metric | Decided:
    """Return what trials are compared by: `Decided` where the decision ``moves`` and that helps."""
    return Decided(metric) if moves and metric.decidable and not metric.likeliest else metric


def weigh(predictions: npt.NDArray[Any], weights: Sequence[float] | Values) -> npt.NDArray[Any]:
    """Return probabilities times the classes' weights, rows summing to 1 again."""
    weighed = predictions * np.asarray(weights, dtype=np.float64)
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def _threshold(
    metric: MetricLike, truth: npt.NDArray[Any], predictions: npt.NDArray[Any]
) -> Values:
    sign = 1.0 if metric.direction == "maximize" else -1.0
    likely, window = _tried(truth, predictions[:, 1])
    thresholds = np.clip((likely[:-1].astype(np.float64) + likely[1:]) / 2, 1e-6, 1 - 1e-6)
    if not len(thresholds):
        return np.full(2, 0.5)
    found = sign * _scores(metric, truth, predictions[:, 1], np.append(thresholds, 0.5))
    found = np.where(np.isfinite(found), found, -np.inf)
    ends = np.pad(found[:-1], window // 2, mode="edge")
    smooth = np.lib.stride_tricks.sliding_window_view(ends, window).mean(axis=1)
    best = int(np.argmax(smooth))
    if not found[best] > found[-1]:
        return np.full(2, 0.5)
    return np.array([thresholds[best], 1 - thresholds[best]])


def _tried(truth: npt.NDArray[Any], positive: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """Return values to put thresholds between, and how many neighbours of them are averaged.

    Where there are more than `CANDIDATES`, even shares of each class's rows: of 20,000 rows with 40
    of a rare class, shares of all would stand 100 rows apart, and one alone would call about as
    many rows as are of the class. On such rows F1 came to 0.238 of fresh ones, and 0.139 with
    shares of all; with a class of 5 % the two came to the same.
    """
    every = np.unique(positive)
    if len(every) <= CANDIDATES:
        return every, SMOOTH
    places = np.linspace(0, 1, CANDIDATES)
    parts = [np.unique(positive[truth == code]) for code in (0, 1)]
    return np.unique(
        np.concatenate([np.quantile(part, places) for part in parts if len(part)])
    ), SMOOTH_BOTH


def _scores(
    metric: MetricLike, truth: npt.NDArray[Any], positive: npt.NDArray[Any], thresholds: Values
) -> Values:
    """Return the score of answering the last class above each threshold, shape (thresholds,).

    A metric that can score counts (``score``) is given those of all thresholds at once.
    """
    score = getattr(metric, "score", None)
    if score is None:
        called = (positive > one for one in thresholds)
        made = (np.stack([~one, one], axis=1).astype(np.float32) for one in called)
        return np.array([metric(truth, one) for one in made], dtype=np.float64)
    order = np.argsort(positive, kind="stable")
    below = np.searchsorted(positive[order], thresholds, side="right")
    ones = np.concatenate([[0], np.cumsum(truth[order] == 1)])
    rows, total = len(truth), float(ones[-1])
    predicted = np.stack([below, rows - below], axis=1).astype(np.float64)
    hits = np.stack([below - ones[below], total - ones[below]], axis=1).astype(np.float64)
    actual = np.tile([rows - total, total], (len(thresholds), 1))
    return np.asarray(score(hits, actual, predicted), dtype=np.float64)


def _weights(
    metric: MetricLike, truth: npt.NDArray[Any], predictions: npt.NDArray[Any], *, single: bool
) -> Values:
    """Try powers of the classes' frequencies, then each ``single`` class's weight by itself."""
    sign = 1.0 if metric.direction == "maximize" else -1.0
    classes = predictions.shape[1]
    shares = np.maximum(np.bincount(truth, minlength=classes), 1) / len(truth)

    def score(weights: Values) -> float:
        found = sign * metric(truth, weigh(predictions, weights))
        return found if np.isfinite(found) else -np.inf

    tried = [shares**-power for power in _POWERS]
    scores = [score(one) for one in tried]
    best = int(np.argmax(scores))
    weights, reached = tried[best], scores[best]
    for one in range(classes if single and classes <= FEW_CLASSES else 0):
        for factor in _FACTORS:
            moved = weights.copy()
            moved[one] *= factor
            found = score(moved)
            if found > reached:
                weights, reached = moved, found
    return np.asarray(weights / weights.sum())
