"""Which categories are statistics of the target, and which, or which days, trees split into sets.

Both are decided once for a table, so that what a trial learnt from folds is what the final model
learns from all training rows.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Dataset, Schema
from raymm.features.ordinal_category import rare_below
from raymm.features.target_category import suits

LEVELS = range(5, 1025)
"""Numbers of categories, or of days, that are worth splitting besides by their order."""
ROWS_A_DAY = 5
RECURRING = 0.5
"""Share of validation rows whose day training rows must know: later days are in no set."""
DAY = 86_400

_last: list[tuple[Any, Any, Schema, tuple[frozenset[str], frozenset[str]]]] = []


def nominal_columns(dataset: Dataset) -> frozenset[str]:
    """Return the names of columns that are split into sets, looking at training rows alone."""
    return _decided(dataset)[1]


def crowded_columns(dataset: Dataset) -> frozenset[str]:
    """Return the names of categories of many levels with few training rows each.

    They become statistics of the target in each fold and in the final model, whatever the number
    of rows that these are trained on.
    """
    return _decided(dataset)[0]


def _decided(dataset: Dataset) -> tuple[frozenset[str], frozenset[str]]:
    """Return crowded and nominal columns; of the table that was asked of last, as found then."""
    for y, train, schema, known in _last:
        if y() is dataset.y and train() is dataset.train and schema is dataset.schema:
            return known
    columns = dataset.schema.features
    crowded = frozenset(
        column.name
        for column in columns
        if column.kind == "category" and suits(dataset.tensors[column.name][dataset.train])
    )
    rest = [column for column in columns if column.name not in crowded]
    found = crowded, frozenset(column.name for column in rest if _splits(dataset, column))
    _last[:] = [(weakref.ref(dataset.y), weakref.ref(dataset.train), dataset.schema, found)]
    return found


def _splits(dataset: Dataset, column: Column) -> bool:
    if column.kind == "category":
        return _common(dataset.tensors[column.name][dataset.train]) + 1 in LEVELS
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
