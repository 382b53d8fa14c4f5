"""Tells what was guessed of a table's cells and could also be read in another way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from raymm.artifacts import NO_TIME, Anomaly, Column, Schema, Table
from raymm.features.columns import numbers, times

_SWAPPED = {
    "%d/%m": "%m/%d",
    "%m/%d": "%d/%m",
    "%d-%m": "%m-%d",
    "%m-%d": "%d-%m",
}
_ROWS = 100_000


def doubts(table: Table, schema: Schema) -> Iterator[Anomaly]:
    """Yield a warning for each column that may be read in two ways, from its first 100,000 rows.

    These are dates whose day and month could stand for each other, and numbers such as -999 that
    stand far outside all others and may mean "missing".
    """
    for column in schema.columns:
        if column.role == "ignored" or column.name not in table.frame.columns:
            continue
        if column.kind == "datetime":
            yield from _readings(table.frame[column.name].iloc[:_ROWS], column)
        elif column.kind == "number" and column.role == "feature":
            yield from _sentinels(table.frame[column.name].iloc[:_ROWS], column)


def _readings(cells: pd.Series, column: Column) -> Iterator[Anomaly]:
    form = column.format or ""
    swapped = _SWAPPED.get(form[:5])
    if swapped is None or not (pd.api.types.is_string_dtype(cells.dtype)):
        return
    other = Column(name="", kind="datetime", format=swapped + form[5:], missing=column.missing)
    first, second = times(cells, column), times(cells, other)
    known = first != NO_TIME
    if known.any() and bool(np.all(second[known] != NO_TIME)) and not np.array_equal(first, second):
        what, against = ("day", "month") if form.startswith("%d") else ("month", "day")
        shown = str(cells[first != second].iloc[0])[:40]
        yield Anomaly(
            rule="dates of two readings",
            column=column.name,
            observed=f"dates such as {shown!r} whose {what} and {against} could be either; the "
            f"{what} was taken to come first ({form})",
            allowed="dates of one reading",
            remedy=f"Set the column's format to {swapped + form[5:]} in the schema if the {against}"
            " comes first; better, write dates as 2023-12-31.",
            severity="warning",
        )


def _sentinels(cells: pd.Series, column: Column) -> Iterator[Anomaly]:
    if not any(_nines(end) for end in (column.minimum, column.maximum)):
        return
    values = numbers(cells, column)
    values = values[np.isfinite(values)]
    if len(values) < 20:
        return
    for end, word in ((values.min(), "smallest"), (values.max(), "largest")):
        rest = values[values != end]
        count = len(values) - len(rest)
        if count < max(3, 0.002 * len(values)) or not _nines(end) or len(rest) < 10:
            continue
        low, high = np.quantile(rest, (0.0, 1.0))
        width = max(high - low, abs(high), abs(low)) if high > low else abs(high)
        outside = low - end if word == "smallest" else end - high
        if outside > 0.5 * width or (end < 0 <= low):
            shown = f"{end:.0f}" if float(end).is_integer() else f"{end:g}"
            if "decimal comma" in (column.format or ""):
                shown = shown.replace(".", ",")
            yield Anomaly(
                rule="number that may mean missing",
                column=column.name,
                observed=f"{shown} in {count} of {len(values)} rows, far from all other values",
                allowed="an empty cell where a value is missing",
                remedy=f'If {shown} means "missing", add "{shown}" to the column\'s missing '
                "words in the schema.",
                severity="warning",
            )


def _nines(value: float | None) -> bool:
    """Whether a number is written in nines only, at least two, as -99, -999.0 and 9999 are."""
    if value is None:
        return False
    text = f"{abs(value):.2f}"
    whole, _, part = text.partition(".")
    return len(whole) >= 2 and set(whole) == {"9"} and set(part) <= {"9", "0"}
