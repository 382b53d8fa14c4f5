"""Which columns have categories, or days, that trees may split into any two sets.

It is decided once for a table, so that what a trial learnt from folds is what the final model
learns from all training rows.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Dataset
from raymm.features.ordinal_category import rare_below
from raymm.features.target_category import suits

LEVELS = range(5, 1025)
"""Numbers of categories, or of days, that are worth splitting besides by their order."""
ROWS_A_DAY = 5
RECURRING = 0.5
"""Share of validation rows whose day training rows must know: later days are in no set."""
DAY = 86_400

_last: list[tuple[Any, Any, frozenset[str]]] = []


def nominal_columns(dataset: Dataset) -> frozenset[str]:
    """Return the names of such columns, looking at training rows alone."""
    for y, train, names in _last:
        if y() is dataset.y and train() is dataset.train:
            return names
    found = frozenset(column.name for column in dataset.schema.features if _suits(dataset, column))
    _last[:] = [(weakref.ref(dataset.y), weakref.ref(dataset.train), found)]
    return found


def _suits(dataset: Dataset, column: Column) -> bool:
    if column.kind == "category":
        values = dataset.tensors[column.name][dataset.train]
        return not suits(values) and _common(values) + 1 in LEVELS
    if column.kind == "datetime" and dataset.folds:
        return _recurs(dataset, np.asarray(dataset.tensors[column.name], dtype=np.int64))
    return False


def _common(values: npt.NDArray[Any]) -> int:
    """Return how many categories have a place of their own."""
    counts = pd.Series(values, dtype=object).value_counts()
    return int(((counts >= rare_below(len(values))) & (counts.index != "")).sum())


def _recurs(dataset: Dataset, seconds: npt.NDArray[np.int64]) -> bool:
    """Whether each day has rows enough to be known by itself, and new rows are of known days."""
    days = seconds[dataset.train][seconds[dataset.train] != NO_TIME] // DAY
    if not days.size or len(days) < ROWS_A_DAY * len(np.unique(days)):
        return False
    if int(days.max() - days.min()) + 1 not in LEVELS:
        return False
    fold = dataset.folds[0]
    known = np.isin(seconds[fold.valid] // DAY, seconds[fold.train] // DAY)
    return bool(known.mean() >= RECURRING)
