"""The contract of a metric, and how a metric is looked up.

The metrics are written here in numpy because a bootstrap scores one prediction a thousand times: on
10,000 rows scikit-learn's ``roc_auc_score`` takes about 3 ms a call with its checks, and
`Metric.weighted` about 0.1 ms a resample after one sort. Tests hold every value to scikit-learn's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Direction, Task
from raymm.bootstrap import repeated
from raymm.errors import ConfigError
from raymm.plugins import metrics

Values = npt.NDArray[np.float64]


class Metric(ABC):
    """A number that says how good predictions are.

    Attributes
    ----------
    direction : "maximize" or "minimize"
    tasks : tuple of Task
        The tasks it is defined for.
    bounded : bool
        Whether it lies on a scale where an absolute difference has a meaning of its own (0 to 1,
        or at most 1); else differences are judged as a share of the value.
    labels : bool
        Whether it judges the label of each row rather than its probabilities.
    decidable : bool
        Whether it pays to choose weights of the classes for it: it judges labels, and no answer
        that is the same for every row is the best one.
    likeliest : bool
        Whether the likeliest class is the best answer for it, where probabilities are true.
    strays : bool
        Whether chance alone leads it away from perfect, so that it is worse on resamples of some
        rows, on the whole, than on the rows.
    """

    name: str
    direction: Direction
    tasks: tuple[Task, ...]
    bounded: bool = True
    labels: bool = False
    decidable: bool = False
    likeliest: bool = False
    strays: bool = False

    @abstractmethod
    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions.

        ``truth`` has shape (n,): class codes or values. ``prediction`` has shape (n, classes)
        with probabilities, or (n,) with values. Where two classes are told apart, the last is
        the positive one. NaN where the metric is not defined on these rows.
        """

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples: whole weights of shape (b, n) say how often each row counts.

        Returns float64, shape (b,), equal to calling the metric on the rows repeated so often.
        """
        return repeated(self, truth, prediction, weights)

    def trivial(self, truth: npt.NDArray[Any], classes: int) -> Values:
        """Return the constant prediction that scores best on training rows ``truth``.

        Shape (classes,), probabilities; or (), a value. Class frequencies or the mean unless a
        metric says otherwise.
        """
        if classes:
            return np.bincount(truth.astype(np.int64), minlength=classes) / len(truth)
        return np.asarray(np.mean(truth), dtype=np.float64)


class Resampled(Metric):
    """A metric whose formula takes weights, so that one call is the case of weights one."""

    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions; see `Metric`."""
        if len(truth) == 0:
            return float("nan")
        return float(self.weighted(truth, prediction, np.ones((1, len(truth)), np.float32))[0])

    @abstractmethod
    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""


class RowMean(Resampled):
    """A metric that is the mean of a loss, or a function of that mean."""

    @abstractmethod
    def losses(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> Values:
        """Return each row's loss, shape (n,)."""

    def finish(self, means: Values) -> Values:
        """Turn mean losses, shape (b,), into scores."""
        return means

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""
        losses = self.losses(truth, prediction)
        # einsum multiplies float32 counts with float64 losses without a float64 copy of the
        # weights, and a single non-finite loss makes its resamples non-finite, as it should.
        totals = np.einsum("bn,n->b", weights, losses, dtype=np.float64)
        return self.finish(totals / weights.sum(axis=1, dtype=np.float64))


# ----------------------------------------------------------------------------------- look-ups


def default_metric(task: Task) -> str:
    """Return the name of the metric used where none is asked for."""
    return {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}[task]


def metric_for(name: str, task: Task) -> Metric:
    """Return the metric of that name, or the task's default for "auto".

    Raises
    ------
    ConfigError
        When no metric has the name, or it does not suit the task; those that do are named.
    """
    made = metrics.get(default_metric(task) if name == "auto" else name)()
    if task not in made.tasks:
        suited = ", ".join(suitable(task))
        raise ConfigError(
            f'goal.metric "{name}" does not suit a {task} target. Set one of: {suited}.'
        )
    return made


def suitable(task: Task) -> tuple[str, ...]:
    """Return the names of the metrics that suit a task, sorted."""
    return tuple(name for name in metrics.names() if task in metrics.get(name).tasks)


def baseline_prediction(
    y_train: npt.NDArray[Any], classes: int, n: int, *, metric: Metric
) -> npt.NDArray[np.float64]:
    """Return the best constant prediction for ``n`` rows, knowing only the training target.

    Shape (n, classes) for classes, (n,) for regression (``classes`` 0).
    """
    constant = np.asarray(metric.trivial(y_train, classes), dtype=np.float64)
    return np.broadcast_to(constant, (n, *constant.shape)).copy()


def ratio(part: Values, whole: Values) -> Values:
    """Divide arrays of counts, with 0 where the whole is 0."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0)


def require_finite(prediction: npt.NDArray[Any]) -> None:
    """Raise ValueError when a prediction is NaN or infinite."""
    if not np.isfinite(prediction).all():
        raise ValueError("predictions must be finite, but some are NaN or infinite")
