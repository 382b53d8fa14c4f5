"""Rows put into groups by one column: frequent values, quarters of numbers and dates, missing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column
from raymm.features import columns

MISSING = "(missing)"


class Group(NamedTuple):
    """Rows that are alike in one column.

    ``value`` is the word, the range or "(missing)"; ``mask`` is bool, shape (n,).
    """

    column: str
    value: str
    mask: npt.NDArray[np.bool_]


def groups(
    values: pd.Series[Any], column: Column, *, most: int = 8, least: int = 30, pool: bool = False
) -> list[Group]:
    """Put rows into groups that share no row.

    Parameters
    ----------
    values : Series, shape (n,)
        The column as it was read.
    column : Column
        What the schema says of it. Text columns have but one group, of the missing rows.
    most : int
        Groups of values at most, the most frequent ones; numbers that are not a few whole codes
        are cut at their quartiles instead.
    least : int
        Rows a group must have.
    pool : bool
        Whether rows that belong to no group make one more, "(other)", of whatever size.
    """
    labels = _labels(values, column, most)
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    rank = sorted(zip(-counts, names, strict=True))
    kept = [str(name) for count, name in rank if -count >= least][: most + 1]
    found = [Group(column.name, name, labels == name) for name in kept]
    rest = ~np.isin(labels, kept)
    if pool and column.kind != "text" and rest.any():
        found.append(Group(column.name, "(other)", rest))
    return found


def _labels(values: pd.Series[Any], column: Column, most: int) -> npt.NDArray[Any]:
    """Return each row's group; the empty text where it has none."""
    if column.kind in ("category", "text"):
        spelled = columns.words(values, column)
        present = spelled if column.kind == "category" else ""
        return np.asarray(np.where(spelled == "", MISSING, present), dtype=object)
    numbers = _numbers(values, column)
    numbers[np.isinf(numbers)] = np.nan
    known = np.unique(numbers[np.isfinite(numbers)])
    if len(known) == 0:
        return np.full(len(numbers), MISSING, dtype=object)
    if column.kind == "datetime" or len(known) > most:
        quartiles = np.quantile(numbers[np.isfinite(numbers)], [0.25, 0.5, 0.75])
        return _quarters(numbers, np.unique(quartiles), column)
    words = dict(enumerate(column.categories)) if column.kind == "boolean" else {}
    names = [words.get(int(value), f"{value:g}") for value in known]
    places = np.searchsorted(known, numbers)
    return np.array([*names, MISSING], dtype=object)[np.minimum(places, len(known))]


def _numbers(values: pd.Series[Any], column: Column) -> npt.NDArray[np.float64]:
    """Read numbers, booleans and dates (seconds since 1970 UTC) as float64, NaN where missing."""
    if column.kind == "datetime":
        seconds = columns.times(values, column)
        return np.where(seconds == NO_TIME, np.nan, seconds.astype(np.float64))
    read = columns.booleans if column.kind == "boolean" else columns.numbers
    return np.array(read(values, column), dtype=np.float64)


def _quarters(
    numbers: npt.NDArray[np.float64], cuts: npt.NDArray[np.float64], column: Column
) -> npt.NDArray[Any]:
    codes = np.searchsorted(cuts, numbers, side="left")
    ends = [_shown(cut, column) for cut in cuts]
    names = [f"at most {ends[0]}"]
    names += [f"above {low} to {high}" for low, high in pairwise(ends)]
    names.append(f"above {ends[-1]}")
    return np.where(np.isfinite(numbers), np.array(names, dtype=object)[codes], MISSING)


def _shown(value: float, column: Column) -> str:
    if column.kind == "datetime":
        return pd.Timestamp(value, unit="s").strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
    return f"{value:,.6g}"
