"""Finds out what kind of values a column holds, how they are written and what means "missing".

The decision is made on the distinct values, weighted by the rows that hold them. It is the guess
that `raymm.data.statistics.describe` shows and that `raymm.data.schema.infer` starts from.
"""

from __future__ import annotations

import datetime
import decimal
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column, Kind, Written
from raymm.data.dates import DIGITS, as_dates, as_digits, real_times
from raymm.data.guesses import Guess, Typed
from raymm.data.numerals import as_numbers, decimal_commas
from raymm.data.prose import is_text
from raymm.features.clock import durations
from raymm.features.columns import (
    distinct,
    numbers,
    parse_numbers,
    parse_times,
    spell,
    times,
)

__all__ = ["MISSING", "PAIRS", "Guess", "decimal_commas", "guess"]

MISSING = frozenset(
    (
        *("", "?", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "null", "none", "nil", "(null)"),
        *("\\n", "-", "--", "---", ".", "..", "#null!", "#value!", "#div/0!", "#num!", "#ref!"),
        *("-nan", "1.#ind", "1.#qnan", "nat", "n/d", "n.d.", "<null>", "[null]", "(blank)"),
        *("missing", "not available", "not applicable"),
        *("0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "00.00.0000"),
    )
)
"""Words, in small letters, that mean "missing" wherever they stand."""

PAIRS = (
    *(("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"), ("n", "j")),
    *(("nein", "ja"), ("nee", "ja"), ("nej", "ja"), ("non", "oui"), ("no", "si"), ("no", "sí")),
    *(("não", "sim"), ("nie", "tak"), ("нет", "да"), ("falsch", "wahr"), ("faux", "vrai")),
)
"""Words, in small letters, for false and true."""


def guess(
    column: pd.Series[Any],
    *,
    keep_none: bool = False,
    decimal_comma: bool = False,
    written: Written | None = None,
) -> Guess:
    """Return what a column seems to hold.

    Parameters
    ----------
    column : Series, shape (n,)
        Text as written in a file, or typed values.
    keep_none : bool
        Take ``None`` and ``-`` as values, as for a target, whose class they may name.
    decimal_comma : bool
        What `decimal_commas` says of the table.
    written : Written or None
        How the cells are written in the file that typed values were read from.
    """
    typed = _typed(column, written or Written())
    if typed is not None:
        return typed
    codes, found = distinct(column)
    spelled = [spell(value) for value in found]
    kept = {"none", "-", "."} if keep_none else set()
    absent = [word == "" or word.lower() in MISSING - kept for word in spelled]
    missing = tuple(
        dict.fromkeys(
            value if isinstance(value, str) else word
            for value, word, gone in zip(found, spelled, absent, strict=True)
            if gone and value != ""
        )
    )
    codes, words = _merge(codes, spelled, absent)
    rows = np.bincount(codes[codes >= 0], minlength=len(words)).astype(np.int64)
    return _of_words(codes, words, rows, missing, decimal_comma)


def _typed(column: pd.Series[Any], written: Written) -> Guess | None:
    """Return the guess for a column whose type says what it holds, else None."""
    types = pd.api.types
    kind: Kind = "number"
    style = written.format
    if types.is_bool_dtype(column.dtype):
        kind = "boolean"
    elif types.is_datetime64_any_dtype(column.dtype):
        kind, style = "datetime", written.format or "ISO8601"
    elif not types.is_numeric_dtype(column.dtype) or types.is_complex_dtype(column.dtype):
        if column.dtype != object:
            return None
        inner = {type(value) for value in column.dropna().head(10_000)}
        if inner and inner <= {bool, np.bool_}:
            kind = "boolean"
        elif inner and inner <= {datetime.date, datetime.datetime, pd.Timestamp}:
            kind, style = "datetime", "ISO8601"
        elif not inner or not inner <= {int, float, decimal.Decimal}:
            return None

    def full() -> Guess:
        return _by_words(column, kind, style, written.missing)

    if kind == "boolean" or column.dtype == object:
        return full()
    asked = Column(name="", kind=kind)
    cells = real_times(times(column, asked)) if kind == "datetime" else numbers(column, asked)

    def spelled(row: int) -> str:
        value = column.iloc[row]
        return spell(pd.Timestamp(value) if kind == "datetime" else value)

    form = Written(missing=written.missing, format=style)
    return Typed(kind, cells, full, written=form, spelled=spelled)


def _by_words(
    column: pd.Series[Any], kind: Kind, style: str | None, missing: tuple[str, ...]
) -> Guess:
    codes, found = distinct(column)
    values = None
    if kind == "number":
        values = parse_numbers(found)
    elif kind == "datetime":
        values = real_times(parse_times([pd.Timestamp(value) for value in found]))
    keep = np.isfinite(values) if values is not None else np.ones(len(found), dtype=bool)
    place = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1)
    codes = place[codes].astype(np.int64)
    words = [spell(value) for value, kept in zip(found, keep, strict=True) if kept]
    rows = np.bincount(codes[codes >= 0], minlength=len(words)).astype(np.int64)
    return Guess(
        kind=kind,
        codes=codes,
        words=words,
        rows=rows,
        values=None if values is None else values[keep],
        missing=missing,
        format=style,
        pair=("False", "True") if kind == "boolean" else (),
    )


def _merge(
    codes: npt.NDArray[np.int64], spelled: list[str], absent: list[bool]
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Join values that are one word once blanks are gone; missing words become -1."""
    places: dict[str, int] = {}
    lookup = [
        -1 if gone else places.setdefault(word, len(places))
        for word, gone in zip(spelled, absent, strict=True)
    ]
    return np.array([*lookup, -1], dtype=np.int64)[codes], list(places)


def _of_words(
    codes: npt.NDArray[np.int64],
    words: list[str],
    rows: npt.NDArray[np.int64],
    missing: tuple[str, ...],
    decimal_comma: bool,
) -> Guess:
    plain = Guess(kind="category", codes=codes, words=words, rows=rows, missing=missing)
    if not words:
        return plain
    days = as_digits(words)
    if days is not None:
        return _with_values(plain, days, DIGITS, kind="datetime")
    read = as_numbers(words, rows, decimal_comma)
    if read is not None:
        return _with_values(plain, *read)
    pair = _as_pair(words)
    if pair:
        return replace(plain, kind="boolean", pair=pair)
    dates = as_dates(words, rows)
    if dates is not None:
        return _with_values(plain, *dates, kind="datetime")
    lasting = _as_durations(words, rows)
    if lasting is not None:
        return _with_values(plain, lasting, "duration")
    return replace(plain, kind="text") if is_text(words, rows) else plain


def _with_values(
    plain: Guess, values: npt.NDArray[np.float64], style: str | None, *, kind: Kind = "number"
) -> Guess:
    """Return the guess of a column of numbers or dates; words without a value are missing.

    One or two such words are taken for ways to say "missing"; more are mistakes to be told.
    """
    odd = np.isnan(values)
    place = np.append(np.where(odd, -1, np.cumsum(~odd) - 1), -1)
    gone = [word for word, out in zip(plain.words, odd, strict=True) if out]
    return replace(
        plain,
        kind=kind,
        codes=place[plain.codes].astype(np.int64),
        words=[word for word, out in zip(plain.words, odd, strict=True) if not out],
        rows=plain.rows[~odd],
        values=values[~odd],
        format=style,
        missing=plain.missing + (tuple(gone) if len(gone) <= 2 else ()),
    )


def _as_durations(words: list[str], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
    if np.isfinite(durations(words[:200])).mean() < 0.9:
        return None
    seconds = durations(words)
    return seconds if rows[np.isfinite(seconds)].sum() >= 0.99 * rows.sum() else None


def _as_pair(words: list[str]) -> tuple[str, ...]:
    if len(words) > 20:
        return ()
    folded = {word.casefold(): word for word in reversed(words)}
    for pair in PAIRS:
        if set(folded) == set(pair):
            return folded[pair[0]], folded[pair[1]]
    return ()
