"""Metrics of predicted values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Task
from raymm.evaluation.metrics import Resampled, RowMean, Values
from raymm.plugins import metric

NUMBERS: tuple[Task, ...] = ("regression",)


@metric("rmse")
class Rmse(RowMean):
    """Root of the mean squared error, in the target's unit."""

    direction = "minimize"
    tasks = NUMBERS
    bounded = False

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        return np.asarray(np.square(np.asarray(prediction, np.float64) - truth), dtype=np.float64)

    def finish(self, means: Values) -> Values:
        """Return the root."""
        return np.sqrt(means)


@metric("mae")
class Mae(RowMean):
    """Mean absolute error, in the target's unit."""

    direction = "minimize"
    tasks = NUMBERS
    bounded = False

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        return np.asarray(np.abs(np.asarray(prediction, np.float64) - truth), dtype=np.float64)

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """The median."""
        return np.asarray(np.median(truth), dtype=np.float64)


@metric("mape")
class Mape(RowMean):
    """Mean absolute error as a share of the true value; NaN where a true value is 0."""

    direction = "minimize"
    tasks = NUMBERS
    bounded = False

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        scale = np.where(truth == 0, np.nan, np.abs(truth))
        return np.asarray(
            np.abs(np.asarray(prediction, np.float64) - truth) / scale, dtype=np.float64
        )

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """The median under weights 1 / abs(truth), which minimises the mean share."""
        order = np.argsort(truth)
        share = np.cumsum(1 / np.maximum(np.abs(truth[order]), np.finfo(np.float64).tiny))
        return np.asarray(truth[order][np.searchsorted(share, share[-1] / 2)], np.float64)


@metric("rmsle")
class Rmsle(Rmse):
    """Root of the mean squared error of log(1 + value); NaN where a true value is below 0.

    Predictions below 0 count as 0, for a model cannot be kept from them.
    """

    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss; see `RowMean.losses`."""
        logs = np.log1p(np.where(truth < 0, np.nan, truth))
        return np.asarray(
            np.square(np.log1p(np.maximum(np.asarray(prediction, np.float64), 0)) - logs),
            dtype=np.float64,
        )

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """The mean of log(1 + value), turned back."""
        return np.asarray(np.expm1(np.log1p(np.maximum(truth, 0)).mean()), dtype=np.float64)


@metric("r2")
class R2(Resampled):
    """One minus the squared error as a share of the target's variance; NaN where that is 0."""

    direction = "maximize"
    tasks = NUMBERS

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""
        centred = np.asarray(truth, np.float64) - np.mean(truth)
        error = np.square(np.asarray(prediction, np.float64) - truth)
        rows = np.stack([error, centred, centred**2], axis=1)
        means = (weights @ rows) / weights.sum(axis=1, dtype=np.float64)[:, None]
        spread = means[:, 2] - means[:, 1] ** 2
        known = spread > 1e-12 * np.maximum(means[:, 2], np.finfo(np.float64).tiny)
        return np.where(known, 1 - means[:, 0] / np.where(known, spread, 1), np.nan)
