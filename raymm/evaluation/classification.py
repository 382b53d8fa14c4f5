"""Metrics of class probabilities: mean losses, table counts and ranks."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Direction, Task
from raymm.evaluation.metrics import Metric, Resampled, RowMean, Values, ratio, require_finite
from raymm.plugins import metric

CLASSES: tuple[Task, ...] = ("binary", "multiclass")


# ---- mean losses


@metric("accuracy")
class Accuracy(RowMean):
    """Share of rows whose most probable class is the true one."""

    direction = "maximize"
    tasks = CLASSES
    labels = True
    decidable = True
    likeliest = True

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        require_finite(prediction)
        return np.asarray((prediction.argmax(axis=1) == truth), dtype=np.float64)

    def score(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores, shape (b,), of counts of shape (b, classes); see `_Counts`."""
        return ratio(hits.sum(axis=1), actual.sum(axis=1))


@metric("log_loss")
class LogLoss(RowMean):
    """Mean of minus the logarithm of the probability given to the true class, in nats.

    Probabilities are kept above the smallest step of their own type, as scikit-learn does.
    """

    direction = "minimize"
    tasks = CLASSES
    bounded = False

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        smallest = float(np.finfo(prediction.dtype).eps)
        given = prediction[np.arange(len(truth)), truth].astype(np.float64)
        return np.asarray(-np.log(np.clip(given, smallest, 1 - smallest)), dtype=np.float64)


@metric("brier")
class Brier(RowMean):
    """Mean squared distance of the probabilities to the truth (Brier 1950).

    Of the positive class's probability for two classes, in [0, 1]; summed over the classes for
    more, in [0, 2].
    """

    direction = "minimize"
    tasks = CLASSES

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        probabilities = prediction.astype(np.float64)
        if probabilities.shape[1] == 2:
            return np.asarray(np.square(probabilities[:, 1] - truth), dtype=np.float64)
        given = probabilities[np.arange(len(truth)), truth]
        return np.asarray(np.square(probabilities).sum(axis=1) - 2 * given + 1, dtype=np.float64)


# ----------------------------------------------------------------------- classes: table counts


class _Counts(Resampled):
    """A metric of three counts a class: hits, rows of the class, rows predicted as the class."""

    direction: Direction = "maximize"
    tasks = CLASSES
    labels = True
    decidable = True

    @abstractmethod
    def score(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores, shape (b,), of counts of shape (b, classes)."""

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""
        require_finite(prediction)
        # Whole numbers below 2**24 are exact in float32, so sums of counts are too.
        eye = np.eye(prediction.shape[1], dtype=np.float32)
        actual, predicted = eye[truth], eye[prediction.argmax(axis=1)]
        tables = [actual * predicted, actual, predicted]
        hits, rows, calls = ((weights @ table).astype(np.float64) for table in tables)
        return self.score(hits, rows, calls)


class _PerClass(_Counts):
    """The positive class's score for two classes; for more, the mean over the classes seen."""

    @abstractmethod
    def each(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of single classes, shape (b, classes)."""

    def score(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of the counts."""
        scores = self.each(hits, actual, predicted)
        if scores.shape[1] == 2:
            return scores[:, 1]
        seen = (actual + predicted) > 0
        return np.asarray(
            np.where(seen, scores, 0).sum(axis=1) / seen.sum(axis=1), dtype=np.float64
        )

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """Always the positive class for two, for never calling it scores 0."""
        return np.array([0.0, 1.0]) if classes == 2 else super().trivial(truth, classes)


@metric("f1")
class F1(_PerClass):
    """Harmonic mean of precision and recall; 0 where there is no hit."""

    def each(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of single classes."""
        return ratio(2 * hits, actual + predicted)


@metric("precision")
class Precision(_PerClass):
    """Share of the rows called a class that are of it; 0 where none is called so."""

    decidable = False

    def each(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of single classes."""
        return ratio(hits, predicted)


@metric("recall")
class Recall(_PerClass):
    """Share of a class's rows that are called so; 0 where it has none."""

    decidable = False

    def each(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of single classes."""
        return ratio(hits, actual)

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """Class frequencies: always calling a class reaches 1, and nothing could beat that."""
        return Metric.trivial(self, truth, classes)


@metric("balanced_accuracy")
class BalancedAccuracy(_Counts):
    """Mean recall over the classes that have rows."""

    def score(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of the counts."""
        return np.asarray(
            ratio(hits, actual).sum(axis=1) / (actual > 0).sum(axis=1), dtype=np.float64
        )


@metric("mcc")
class Matthews(_Counts):
    """Matthews' correlation coefficient, in [-1, 1]; 0 where either side has one class only.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
    coefficient".
    """

    def score(self, hits: Values, actual: Values, predicted: Values) -> Values:
        """Return scores of the counts."""
        n = actual.sum(axis=1)
        both = hits.sum(axis=1) * n - (actual * predicted).sum(axis=1)
        spread = n**2 - np.square([predicted, actual]).sum(axis=2)
        return ratio(both, np.sqrt(spread[0] * spread[1]))


# ----------------------------------------------------------------------------- classes: ranks


class _Ranks(Resampled):
    """A metric of how one class's probability orders rows; the mean over classes for several."""

    direction: Direction = "maximize"
    tasks = CLASSES

    @abstractmethod
    def one(
        self, positive: npt.NDArray[np.bool_], score: Values, weights: npt.NDArray[np.float32]
    ) -> Values:
        """Return scores, shape (b,), of one class against the rest; NaN where not defined."""

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""
        require_finite(prediction)
        if prediction.shape[1] == 2:
            return self.one(truth == 1, prediction[:, 1], weights)
        present = np.unique(truth)
        scores = np.stack([self.one(truth == c, prediction[:, c], weights) for c in present])
        known = np.isfinite(scores)
        total = np.where(known, scores, 0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


@metric("roc_auc")
class RocAuc(_Ranks):
    """Chance that a positive row is ranked above a negative one, ties counted half.

    One class against the rest, averaged over the classes present, where there are more than two.
    Source: Hanley & McNeil 1982.
    """

    def one(
        self, positive: npt.NDArray[np.bool_], score: Values, weights: npt.NDArray[np.float32]
    ) -> Values:
        """Return scores of one class."""
        order = np.argsort(score, kind="stable")
        ordered, marks = score[order], positive[order]
        ranked = weights[:, order]
        below = np.zeros((len(weights), len(order) + 1), np.float32)
        np.cumsum(np.where(marks, np.float32(0), ranked), axis=1, out=below[:, 1:])
        # A positive beats every negative before its group of equal scores and half of those in.
        first = np.searchsorted(ordered, ordered[marks], side="left")
        last = np.searchsorted(ordered, ordered[marks], side="right")
        beaten = (below[:, first] + below[:, last]) / 2
        hits = ranked[:, marks]
        won = np.einsum("bn,bn->b", hits, beaten, dtype=np.float64)
        pairs = hits.sum(axis=1, dtype=np.float64) * below[:, -1]
        return np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)


@metric("average_precision")
class AveragePrecision(_Ranks):
    """Mean precision over the positive rows, each at the threshold of its own score.

    One class against the rest, averaged over the classes present, where there are more than two.
    """

    def one(
        self, positive: npt.NDArray[np.bool_], score: Values, weights: npt.NDArray[np.float32]
    ) -> Values:
        """Return scores of one class."""
        order = np.argsort(-score, kind="stable")
        falling, marks = -score[order], positive[order]
        ranked = weights[:, order]
        last = np.searchsorted(falling, falling[marks], side="right") - 1
        called = np.cumsum(ranked, axis=1)[:, last]
        hits = ranked[:, marks]
        # Positives among the rows called: those up to the end of the same group of scores.
        group = np.searchsorted(last, last, side="right") - 1
        found = np.cumsum(hits, axis=1)[:, group]
        precision = ratio(found.astype(np.float64), called.astype(np.float64))
        total = hits.sum(axis=1, dtype=np.float64)
        mean = (hits * precision).sum(axis=1) / np.maximum(total, 1)
        return np.where(total > 0, mean, np.nan)
