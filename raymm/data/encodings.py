"""Looks for features that were computed with the test rows' help, before the table was split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Column
from raymm.data.evidence import Evidence
from raymm.data.findings import anomaly
from raymm.features.columns import distinct, numbers

_CLASSES = 20
_LEAST = 50

Values = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def encodings(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning for each number scaled, or made of the target's means, over all rows.

    A feature whose mean is 0 and whose deviation is 1 over all rows, each to a 250th of what
    chance would leave, was scaled before the split. One that equals the target's mean over the
    rows of a level, smoothed or not, was encoded with the target of the rows it is tested on.
    """

    @cache
    def levels(name: str) -> Codes:  # of a category; going through a long column takes a while
        return distinct(evidence.frame[name])[0] + 1

    for column in evidence.features:
        if column.kind != "number":
            continue
        values = evidence.tensors[column.name]
        if _standard(values):
            yield anomaly(
                "scaled before the split",
                column.name,
                "a mean of 0 and a deviation of 1 over all rows, training and test together",
                "values as they were measured",
                "It is used as it is. Give the raw values: raymm scales by the training rows "
                "alone, and new rows come unscaled.",
            )
        told = _encoded(evidence, column, levels) if _plausible(evidence, column) else ""
        if told:
            yield anomaly(
                "suspected leak",
                column.name,
                told,
                "features made without the target of the rows they are tested on",
                f'It is used all the same. List "{column.name}" in data.exclude and give the '
                "column it was made of: raymm encodes by the training rows alone.",
            )


def _standard(values: npt.NDArray[Any]) -> bool:
    known = values[~np.isnan(values)].astype(np.float64)
    if len(known) < _LEAST or len(np.unique(known[:_LEAST])) < 3:
        return False
    near = 0.004 / np.sqrt(len(known))
    return bool(
        abs(known.mean()) < near and min(abs(known.std(ddof=d) - 1.0) for d in (0, 1)) < near
    )


def _outcomes(evidence: Evidence) -> Iterator[tuple[str, Values]]:
    """Yield what the target's means are taken of, NaN where it is not known."""
    if not evidence.classes:
        yield "the target", evidence.y
        return
    names = evidence.schema.classes[-1:] if evidence.classes == 2 else evidence.schema.classes
    for name in names[:_CLASSES]:
        code = evidence.schema.classes.index(name)
        yield f"class {name!r}", np.where(evidence.known, evidence.y == code, np.nan)


def _plausible(evidence: Evidence, column: Column) -> bool:
    """Whether a number lies within the target's range, about its mean and goes along with it."""
    x = evidence.sampled(column).astype(np.float64)
    full = ~np.isnan(x)
    if full.mean() < 0.9 or full.sum() < _LEAST or np.ptp(x[full]) == 0:
        return False
    for _, outcome in _outcomes(evidence):
        t = outcome[evidence.rows][full]
        off = 0.1 * t.std() + 1e-12
        within = x[full].min() >= t.min() - off and x[full].max() <= t.max() + off
        if within and t.std() > 0 and abs(x[full].mean() - t.mean()) < off:
            near = np.corrcoef(x[full], t)[0, 1]
            if near > 0.05:
                return True
    return False


def _encoded(evidence: Evidence, column: Column, levels: Callable[[str], Codes]) -> str:
    names = [
        one.name
        for one in evidence.schema.columns
        if one.kind == "category" and one.role != "target" and one.name != column.name
    ]
    names = [name for name in names if name in evidence.frame.columns]
    x = numbers(evidence.frame[column.name], column)
    rows = np.flatnonzero(evidence.known & np.isfinite(x))
    values = x[rows]
    _, own = np.unique(values, return_inverse=True)
    for name, outcome in _outcomes(evidence):
        t = outcome[rows]
        if _is_mean(values, t, own, smoothed=False):
            return f"it is the mean of {name} over the rows that share its value"
        for level in names:
            if _is_mean(values, t, levels(level)[rows], smoothed=True):
                return f'it is the mean of {name} over all rows of a "{level}"'
    return ""


def _is_mean(x: Values, t: Values, levels: Codes, *, smoothed: bool) -> bool:
    """Whether x is, in 99 % of the rows, (s + m p) / (n + m) of its level.

    s and n are the level's sum of t and its rows, p the mean of t, and m >= 0 the weight of the
    mean, 0 unless ``smoothed``.
    """
    first = pd.Series(x[:1000]).groupby(levels[:1000]).agg(["min", "max"])
    if ((first["max"] - first["min"]) > 1e-9).mean() > 0.01:
        return False
    counts = np.bincount(levels)
    held = counts > 0
    groups = int(held.sum())
    if groups < 3 or groups > 0.67 * len(x):
        return False
    sizes = counts[held].astype(np.float64)
    means = np.bincount(levels, t)[held] / sizes
    value = np.bincount(levels, x)[held] / sizes
    # A copy of the target is one in every row, and is told of as such.
    if float(np.sum(sizes * (means - t.mean()) ** 2)) > 0.999 * float(np.sum((t - t.mean()) ** 2)):
        return False
    pull, away = t.mean() - value, sizes * (value - means)
    weight = float(pull @ away / (pull @ pull)) if smoothed and pull @ pull > 0 else 0.0
    if not -1e-3 <= weight < 1e4:
        return False
    made = (sizes * means + weight * t.mean()) / (sizes + weight)
    close = np.abs(made - value) <= 1e-3 * t.std()
    return bool(sizes[close].sum() >= 0.99 * sizes.sum())
