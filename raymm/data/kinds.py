"""Finds out what kind of values a column holds, how they are written and what means "missing".

The decision is made on the distinct values, weighted by the rows that hold them. It is the guess
that `raymm.data.statistics.describe` shows and that `raymm.data.schema.infer` starts from.
"""

from __future__ import annotations

import datetime
import decimal
import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Kind, Written
from raymm.data.guesses import Guess, Typed
from raymm.data.prose import is_text
from raymm.features.clock import durations
from raymm.features.columns import (
    SIGNS,
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
    )
)
"""Words, in small letters, that mean "missing" wherever they stand."""

PAIRS = (
    *(("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"), ("n", "j")),
    *(("nein", "ja"), ("nee", "ja"), ("nej", "ja"), ("non", "oui"), ("no", "si"), ("no", "sí")),
    *(("não", "sim"), ("nie", "tak"), ("нет", "да"), ("falsch", "wahr"), ("faux", "vrai")),
)
"""Words, in small letters, for false and true."""

DATES = (
    "ISO8601",
    *(
        day + clock
        for day in (
            *("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
            *("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%y"),
            *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%a %b %d %Y"),
        )
        for clock in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
    ),
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%dT%H%M%S",
)
"""How dates may be written, tried in this order; a day that can be a month is taken as one only
where day first does not fit every row."""

_QUICK = 100_000
_DATED = re.compile(r"\d.*[/.:\- ].*\d")
_CODE = re.compile(r"0\d{2,}$")
_DIGIT = re.compile(r"\d")


def decimal_commas(frame: pd.DataFrame) -> bool:
    """Return whether a table writes 4.5 as 4,5 for sure, in any one of its columns.

    Then 4,026 in another column is four and a bit too; alone it would be taken for thousands.
    """
    for _, column in frame.items():
        if not pd.api.types.is_string_dtype(column) or not _any_comma(column):
            continue
        words = [str(word).strip(SIGNS + " -+\u00a0") for word in _first_words(column, 300)]
        marked = [word for word in words if "," in word]
        if not marked or len(marked) < 0.5 * len(words):
            continue
        if all(map(_COMMA.match, marked)) and not all(map(_GROUPED.match, marked)):
            return True
    return False


def _any_comma(column: pd.Series[Any]) -> bool:
    """Return False where no cell can hold a comma: far sooner told than what its words are."""
    if not isinstance(column.dtype, pd.StringDtype) or len(column) > _QUICK:
        return True
    return bool(column.str.contains(",", regex=False).any())


def _first_words(column: pd.Series[Any], count: int) -> list[Any]:
    """Return the first distinct values, missing ones left out, without going through all rows."""
    size = 4 * count
    while True:
        words = column.iloc[:size].dropna().unique()
        if len(words) >= count or size >= len(column):
            return list(words[:count])
        size *= 8


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
    cells = _real_times(times(column, asked)) if kind == "datetime" else numbers(column, asked)

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
        values = _real_times(parse_times([pd.Timestamp(value) for value in found]))
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
    read = _as_numbers(words, rows, decimal_comma)
    if read is not None:
        return _with_values(plain, *read)
    pair = _as_pair(words)
    if pair:
        return replace(plain, kind="boolean", pair=pair)
    dates = _as_dates(words, rows)
    if dates is not None:
        return replace(plain, kind="datetime", values=dates[0], format=dates[1])
    lasting = _as_durations(words, rows)
    if lasting is not None:
        return _with_values(plain, lasting, "duration")
    return replace(plain, kind="text") if is_text(words, rows) else plain


def _with_values(plain: Guess, values: npt.NDArray[np.float64], style: str | None) -> Guess:
    """Return the guess of a column of numbers; words without a value are missing.

    One or two such words are taken for ways to say "missing"; more are mistakes to be told.
    """
    odd = np.isnan(values)
    place = np.append(np.where(odd, -1, np.cumsum(~odd) - 1), -1)
    gone = [word for word, out in zip(plain.words, odd, strict=True) if out]
    return replace(
        plain,
        kind="number",
        codes=place[plain.codes].astype(np.int64),
        words=[word for word, out in zip(plain.words, odd, strict=True) if not out],
        rows=plain.rows[~odd],
        values=values[~odd],
        format=style,
        missing=plain.missing + (tuple(gone) if len(gone) <= 2 else ()),
    )


def _as_numbers(
    words: list[str], rows: npt.NDArray[np.int64], decimal_comma: bool
) -> tuple[npt.NDArray[np.float64], str | None] | None:
    """Return the words as numbers and how they are written, or None where they are not numbers.

    Odd words among numbers become NaN: up to two that hold no digit or stand in at most one row of
    a hundred, as they are a way to say "missing" or slips of the pen; or any that stand in at most
    a tenth of the rows (a twentieth where they hold digits) of a column of many numbers.
    """
    sample = words[:1000]
    if sum(map(bool, map(_DIGIT.search, sample))) < 0.5 * len(sample) or _is_code(words):
        return None
    best: tuple[npt.NDArray[np.float64], str | None] | None = None
    fewest = len(words)
    spread = words[:: max(1, len(words) // 1000)]
    for style in _formats(sample, decimal_comma):
        if np.isfinite(parse_numbers(list(spread), style=style)).mean() < 0.5:
            continue
        values = parse_numbers(list(words), style=style)
        odd = ~np.isfinite(values)
        if not odd.any():
            return values, style
        if odd.sum() < fewest and _bearable(words, rows, odd):
            best, fewest = (np.where(odd, np.nan, values), style), int(odd.sum())
    return best


def _bearable(words: list[str], rows: npt.NDArray[np.int64], odd: npt.NDArray[np.bool_]) -> bool:
    share = rows[odd].sum() / rows.sum()
    right = int((~odd).sum())
    digits = any(_DIGIT.search(words[i]) for i in np.flatnonzero(odd))
    if odd.sum() <= 2:
        return bool(share <= (0.01 if digits else 0.1) and right > 2)
    return bool(share <= (0.05 if digits else 0.1) and right >= 20 and right >= 0.9 * len(words))


def _formats(sample: list[str], decimal_comma: bool = False) -> list[str | None]:
    """Return the ways of writing numbers worth trying, the likelier first."""
    joined = "".join(sample)
    formats: list[str | None] = [None]
    marks = [] if not set(joined) & set(SIGNS) else ["signs"]
    if marks:
        formats.append("signs")
    bare = [word.strip(SIGNS + " -+\u00a0") for word in sample]
    if "," in joined:
        # 1,234 is a thousand or one and a bit: groups of three digits everywhere are thousands.
        grouped = all("," not in w or _GROUPED.match(w) for w in bare)
        grouped = grouped and not (decimal_comma and all(map(_COMMA.match, bare)))
        style = "thousands comma" if grouped else "decimal comma"
        if grouped or all(_COMMA.match(w) for w in bare if _DIGIT.search(w)):
            formats.append(", ".join([*marks, style]))
    elif any(map(_SPACED, bare)):  # 1 234 567, 1'234.5 or 1.234.567
        style = "thousands comma" if any(map(_POINTED, bare)) else "decimal comma"
        formats.append(", ".join([*marks, style]))
    return formats


_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?$")
_SPACED = re.compile(r"\d{1,3}([ '\u00a0\u202f]\d{3})+(\.\d+)?$|\d{1,3}(\.\d{3}){2,}$").match
_POINTED = re.compile(r"\d{1,3}([ '\u00a0\u202f]\d{3})+\.\d+$|\d+\.\d{1,2}$").match
_COMMA = re.compile(r"(\d{1,3}([. '\u00a0\u202f]\d{3})+|\d*)(,\d+)?([eE][-+]?\d+)?$")


def _is_code(words: list[str]) -> bool:
    """Whether numbers are names, such as postal codes: one length, some with leading zeros."""
    coded = any(map(_CODE.match, words))
    return coded and len({len(word) for word in words}) == 1 and all(map(str.isdigit, words))


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


def _as_dates(
    words: list[str], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], str] | None:
    """Return the words as seconds since 1970 UTC and their format, or None where not dates."""
    sample = words[:: max(1, len(words) // 200)]
    if sum(map(bool, map(_DATED.search, sample))) < 0.9 * len(sample):
        return None
    for style in DATES:
        column = pd.Series(sample, dtype=object)
        fits = pd.to_datetime(column, format=style, utc=True, errors="coerce").notna()
        if fits.mean() < 0.9:
            continue
        seconds = _real_times(parse_times(list(words), style=style))
        if rows[np.isfinite(seconds)].sum() >= 0.99 * rows.sum():
            return seconds, style
    return None


def _real_times(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    real = seconds.astype(np.float64)
    real[seconds == NO_TIME] = np.nan
    return real
