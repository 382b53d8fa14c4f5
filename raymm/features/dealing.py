"""Which rows must not tell each other's target: those of one group, or of one time.

Where rows of a group are on both sides, what is learnt of one side's targets says more of the other
than it will of a group that is new; see Roberts et al. 2017, "Cross-validation strategies for data
with temporal, spatial, hierarchical, or phylogenetic structure".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column, Dataset, Indices
from raymm.features.columns import numbers, times, words
from raymm.features.nominal import crowded_columns
from raymm.features.target_category import FOLDS


def together(
    dataset: Dataset,
    rows: Indices,
    count: int,
    generator: np.random.Generator,
    *,
    timed: bool = True,
) -> npt.NDArray[np.int64] | None:
    """Deal rows so that those of a group, or those near in time, are in one part.

    Parameters
    ----------
    rows : int64, shape (n,)
        Row numbers of the dataset.
    count : int
        Parts wanted. Groups are dealt by their size, at random where sizes are equal, to parts of
        like sizes; rows in order of time are cut into parts of equal sizes.
    timed : bool
        Whether time is looked at.

    Returns
    -------
    int64, shape (n,), or None
        Each row's part, from 0 to before ``count``. None where the schema has neither a column
        of groups nor one of time, or all rows are of one group.
    """
    for column in dataset.schema.columns:
        if column.role == "group" and column.name in dataset.frame.columns:
            return _by_group(dataset.frame[column.name].iloc[rows], column, count, generator)
        if timed and column.role == "time" and column.name in dataset.frame.columns:
            moments = _moments(dataset.frame[column.name].iloc[rows], column)
            part = np.empty(len(rows), dtype=np.int64)
            part[np.argsort(moments, kind="stable")] = np.arange(len(rows)) * count // len(rows)
            return part
    return None


def crossing(dataset: Dataset, rows: Indices) -> npt.NDArray[np.int64] | None:
    """Return the folds of training rows for statistics of the target, where a table has any.

    None where rows may be dealt one by one; see `raymm.features.target_category`.
    """
    if not crowded_columns(dataset):
        return None
    return together(dataset, rows, FOLDS, np.random.default_rng(0))


def _by_group(
    values: pd.Series[Any], column: Column, count: int, generator: np.random.Generator
) -> npt.NDArray[np.int64] | None:
    codes, found = pd.factorize(pd.Series(words(values, column), dtype=object))
    if len(found) < 2:
        return None
    order = generator.permutation(len(found))
    order = order[np.argsort(-np.bincount(codes)[order], kind="stable")]
    turn, place = np.divmod(np.arange(len(found)), count)
    part = np.empty(len(found), dtype=np.int64)
    # There and back, as the first of each turn is the largest.
    part[order] = np.where(turn % 2 == 0, place, count - 1 - place)
    return part[codes]


def _moments(values: pd.Series[Any], column: Column) -> npt.NDArray[Any]:
    if column.kind == "datetime":
        return times(values, column)
    if column.kind == "number":
        return np.nan_to_num(numbers(values, column), nan=-np.inf)
    return np.arange(len(values))
