"""Whether probabilities mean what they say, and a mend that does not change their order.

For two classes the log-odds get a slope and a shift (Platt 1999); for more the logarithms of the
probabilities get a slope, which is temperature scaling (Guo et al. 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts.recipe import SAME
from raymm.bundle.blend import FLOOR, LEAST_SLOPE, calibrated
from raymm.evaluation.metrics import Resampled, Values

BINS = 15
MOST_SLOPE = 5.0
_STEPS = 50


class CalibrationError(Resampled):
    """How far probabilities lie from frequencies, in [0, 1]; 0 is perfect.

    Rows are cut into `BINS` bins of like sizes by the probability of the last class for two
    classes, of the likeliest class for more; the error is the mean of the bins' distances between
    mean probability and frequency. It is never below 0 and so above it by chance: with n rows by
    about sqrt(BINS / n) / 3. Source: Naeini, Cooper & Hauskrecht 2015; Nguyen & O'Connor 2015 for
    bins of like sizes.
    """

    name = "calibration_error"
    direction = "minimize"
    tasks = ("binary", "multiclass")
    strays = True

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> Values:
        """Score resamples; see `Metric.weighted`."""
        binary = prediction.shape[1] == 2
        told = prediction[:, 1] if binary else prediction.max(axis=1)
        happened = truth == (1 if binary else prediction.argmax(axis=1))
        place = np.empty(len(told), dtype=np.int64)
        place[np.argsort(told, kind="stable")] = np.arange(len(told)) * BINS // len(told)
        table = np.zeros((len(told), BINS), dtype=np.float32)
        table[np.arange(len(told)), place] = happened - told.astype(np.float64)
        apart = np.abs((weights @ table).astype(np.float64)).sum(axis=1)
        return np.asarray(apart / weights.sum(axis=1, dtype=np.float64), dtype=np.float64)


def fit(truth: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the slope and the shift that give the least log loss on these rows.

    Parameters
    ----------
    truth : int64, shape (n,)
    predictions : shape (n, classes)
        Probabilities of rows that were not trained on.

    Returns
    -------
    slope, shift : float
        As in `raymm.artifacts.Recipe`. (1, 0), which changes nothing, where the rows hold a single
        class. The slope is at least `raymm.bundle.blend.LEAST_SLOPE` and at most `MOST_SLOPE`.
    """
    if len(np.unique(truth)) < 2:
        return SAME
    raised = np.log(np.asarray(predictions, dtype=np.float64) + FLOOR)
    return (
        _two(truth, raised[:, 1] - raised[:, 0]) if raised.shape[1] == 2 else _more(truth, raised)
    )


def crossed(
    truth: npt.NDArray[Any], predictions: npt.NDArray[Any], part: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return calibrated probabilities of each row, calibrated on the other parts alone."""
    made = np.array(predictions, dtype=np.float64)
    for number in np.unique(part):
        here = part == number
        made[here] = calibrated(made[here], fit(truth[~here], predictions[~here]))
    return made


def _two(truth: npt.NDArray[Any], odds: Values) -> tuple[float, float]:
    """Newton's method on slope and shift; the log loss is convex in them.

    Where the slope stands at an end of its range, the shift alone goes on.
    """
    slope, shift = SAME
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(slope * odds + shift, -500, 500)))
        off, spread = likely - truth, likely * (1 - likely) + 1e-9
        gradient = np.array([np.mean(off * odds), np.mean(off)])
        cross = np.mean(spread * odds)
        bend = np.array([[np.mean(spread * odds**2) + 1e-9, cross], [cross, np.mean(spread)]])
        step = np.clip(np.linalg.solve(bend, gradient), -1.0, 1.0)
        moved = float(np.clip(slope - step[0], LEAST_SLOPE, MOST_SLOPE))
        if moved == slope:
            step[1] = np.clip(gradient[1] / bend[1, 1], -1.0, 1.0)
        change = max(abs(moved - slope), abs(step[1]))
        slope, shift = moved, float(shift - step[1])
        if change < 1e-10:
            break
    return slope, shift


def _more(truth: npt.NDArray[Any], raised: Values) -> tuple[float, float]:
    """Newton's method on the slope alone."""
    slope, given = 1.0, raised[np.arange(len(truth)), truth]
    for _ in range(_STEPS):
        power = np.exp(slope * raised - (slope * raised).max(axis=1, keepdims=True))
        power /= power.sum(axis=1, keepdims=True)
        expected = (power * raised).sum(axis=1)
        bend = float((power * np.square(raised)).sum(axis=1).mean() - np.square(expected).mean())
        step = float(np.mean(expected - given)) / max(bend, 1e-9)
        slope = float(np.clip(slope - np.clip(step, -0.5, 0.5), LEAST_SLOPE, MOST_SLOPE))
        if abs(step) < 1e-10:
            break
    return slope, 0.0
