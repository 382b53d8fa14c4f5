"""A row that looks like many: medians and most frequent values, none of them any one person's.

It is what a form for a prediction begins with, so that it can be sent as it is.
"""

from __future__ import annotations

import math
from typing import Any

from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics
from raymm.serving.columns import moment_of

_MEDIAN, _LOW, _HIGH = 4, 2, 6
"""Places of the 50, 5 and 95 % quantiles in `ColumnStatistics.quantiles`."""
_LONGEST = 200
"""Characters of a text that is taken over."""


def typical(schema: Schema, statistics: Statistics | None) -> dict[str, Any]:
    """Return one record that the model accepts.

    Numbers and dates (seconds since 1970 UTC; milliseconds where the training data had them) are
    the median, whole where the column is; categories and booleans are the most frequent value. A
    text is left out (null) where it may be missing.
    """
    known = _by_name(statistics)
    return {column.name: _typical(column, known.get(column.name)) for column in schema.features}


def usual(schema: Schema, statistics: Statistics | None) -> dict[str, list[float]]:
    """Return the 5 and 95 % quantiles of the numbers and dates (in seconds) that have them."""
    known = _by_name(statistics)
    found = ((column.name, known.get(column.name)) for column in schema.features)
    return {
        name: [one.quantiles[_LOW], one.quantiles[_HIGH]]
        for name, one in found
        if one is not None and len(one.quantiles) > _HIGH
    }


def _by_name(statistics: Statistics | None) -> dict[str, ColumnStatistics]:
    return {one.name: one for one in statistics.columns} if statistics is not None else {}


def _typical(column: Column, seen: ColumnStatistics | None) -> Any:
    if column.kind in ("number", "datetime"):
        middle = _middle(column, seen)
        if middle is None or column.kind == "number":
            return middle
        return moment_of(math.floor(middle), column)
    frequent = next((one for one in seen.values if one), None) if seen is not None else None
    words = column.categories
    if column.kind == "boolean":
        return frequent if frequent in words else (words[0] if words else False)
    if column.kind == "category":
        return words[0] if words else frequent or (None if column.nullable else "other")
    return None if column.nullable else (frequent or "text")[:_LONGEST]


def _middle(column: Column, seen: ColumnStatistics | None) -> float | int | None:
    low, high = column.minimum, column.maximum
    if seen is not None and len(seen.quantiles) > _MEDIAN:
        value = seen.quantiles[_MEDIAN]
    elif low is not None and high is not None:
        value = low / 2 + high / 2
    else:
        return None if column.nullable else 0
    if not math.isfinite(value):
        return None if column.nullable else 0
    occur = [one for one in (low, high, column.example) if isinstance(one, int | float)]
    occur += seen.edges if seen is not None else ()
    whole = all(float(one).is_integer() for one in (*occur, 2 * value))  # it may be a mean of two
    return math.floor(value) if whole else value
