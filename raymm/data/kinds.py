"""Finds out what kind of values a column holds, how they are written and what means "missing".

The decision is made on the distinct values, weighted by the rows that hold them. It is the guess
that `raymm.data.statistics.describe` shows and that `raymm.data.schema.infer` starts from.
"""

from __future__ import annotations

import datetime
import decimal
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Kind
from raymm.features.columns import SIGNS, distinct, parse_numbers, parse_times, spell

MISSING = frozenset(
    (
        *("", "?", "na", "n/a", "#n/a", "n.a.", "<na>", "nan", "null", "none", "nil", "(null)"),
        *("\\n", "-", "--", ".", "#null!", "#value!", "#div/0!"),
    )
)
"""Words, in small letters, that mean "missing" wherever they stand."""

PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))
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

_DATED = re.compile(r"\d.*[/.:\- ].*\d")
_CODE = re.compile(r"0\d{2,}$")
_DIGIT = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What one column seems to hold.

    Attributes
    ----------
    codes : int64, shape (n,)
        Each row's position in ``words``, -1 where missing.
    words : list of str, length d
        Distinct values without surrounding blanks, missing words left out.
    rows : int64, shape (d,)
        Rows that hold each word.
    values : float64, shape (d,), or None
        The words as numbers, or as seconds since 1970 UTC for dates.
    pair : tuple of str
        The words for false and true of a boolean column, as they are written.
    """

    kind: Kind
    codes: npt.NDArray[np.int64]
    words: list[str]
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64] | None = None
    missing: tuple[str, ...] = ()
    format: str | None = None
    pair: tuple[str, ...] = ()

    @property
    def known(self) -> int:
        """Rows that are not missing."""
        return int(self.rows.sum())

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        return self.kind == "number" and bool(np.all(np.mod(self._numeric, 1.0) == 0))

    @property
    def _numeric(self) -> npt.NDArray[np.float64]:
        return np.empty(0) if self.values is None else self.values


def decimal_commas(frame: pd.DataFrame) -> bool:
    """Return whether a table writes 4.5 as 4,5 for sure, in any one of its columns.

    Then 4,026 in another column is four and a bit too; alone it would be taken for thousands.
    """
    for _, column in frame.items():
        if not pd.api.types.is_string_dtype(column):
            continue
        words = [str(word).strip(SIGNS + " -+\u00a0") for word in column.dropna().unique()[:300]]
        marked = [word for word in words if "," in word]
        if not marked or len(marked) < 0.5 * len(words):
            continue
        if all(map(_COMMA.match, marked)) and not all(map(_GROUPED.match, marked)):
            return True
    return False


def guess(column: pd.Series[Any], *, keep_none: bool = False, decimal_comma: bool = False) -> Guess:
    """Return what a column seems to hold.

    Parameters
    ----------
    column : Series, shape (n,)
        Text as written in a file, or typed values.
    keep_none : bool
        Take ``None`` and ``-`` as values, as for a target, whose class they may name.
    decimal_comma : bool
        What `decimal_commas` says of the table.
    """
    typed = _typed(column)
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


def _typed(column: pd.Series[Any]) -> Guess | None:
    """Return the guess for a column whose type says what it holds, else None."""
    types = pd.api.types
    kind: Kind = "number"
    style = None
    if types.is_bool_dtype(column.dtype):
        kind = "boolean"
    elif types.is_datetime64_any_dtype(column.dtype):
        kind, style = "datetime", "ISO8601"
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
        values, style = read
        odd = np.isnan(values)
        place = np.append(np.where(odd, -1, np.cumsum(~odd) - 1), -1)
        return replace(
            plain,
            kind="number",
            codes=place[codes].astype(np.int64),
            words=[word for word, gone in zip(words, odd, strict=True) if not gone],
            rows=rows[~odd],
            values=values[~odd],
            format=style,
            missing=missing + tuple(w for w, gone in zip(words, odd, strict=True) if gone),
        )
    pair = _as_pair(words)
    if pair:
        return replace(plain, kind="boolean", pair=pair)
    dates = _as_dates(words, rows)
    if dates is not None:
        return replace(plain, kind="datetime", values=dates[0], format=dates[1])
    return replace(plain, kind="text") if _is_text(words, rows) else plain


def _as_numbers(
    words: list[str], rows: npt.NDArray[np.int64], decimal_comma: bool
) -> tuple[npt.NDArray[np.float64], str | None] | None:
    """Return the words as numbers and how they are written, or None where they are not numbers.

    Up to two odd words among at least nine tenths of numbers become NaN, when they hold no digit
    or stand in at most one row of a hundred: they are a way to say "missing" or slips of the pen.
    """
    sample = words[:1000]
    if sum(map(bool, map(_DIGIT.search, sample))) < 0.5 * len(sample):
        return None
    if _is_code(words):
        return None
    for style in _formats(sample, decimal_comma):
        values = parse_numbers(list(words), style=style)
        odd = ~np.isfinite(values)
        if not odd.any():
            return values, style
        share = rows[odd].sum() / rows.sum()
        digits = any(_DIGIT.search(words[i]) for i in np.flatnonzero(odd))
        if odd.sum() <= 2 and share <= (0.01 if digits else 0.1) and (~odd).sum() > 2:
            values[odd] = np.nan
            return values, style
    return None


def _formats(sample: list[str], decimal_comma: bool = False) -> list[str | None]:
    """Return the ways of writing numbers worth trying, the likelier first."""
    joined = "".join(sample)
    formats: list[str | None] = [None]
    marks = [] if not set(joined) & set(SIGNS) else ["signs"]
    if marks:
        formats.append("signs")
    if "," in joined:
        # 1,234 is a thousand or one and a bit: groups of three digits everywhere are thousands.
        bare = [word.strip(SIGNS + " -+\u00a0") for word in sample]
        grouped = all("," not in w or _GROUPED.match(w) for w in bare)
        grouped = grouped and not (decimal_comma and all(map(_COMMA.match, bare)))
        style = "thousands comma" if grouped else "decimal comma"
        if grouped or all(_COMMA.match(w) for w in bare if _DIGIT.search(w)):
            formats.append(", ".join([*marks, style]))
    return formats


_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d*)?$")
_COMMA = re.compile(r"(\d{1,3}([. '\u00a0\u202f]\d{3})+|\d*)(,\d+)?([eE][-+]?\d+)?$")


def _is_code(words: list[str]) -> bool:
    """Whether numbers are names, such as postal codes: one length, some with leading zeros."""
    coded = any(map(_CODE.match, words))
    return coded and len({len(word) for word in words}) == 1 and all(map(str.isdigit, words))


def _as_pair(words: list[str]) -> tuple[str, ...]:
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
    return np.where(seconds == NO_TIME, np.nan, seconds.astype(np.float64))


def _is_text(words: list[str], rows: npt.NDArray[np.int64]) -> bool:
    """Whether the words are sentences rather than names of groups.

    Text is long (more than 50 characters on average, in several words), or is nearly always
    another text in each row and consists of several words.
    """
    several = sum(len(word.split()) for word in words) / len(words)
    length = sum(map(len, words)) / len(words)
    different = len(words) / int(rows.sum())
    if several < 1.5:
        return False
    if len(words) > 20 and length > 50:
        return True
    return len(words) >= 10 and different > 0.5 and (several >= 2 or different > 0.9)
