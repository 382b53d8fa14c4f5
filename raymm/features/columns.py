"""Turns the columns of a table into the tensors that the graph takes, and its target into codes.

The one function `encode` serves at training and for whole tables at prediction, on text as it
stands in a CSV file and on the typed columns of Parquet or JSON records, so that the same cell
gives the same tensor wherever it comes from. Each column is reduced to its distinct values first
and only those are parsed, which makes a table of 40,000 rows a matter of milliseconds a column.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Schema
from raymm.errors import DataError
from raymm.features.clock import durations
from raymm.features.marks import plain_number

MARKS = ("decimal comma", "thousands comma", "signs", "duration")
"""The words that a number column's format may hold."""


def encode(frame: pd.DataFrame, schema: Schema) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of the schema's features, each of shape (n,); see `Tensors`.

    The empty string, blanks, None, NaN and the column's own words for missing are missing, and so
    is what cannot be read as the column's kind. Infinite numbers, and numbers beyond the range of
    float32, are missing too: no model family takes infinities, and a tree that learnt from a
    clipped value would split on the clip. Surrounding blanks do not count. Dates without an
    offset are UTC; fractions of a second are cut off. Of numbers and dates, a word for missing
    stands for its value, so that ``-999`` is missing as text, as -999.0 and as a whole number.

    Raises
    ------
    DataError
        When the frame lacks a feature.
    """
    absent = [column.name for column in schema.features if column.name not in frame.columns]
    if absent:
        raise DataError(
            f"The table must hold every feature, but lacks {', '.join(map(repr, absent))}. "
            "Add the missing columns; a value that is not known may be left empty."
        )
    return {column.name: tensor(frame[column.name], column) for column in schema.features}


def tensor(values: pd.Series[Any], column: Column) -> npt.NDArray[Any]:
    """Return one column's tensor, shape (n,), dtype by its kind as in `Tensors`."""
    if column.kind == "number":
        with np.errstate(over="ignore"):
            narrow = numbers(values, column).astype(np.float32)
        narrow[~np.isfinite(narrow)] = np.nan
        return narrow
    readers: dict[str, Callable[[pd.Series[Any], Column], npt.NDArray[Any]]] = {
        "boolean": booleans,
        "datetime": times,
        "category": words,
        "text": words,
    }
    return readers[column.kind](values, column)


def encode_target(
    frame: pd.DataFrame, schema: Schema
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return the target and which rows have one, both of shape (n,).

    The target is int64 class codes (-1 where unknown), or float64 values (NaN where unknown). A
    class that the schema does not hold is unknown. Where all classes are numbers they are
    compared as numbers, so ``1`` and ``1.0`` are one class.

    Raises
    ------
    DataError
        When the frame lacks the target.
    """
    if schema.target not in frame.columns:
        raise DataError(
            f'The table must hold the target "{schema.target}", but does not. Its columns are: '
            f"{', '.join(map(str, frame.columns))}."
        )
    column = schema.column(schema.target)
    values = frame[schema.target]
    if schema.task == "regression":
        y = numbers(values, column)
        y[~np.isfinite(y)] = np.nan
        return y, ~np.isnan(y)
    codes, found = distinct(values)
    spelled = _words(found, column)
    known = {name: code for code, name in enumerate(schema.classes)}
    lookup = np.array([known.get(word, -1) for word in spelled], dtype=np.int64)
    by_value = {number(name): code for name, code in known.items()}
    if None not in by_value:
        near = [by_value.get(number(word), -1) for word in spelled]
        lookup = np.where(lookup < 0, np.array(near, dtype=np.int64), lookup)
    y = np.append(lookup, -1)[codes]
    return y, y >= 0


def distinct(values: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Return each row's position among the distinct values, and those in order of appearance.

    The position of a missing value (None, NaN, NaT) is -1. Values that cannot be hashed, such as
    lists, count as their text.
    """
    try:
        codes, found = pd.factorize(values)
    except TypeError:
        plain = values.map(lambda value: value if isinstance(value, Hashable) else str(value))
        codes, found = pd.factorize(plain)
    # Going through an Arrow array one by one takes ten times as long.
    text = isinstance(found.dtype, pd.StringDtype)
    return codes.astype(np.int64), found.to_numpy(object).tolist() if text else list(found)


def number(word: str) -> float | None:
    """Return a plain decimal number in text as a float, or None where it is not one.

    >>> number("1.50"), number("1,5"), number("nan")
    (1.5, None, None)
    """
    try:
        value = float(word)
    except ValueError:
        return None
    return value if np.isfinite(value) and "_" not in word else None


def numbers(values: pd.Series[Any], column: Column) -> npt.NDArray[np.float64]:
    """Return a column as float64, shape (n,), NaN where missing or not a number.

    ``column.format`` may hold, joined by ", ": ``decimal comma`` (1.234,5), ``thousands comma``
    (1,234.5, and 12,34,567 as in India), ``signs`` (currency or percent signs around the number, or
    brackets, or a minus behind it, for a minus) or ``duration`` (1:30:05, in seconds; see
    `raymm.features.clock.durations`). Both kinds of thousands may be parted by blanks or
    apostrophes instead.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return np.full(len(values), np.nan)
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(
        values.dtype
    ):
        read = np.array(values.to_numpy(dtype=np.float64, na_value=np.nan))
        return _without(read, column.missing, column.format)
    codes, found = distinct(values)
    return np.append(parse_numbers(found, column.missing, column.format), np.nan)[codes]


def parse_numbers(
    found: list[Any], missing: tuple[str, ...] = (), style: str | None = None
) -> npt.NDArray[np.float64]:
    """Return distinct values as float64, NaN where missing or not a number; see `numbers`."""
    if not found:
        return np.empty(0)
    absent = {word.strip() for word in missing}
    marks = set(style.split(", ")) if style else set()
    cells: list[Any] = []
    for value in found:
        if not isinstance(value, str):
            lasting = "duration" in marks and isinstance(value, datetime.timedelta | datetime.time)
            cells.append(_lasting(value) if lasting else _real(value))
            continue
        cell = value.strip()
        if marks and cell not in absent:
            cell = plain_number(cell, marks)
        cells.append(None if cell in absent else cell)
    if "duration" in marks:
        return _without(durations(cells), missing, style)
    read = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    return _without(np.array(read.to_numpy(dtype=np.float64, na_value=np.nan)), missing, style)


@functools.lru_cache(maxsize=1024)
def gone_numbers(missing: tuple[str, ...], style: str | None) -> npt.NDArray[np.float32]:
    """Return the numbers that a column's words for missing stand for, as the graph takes them.

    >>> gone_numbers(("-999", "n/a"), None).tolist()
    [-999.0]
    """
    with np.errstate(over="ignore"):
        read = parse_numbers(list(missing), (), style).astype(np.float32)
    return read[np.isfinite(read)]


def _without(
    values: npt.NDArray[np.float64], missing: tuple[str, ...], style: str | None
) -> npt.NDArray[np.float64]:
    """Set NaN in place of the numbers that mean missing; they are compared as float32."""
    gone = gone_numbers(missing, style) if missing else ()
    if len(gone):
        with np.errstate(over="ignore"):
            values[np.isin(values.astype(np.float32), gone)] = np.nan
    return values


def _lasting(value: datetime.timedelta | datetime.time) -> float:
    """Return the seconds of a duration, or those since midnight."""
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return value.hour * 3600.0 + value.minute * 60.0 + value.second + value.microsecond * 1e-6


def _real(value: Any) -> float | None:
    if isinstance(value, datetime.date | datetime.timedelta | bytes):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def booleans(values: pd.Series[Any], column: Column) -> npt.NDArray[np.float32]:
    """Return a column as float32, shape (n,): 0, 1, and NaN where missing or neither.

    ``column.categories`` are the words for false and true, capitals not counting; real booleans
    and the numbers 0 and 1 are understood as well.
    """
    known = {"false": 0.0, "true": 1.0, "0": 0.0, "1": 1.0}
    if column.categories:
        given = zip(column.categories[:2], (0.0, 1.0), strict=False)
        taken = {word.strip().casefold(): value for word, value in given}
        known |= taken
    absent = {word.strip() for word in column.missing}
    codes, found = distinct(values)
    read = [
        np.nan if word in absent else known.get(word.casefold(), np.nan)
        for word in map(spell, found)
    ]
    return np.array([*read, np.nan], dtype=np.float32)[codes]


def words(values: pd.Series[Any], column: Column) -> npt.NDArray[Any]:
    """Return a column as an object array of str, shape (n,), the empty string where missing."""
    codes, found = distinct(values)
    lookup = np.empty(len(found) + 1, dtype=object)
    lookup[:-1] = _words(found, column)
    lookup[-1] = ""
    return lookup[codes]


def _words(found: list[Any], column: Column) -> list[str]:
    absent = {word.strip() for word in column.missing}
    spelled = map(spell, found)
    return ["" if word in absent else word for word in spelled] if absent else list(spelled)


def spell(value: Any) -> str:
    """Return a value as text without surrounding blanks; whole numbers without a decimal point.

    >>> spell(3.0), spell(" a "), spell(True), spell(2.5)
    ('3', 'a', 'True', '2.5')
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, np.generic):
        value = value.item()
    return str(value).strip()


def times(values: pd.Series[Any], column: Column) -> npt.NDArray[np.int64]:
    """Return a column as int64 seconds since 1970 UTC, shape (n,); `NO_TIME` where missing.

    ``column.format`` is a strptime format, ``ISO8601`` (also for None), ``epoch`` (seconds) or
    ``epoch ms``. Text that does not follow the format is tried as ISO 8601. Whole numbers are read
    as text where the format has digits alone, such as ``%Y%m%d``.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _untimed(_seconds(values), column.missing, column.format)
    if column.format in ("epoch", "epoch ms") and pd.api.types.is_numeric_dtype(values.dtype):
        return _epochs(numbers(values, column), column.format)
    codes, found = distinct(values)
    return np.append(parse_times(found, column.missing, column.format), NO_TIME)[codes]


def parse_times(
    found: list[Any], missing: tuple[str, ...] = (), style: str | None = None
) -> npt.NDArray[np.int64]:
    """Return distinct values as int64 seconds since 1970 UTC, `NO_TIME` where none; see `times`."""
    seconds = np.full(len(found), NO_TIME, dtype=np.int64)
    if not found:
        return seconds
    absent = {"", *(word.strip() for word in missing)}
    cells = [value.strip() if isinstance(value, str) else value for value in found]
    if style in ("epoch", "epoch ms"):
        seconds = _epochs(parse_numbers(cells, missing), style)
    text = [None if spell(cell) in absent else _dated(cell, style) for cell in cells]
    for form in dict.fromkeys((style or "ISO8601", "ISO8601")):
        left = [i for i, cell in enumerate(text) if cell is not None and seconds[i] == NO_TIME]
        if left and not form.startswith("epoch"):
            column = pd.Series([text[i] for i in left], dtype=object)
            seconds[left] = _seconds(pd.to_datetime(column, format=form, utc=True, errors="coerce"))
    return _untimed(seconds, missing, style)


def digits(style: str | None) -> int:
    """Return how many digits a date has whose format has digits alone, else 0.

    >>> digits("%Y%m%d"), digits("%d/%m/%Y")
    (8, 0)
    """
    if not style or re.fullmatch("(%[YymdHMSj])+", style) is None:
        return 0
    return sum({"Y": 4, "j": 3}.get(mark, 2) for mark in style[1::2])


def _dated(cell: Any, style: str | None) -> str | None:
    """Return a cell as the text of a date, or None; a whole number may lack zeros before it."""
    if not isinstance(cell, int | float | np.number):
        return str(cell)
    if not digits(style) or isinstance(cell, bool):
        return None
    whole = isinstance(cell, int | np.integer) or float(cell).is_integer()
    return spell(cell).zfill(digits(style)) if whole else None


@functools.lru_cache(maxsize=1024)
def gone_times(missing: tuple[str, ...], style: str | None) -> npt.NDArray[np.int64]:
    """Return the seconds since 1970 UTC that a column's words for missing stand for."""
    read = parse_times(list(missing), (), style)
    return np.array([one for one in read.tolist() if one != NO_TIME], dtype=np.int64)


def _untimed(
    seconds: npt.NDArray[np.int64], missing: tuple[str, ...], style: str | None
) -> npt.NDArray[np.int64]:
    gone = gone_times(missing, style) if missing else ()
    return np.where(np.isin(seconds, gone), NO_TIME, seconds) if len(gone) else seconds


def gaps(found: list[Any], column: Column) -> npt.NDArray[np.bool_]:
    """Return which distinct values stand for "missing" in a column, shape (n,)."""
    absent = {"", *(word.strip() for word in column.missing)}
    read = np.array([spell(value) in absent for value in found], dtype=bool)
    if column.kind == "number":
        with np.errstate(over="ignore"):
            values = parse_numbers(found, (), column.format).astype(np.float32)
        read |= np.isin(values, gone_numbers(column.missing, column.format))
    elif column.kind == "datetime":
        seconds = parse_times(found, (), column.format)
        read |= np.isin(seconds, gone_times(column.missing, column.format))
    return read


def _seconds(stamps: pd.Series[Any]) -> npt.NDArray[np.int64]:
    if getattr(stamps.dt, "tz", None) is not None:
        stamps = stamps.dt.tz_convert(None)
    # A missing numpy date is the smallest int64 in every unit, which is what NO_TIME is.
    return stamps.to_numpy().astype("datetime64[s]").astype(np.int64)


def _epochs(values: npt.NDArray[np.float64], style: str) -> npt.NDArray[np.int64]:
    scaled = np.floor(values / 1000.0 if style == "epoch ms" else values)
    fits = np.abs(scaled) < 2.0**53
    return np.where(fits, np.where(fits, scaled, 0.0).astype(np.int64), NO_TIME)
