"""Looks for features that give the target away, each taken alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Anomaly, Column, Schema
from raymm.features.columns import tensor

CORRELATION = 0.97
"""A correlation (of values or of ranks) with a numeric target from which a leak is suspected."""

PURITY = 0.98
"""The share of the majority guess's errors that one feature must take away to be suspected."""

_ROWS = 20_000
_LEVELS = 64


def leaks(
    frame: pd.DataFrame, schema: Schema, y: npt.NDArray[Any], known: npt.NDArray[np.bool_]
) -> Iterator[Anomaly]:
    """Yield a warning for each feature that predicts the target almost perfectly by itself.

    At most 20,000 rows are looked at, evenly spread over the table. ``y`` and ``known`` are as
    `raymm.features.columns.encode_target` returns them.
    """
    rows = np.flatnonzero(known)
    rows = rows[:: max(1, -(-len(rows) // _ROWS))]
    if len(rows) < 50:
        return
    sample = frame.iloc[rows]
    truth = y[rows]
    for column in schema.features:
        if column.kind == "text" or column.name not in frame.columns:
            continue
        values = tensor(sample[column.name], column)
        if schema.task == "regression":
            strength, floor = _correlation(values, truth, column), CORRELATION
            told = f"a correlation of {strength:.3f} with the target"
        else:
            strength, floor = _purity(values, truth, column), PURITY
            told = f"{strength:.1%} of a majority guess's errors taken away by it alone"
        if strength >= floor:
            yield Anomaly(
                rule="suspected leak",
                column=column.name,
                observed=told,
                allowed="a feature that is known before the target is",
                remedy=f'If "{column.name}" is made from the target or known only after it, list '
                "it in data.exclude.",
                severity="warning",
            )


def _known(values: npt.NDArray[Any], column: Column) -> npt.NDArray[np.bool_]:
    if column.kind == "datetime":
        return np.asarray(values != NO_TIME)
    return np.asarray(values != "" if column.kind == "category" else ~np.isnan(values))


def _correlation(values: npt.NDArray[Any], truth: npt.NDArray[Any], column: Column) -> float:
    """Return the larger of Pearson's and Spearman's absolute correlation, 0 where undefined."""
    there = _known(values, column)
    if column.kind == "category" or there.sum() < 50 or there.mean() < 0.5:
        return 0.0
    x, y = values[there].astype(np.float64), truth[there].astype(np.float64)
    if x.min() == x.max() or y.min() == y.max():
        return 0.0
    ranks = pd.Series(x).rank().to_numpy(), pd.Series(y).rank().to_numpy()
    return float(max(abs(np.corrcoef(x, y)[0, 1]), abs(np.corrcoef(*ranks)[0, 1])))


def _purity(values: npt.NDArray[Any], truth: npt.NDArray[Any], column: Column) -> float:
    """Return 1 - errors / errors of the majority guess, guessing each level's majority class.

    Numbers are cut into at most 64 levels; every level has ten rows on average, or the answer is
    0, as small levels are pure by chance.
    """
    there = _known(values, column)
    x = values
    if column.kind != "category":
        x = values.astype(np.float64)
        if there.any():
            cuts = np.linspace(0, 1, min(_LEVELS, max(2, len(x) // 10)) + 1)[1:-1]
            edges = np.unique(np.quantile(x[there], cuts))
            x = np.searchsorted(edges, x, side="right").astype(np.float64)
        x[~there] = -1.0
    levels, names = pd.factorize(pd.Series(x))
    if len(names) < 2 or len(names) * 10 > len(x):
        return 0.0
    classes = int(truth.max()) + 1
    table = np.bincount(levels * classes + truth, minlength=len(names) * classes)
    right = table.reshape(len(names), classes).max(axis=1).sum()
    plain = np.bincount(truth).max()
    return float((right - plain) / (len(x) - plain)) if plain < len(x) else 0.0
