"""Columns that tell something by a straight line, which boosters of few rows miss.

A trend through a date is one slope to a linear model and many splits to trees, which find as much
in dates dealt to other rows when it is weak. So each column is taken out of a linear model of all,
too, and rows that were not trained on say what that costs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.attempts import Floats, Try, standard_error
from raymm.models.quick import Quick

LIKELY = 1.0
"""Standard errors by which squared errors must be higher without a column; noise makes them lower,
and lets one column of it in ten or twenty pass."""
WIDEST = 500
"""Features up to which it is looked at, and at most a fifth of the rows."""
CLASSES = 10
"""Classes of several up to which linear models are tried."""
_FAR = 5.0
_RIDGE = 1e-6


def sloping(quick: Quick, tries: Sequence[Try], names: Sequence[str]) -> frozenset[str]:
    """Return the columns without which a linear model likely predicts validation rows worse.

    Ridge regression by least squares of values, or of each class's indicator, on all features;
    rows of one part of a try are one observation. None are returned where features are too many.
    """
    wide = max(one.x.shape[1] for one in tries)
    if wide > min(WIDEST, *(len(one.x) // 5 for one in tries)):
        return frozenset()
    worse = np.concatenate(quick.each(lambda one: _worse(quick, one, names), tries), axis=1)
    errors = np.array([standard_error(tries, one) for one in worse])
    likely = worse.mean(axis=1) > LIKELY * errors
    return frozenset(name for name, told in zip(names, likely, strict=True) if told)


def linear_losses(
    quick: Quick, tries: Sequence[Try], make: Callable[[int, Try], tuple[Floats, Floats]]
) -> npt.NDArray[np.float64] | None:
    """Return the losses of linear models of what is made of each fold, as `raymm.attempts.anew`.

    Ridge regression, or logistic regression with as small a penalty. None where features or classes
    are too many, or a fold lacks a class.
    """
    found = []
    for number, one in enumerate(tries):
        x, valid = _standard(*make(number, one))
        wide = x.shape[1] > min(WIDEST, len(x) // 5)
        if wide or quick.outputs > CLASSES or len(np.unique(one.y)) < quick.classes:
            return None
        found.append(quick.row_losses(_raw(quick, x, one.y, valid), one.valid_y))
    return np.concatenate(found)


def _raw(
    quick: Quick, x: npt.NDArray[np.float64], y: npt.NDArray[Any], valid: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the raw outputs of a linear model of standardized features."""
    from sklearn.linear_model import LogisticRegression, Ridge

    if quick.task == "regression":
        return np.asarray(Ridge(alpha=1.0).fit(x, y).predict(valid), np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not fully converged is near enough
        model = LogisticRegression(C=100.0, max_iter=100).fit(x, y)
    return np.asarray(model.decision_function(valid), np.float64)


def _worse(quick: Quick, one: Try, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return by how much each validation row's squared error is higher without each column.

    Float64, shape (columns, n). The coefficients without a column follow from those with it:
    b - C[:, c] C[c, c]⁻¹ b[c], where C is the inverse of X'X (Seber & Lee 2003, Linear Regression
    Analysis, section 3.7).
    """
    x, valid = _standard(one.x, one.valid_x)
    y, valid_y = _outputs(quick, one.y), _outputs(quick, one.valid_y)
    middle = y.mean(axis=0)
    inverse = np.linalg.inv(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]))
    slopes = inverse @ (x.T @ (y - middle))
    off = valid_y - middle - valid @ slopes
    found = np.zeros((len(names), len(valid)))
    for place, name in enumerate(names):
        own = np.flatnonzero([name in made for made in one.sources])
        if own.size:
            lost = inverse[:, own] @ np.linalg.solve(inverse[np.ix_(own, own)], slopes[own])
            found[place] = ((off + valid @ lost) ** 2 - off**2).sum(axis=1)
    return found


def _standard(x: Floats, valid: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both by the training rows' means and deviations; what is far is held, gaps are 0."""
    both = [np.where(np.isfinite(one), one, np.nan).astype(np.float64) for one in (x, valid)]
    seen = np.isfinite(both[0]).any(axis=0)
    filled = np.where(seen, both[0], 0.0)
    middle, spread = np.nanmean(filled, axis=0), np.nanstd(filled, axis=0)
    spread[spread == 0] = 1.0
    first, second = (
        np.clip(np.nan_to_num((one - middle) / spread, nan=0.0), -_FAR, _FAR) for one in both
    )
    return first - first.mean(axis=0), second - first.mean(axis=0)


def _outputs(quick: Quick, y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return values, or an indicator of each class, shape (n, outputs)."""
    if quick.task == "regression":
        return np.asarray(y, np.float64)[:, None]
    if quick.task == "binary":
        return np.asarray(y == 1, np.float64)[:, None]
    return np.asarray(np.eye(quick.classes)[np.asarray(y, np.int64)], np.float64)
