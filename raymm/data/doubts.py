"""Tells what was guessed of a table's cells and could also be read in another way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Anomaly, Column, Schema, Table
from raymm.data.spikes import spike
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
    may mean "missing": they stand far outside all others, or are far more frequent than these.
    """
    left: list[Column] = []
    suspected: set[float] = set()
    for column in schema.columns:
        if column.role == "ignored" or column.name not in table.frame.columns:
            continue
        if column.kind == "datetime":
            yield from _readings(table.frame[column.name].iloc[:_ROWS], column)
        elif column.kind == "number" and column.role == "feature":
            told = list(_numbers(table, column))
            suspected |= {value for value, _ in told}
            yield from (one for _, one in told)
            left += [] if told else [column]
    for column in left if suspected else []:
        yield from (one for _, one in _numbers(table, column, sorted(suspected)))


def _numbers(
    table: Table, column: Column, elsewhere: Sequence[float] = ()
) -> Iterator[tuple[float, Anomaly]]:
    """Yield numbers of a column that may mean "missing", each with what is told of it."""
    values = numbers(table.frame[column.name].iloc[:_ROWS], column)
    values = values[np.isfinite(values)]
    far = list(_far(values, column))
    for end, count in far:
        share = f"{count} of {len(values)} rows, far from all other values"
        yield end, _suspected(column, end, share)
    found = None if far else spike(values, elsewhere)
    if found is not None:
        share = f"{found.count} of {found.rows} rows, {found.times:.0f} times as many as hold"
        told = _suspected(column, found.value, f"{share} any other value but 0")
        yield found.value, told


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


def _far(values: npt.NDArray[np.float64], column: Column) -> Iterator[tuple[float, int]]:
    """Yield nines at an end of a column that are far from its other values, and their rows."""
    if not any(_nines(end) for end in (column.minimum, column.maximum)) or len(values) < 20:
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
            yield float(end), count


def _suspected(column: Column, value: float, share: str) -> Anomaly:
    shown = f"{value:.0f}" if value.is_integer() else f"{value:g}"
    if "decimal comma" in (column.format or ""):
        shown = shown.replace(".", ",")
    return Anomaly(
        rule="number that may mean missing",
        column=column.name,
        observed=f"{shown} in {share}",
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
