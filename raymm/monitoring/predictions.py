"""What a version predicts, as one number a row, and what it predicted on its test rows.

What is served is compared with a reference: the version's own predictions on rows that it was not
trained on. Where they are not known, the first window that is served stands for them, and a service
whose rows were shifted from the start is not found out.

Bins end halfway between numbers that were predicted, and never between two that are nearly the
same: a forest predicts the same few numbers again and again, and what answers one row may round
otherwise than what answered the test rows at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import ColumnStatistics, Errors, Predictions, Statistics, Target

PREDICTION = "(prediction)"
"""The column of the statistics that describes predictions, where there is one."""
LEAST_ROWS = 200
"""Test rows from which on their predictions are a reference."""
MOST_CLASSES = 50
"""Of a target, of which each has a bin of its own."""
_SAME = 1e-5
"""Numbers that are no further apart than this share of themselves count as the same."""
_DECILES = np.arange(1, 10) / 10
_FEW = 20
"""Distinct numbers that have a bin each."""


def predicted(predictions: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return one number a row, shape (n,).

    Values of a regression as they are, of two classes the probability of the last, of more
    classes the code of the most probable one.
    """
    values = np.asarray(predictions, dtype=np.float64)
    if values.ndim == 1:
        return values
    if values.shape[1] <= 2:
        return np.asarray(values[:, -1])
    return np.asarray(np.argmax(values, axis=1), dtype=np.float64)


def bins_of(values: npt.NDArray[np.float64], *, classes: int = 0) -> ColumnStatistics:
    """Return statistics with bins of about a tenth of the values each, or one a distinct value.

    Parameters
    ----------
    values : shape (n,)
        What is not finite counts as missing.
    classes : int
        Where the values are codes of so many classes, each has a bin, up to `MOST_CLASSES`.
    """
    known = np.sort(values[np.isfinite(values)])
    last = _last_of_bins(known)
    edges: npt.NDArray[np.float64] = np.unique((known[last] + known[last + 1]) / 2)
    if 2 < classes <= MOST_CLASSES:
        edges = np.arange(0.5, classes - 1)
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return ColumnStatistics(
        name=PREDICTION,
        kind="number",
        rows=len(values),
        missing=len(values) - len(known),
        distinct=len(np.unique(known)),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def _last_of_bins(known: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the places in rising values, shape (n,), at which a bin ends; the last bin's not."""
    size = np.maximum(np.abs(known[:-1]), np.abs(known[1:]))
    gaps = np.flatnonzero(np.diff(known) > _SAME * size)
    if len(gaps) < _FEW:
        return gaps
    wanted = np.ceil(_DECILES * len(known)).astype(np.int64) - 1
    places = np.searchsorted(gaps, wanted)
    return gaps[np.unique(places[places < len(gaps)])]


def predictions_of(
    target: Target, truth: npt.NDArray[Any], predictions: npt.NDArray[Any]
) -> Predictions | None:
    """Return what a version predicted on rows that it was not trained on.

    Parameters
    ----------
    truth : shape (n,)
        Class codes or values.
    predictions : shape (n, classes) or (n,)

    Returns
    -------
    Predictions or None
        None of fewer rows than `LEAST_ROWS`, which say too little.
    """
    if len(predictions) < LEAST_ROWS:
        return None
    column = bins_of(predicted(predictions), classes=len(target.classes))
    if target.task != "regression":
        return Predictions(column=column)
    return Predictions(column=column, errors=errors_of(truth - np.asarray(predictions, np.float64)))


def errors_of(errors: npt.NDArray[np.float64]) -> Errors | None:
    """Return what is known of errors, shape (n,); None of fewer than two, or where it is no number.

    The deviation is the sample's (n - 1), the skewness the mean of cubes over that to the third.
    """
    if len(errors) < 2 or not np.isfinite(errors).all():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(errors.mean()), float(errors.std(ddof=1))
        cubes = ((errors - mean) / deviation) ** 3 if deviation > 0 else np.zeros(1)
        skewness = float(cubes.mean())
    if not np.isfinite([mean, deviation, skewness]).all():
        return None
    return Errors(rows=len(errors), mean=mean, deviation=deviation, skewness=skewness)


def described(statistics: Statistics, known: Predictions | None) -> Statistics:
    """Return statistics that describe predictions too, where a version's own are known."""
    if known is None:
        return statistics
    others = (one for one in statistics.columns if one.name != PREDICTION)
    return replace(statistics, columns=(*others, replace(known.column, name=PREDICTION)))


def as_state(column: ColumnStatistics) -> dict[str, Any]:
    """Return what is kept of a first window, as plain JSON values."""
    return {"edges": list(column.edges), "counts": list(column.counts), "rows": column.rows}


def from_state(state: Mapping[str, Any]) -> ColumnStatistics:
    """Read back what `as_state` wrote."""
    return ColumnStatistics(
        name=PREDICTION,
        kind="number",
        rows=state["rows"],
        missing=0,
        distinct=0,
        edges=tuple(state["edges"]),
        counts=tuple(state["counts"]),
    )
