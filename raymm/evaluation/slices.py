"""Slices: the rows of a test set that are alike in one column."""

from __future__ import annotations

import pandas as pd

from raymm.artifacts import Indices, Schema
from raymm.features.groups import Group, groups


def slices(frame: pd.DataFrame, schema: Schema, rows: Indices, *, most: int = 60) -> list[Group]:
    """Cut rows into slices by every feature column.

    Parameters
    ----------
    frame : DataFrame, shape (n, columns)
        The table as it was read.
    rows : int64
        The rows to cut, usually the test rows.
    most : int
        Slices at most; those with most rows are kept, for little can be said of small ones.

    Returns
    -------
    list of (column, value, mask)
        Frequent values of categories, quarters of numbers and dates, and missing values; each
        ``mask`` is bool, shape (len(rows),), with at least 30 rows True and one False.
    """
    table = frame.iloc[rows]
    found = [
        group
        for column in schema.offered
        if column.name in table.columns
        for group in groups(table[column.name], column)
        if not group.mask.all()
    ]
    # sorted() keeps the order of columns among slices of one size.
    return sorted(found, key=lambda group: -int(group.mask.sum()))[:most]
