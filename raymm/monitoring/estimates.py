"""How good a version's answers are likely to be, before a label of them is known.

A probability that means what it says tells how often its answer is right, so the accuracy of
unlabelled rows is the mean of their answers' probabilities; ranks can be estimated alike. This is
confidence-based performance estimation (CBPE). Probabilities are put in bins of equal width in
log-odds, and each bin's frequency on labelled rows stands for its probability, made to rise with
it by isotonic regression.

**Limits.** It holds where the rows change (covariate shift), as long as a probability means the
same as on the rows that it was calibrated on. Where the target's relation to the rows changes
(concept drift), no method can see it without labels, and the report says so. A regression's
answers carry no probability, and nothing is estimated for them.

Sources: Guillory et al. 2021, "Predicting with confidence on unseen distributions"; Kivimäki et
al. 2025, "Confidence-based estimators for predictive performance in model monitoring" (JAIR 82);
Barlow & Brunk 1972 for isotonic regression.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Reliability, Target
from raymm.bundle.blend import decided

BINS = 320
_REACH = 8.0
"""Log-odds beyond this share the outermost bins."""
LEAST_LABELS = 200
"""Labelled rows from which on frequencies are trusted, of a reference or where none is known."""
ENOUGH_LABELS = 1000
"""Labelled rows from which on they stand for the reference, being newer."""
LEVEL = 0.95
LIMITS = (
    "Estimated from probabilities without labels. It follows a change of the rows, but cannot see "
    "concept drift: a change of what the rows mean for the target. Only true labels show that."
)
NO_NUMBERS = (
    "Not available for a regression: its answers carry no probability of being right. "
    "Send true values to learn its quality."
)

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def centres() -> Values:
    """Return the probability in the middle of each bin, shape (BINS,)."""
    width = 2 * _REACH / BINS
    return np.asarray(1 / (1 + np.exp(_REACH - width * (np.arange(BINS) + 0.5))))


def bins_of(probability: npt.NDArray[Any]) -> Counts:
    """Return each probability's bin, shape (n,)."""
    p = np.clip(np.asarray(probability, np.float64), 1e-12, 1 - 1e-12)
    place = (np.log(p / (1 - p)) + _REACH) * (BINS / (2 * _REACH))
    bins: Counts = np.clip(place, 0, BINS - 1).astype(np.int64)
    return bins


def confidence(target: Target, predictions: npt.NDArray[Any]) -> tuple[Values, Counts]:
    """Return what is binned and the answered class, both of shape (n,).

    For two classes that is the positive one's probability; for more the answered class's.
    """
    answered = decided(predictions, target.decision).argmax(axis=1)
    if predictions.shape[1] == 2:
        return np.asarray(predictions[:, 1], np.float64), answered
    return np.asarray(predictions[np.arange(len(answered)), answered], np.float64), answered


def reliability(
    target: Target, truth: npt.NDArray[Any], predictions: npt.NDArray[Any]
) -> Reliability:
    """Count rows that were not trained on by their confidence, and how often it came true.

    ``truth`` are class codes, shape (n,), ``predictions`` have shape (n, classes).
    """
    told, answered = confidence(target, predictions)
    came = truth == (1 if predictions.shape[1] == 2 else answered)
    place = bins_of(told)
    return Reliability(
        rows=tuple(np.bincount(place, minlength=BINS).tolist()),
        hits=tuple(np.bincount(place[came], minlength=BINS).tolist()),
    )


def calibrated(reference: Reliability | None) -> Values:
    """Return each bin's probability, shape (BINS,), rising; as told where nothing is known.

    A thousandth of a row that came out as told is added to each bin, so that an empty one has a
    value.
    """
    told = centres()
    if reference is None or len(reference.rows) != BINS or not sum(reference.rows):
        return told
    rows = np.asarray(reference.rows, np.float64)
    hits = np.asarray(reference.hits, np.float64)
    faint = 1e-3
    return rising((hits + faint * told) / (rows + faint), rows + faint)


def rising(values: Values, weights: Values) -> Values:
    """Return the rising sequence nearest to values, shape (n,), in weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, held, count = value, weight, 1
        while blocks and blocks[-1][0] >= mean:
            before, there, some = blocks.pop()
            mean = (mean * held + before * there) / (held + there)
            held, count = held + there, count + some
        blocks.append((mean, held, count))
    return np.repeat([mean for mean, _, _ in blocks], [count for _, _, count in blocks])


def expected(answered: npt.NDArray[np.int64], likely: Values, *, binary: bool) -> dict[str, Any]:
    """Return the expected figures of counted rows.

    Parameters
    ----------
    answered : int64, shape (2, BINS)
        Rows a bin whose answer is the first class, and the others.
    likely : float64, shape (BINS,)
        From `calibrated`.

    Returns
    -------
    Of "accuracy", and for two classes "roc_auc", the value; of accuracy also the interval in which
    it lies by chance alone.
    """
    rows = int(answered.sum())
    right = np.stack([1 - likely, likely]) if binary else np.stack([likely, likely])
    mean = float((answered * right).sum() / rows)
    spread = float(np.sqrt((answered * right * (1 - right)).sum()) / rows)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * spread
    figures: dict[str, Any] = {
        "accuracy": {"value": mean, "low": max(0.0, mean - reach), "high": min(1.0, mean + reach)}
    }
    if binary:
        each = answered.sum(axis=0)
        positive, negative = each * likely, each * (1 - likely)
        pairs = positive.sum() * negative.sum()
        below = np.cumsum(negative) - negative / 2
        area = float((positive * below).sum() / pairs) if pairs > 0 else None
        figures["roc_auc"] = {"value": area}
    return figures


class Estimate:
    """Expected quality of windows of rows of one version.

    Parameters
    ----------
    target : Target
    window : int
        Rows of a window.
    """

    def __init__(self, target: Target, *, window: int) -> None:
        self.target = target
        self.window = window
        self._open: Counts = np.zeros((2, BINS), np.int64)
        self._last: Counts | None = None

    def update(self, predictions: npt.NDArray[Any]) -> None:
        """Count predictions, shape (n, classes); rows that hold what is not finite are left out."""
        if self.target.task == "regression" or predictions.ndim != 2 or not len(predictions):
            return
        known = predictions[np.isfinite(predictions).all(axis=1)]
        told, answered = confidence(self.target, known)
        cells = bins_of(told) + BINS * (answered != 0)
        start = 0
        while start < len(cells):
            if self._open.sum() >= self.window:  # it was configured smaller since
                self._last, self._open = self._open, np.zeros_like(self._open)
            stop = start + self.window - int(self._open.sum())
            counts = np.bincount(cells[start:stop], minlength=2 * BINS)
            self._open += counts.reshape(2, BINS)
            start = stop
            if self._open.sum() >= self.window:
                self._last, self._open = self._open, np.zeros_like(self._open)

    def report(self, truth: npt.NDArray[Any], rows: npt.NDArray[Any]) -> dict[str, Any]:
        """Return what is expected of the last complete window, None before the first.

        ``truth`` and ``rows`` are the labelled rows known, as of `Judged.rows`.
        """
        if self.target.task == "regression":
            return {"available": False, "reason": NO_NUMBERS}
        source, reference = "none", self.target.reliability
        if reference is not None:
            source = "reference"
        if len(truth) >= (LEAST_LABELS if reference is None else ENOUGH_LABELS):
            source, reference = "labels", reliability(self.target, truth, rows)
        report: dict[str, Any] = {
            "available": True,
            "n": 0,
            "accuracy": None,
            "level": LEVEL,
            "calibrated_on": source,
            "calibration_rows": 0 if reference is None else sum(reference.rows),
            "limits": LIMITS,
        }
        if self._last is not None:
            report["n"] = int(self._last.sum())
            binary = self.target.task == "binary"
            report |= expected(self._last, calibrated(reference), binary=binary)
        return report

    def state(self) -> dict[str, Any]:
        """Return the windows' counts as plain JSON values."""
        last = None if self._last is None else self._last.tolist()
        return {"open": self._open.tolist(), "last": last}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; raises ValueError where it does not fit."""
        self._open = _counts(state["open"])
        self._last = None if state["last"] is None else _counts(state["last"])
        return self


def _counts(value: Any) -> Counts:
    counts = np.asarray(value, np.int64)
    if counts.shape != (2, BINS):
        raise ValueError(f"its estimate has the shape {counts.shape}")
    return counts
