"""Finds out how the words of a column are written as dates."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME
from raymm.features.columns import parse_times

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
    *(
        f"%Y-%m-%d {clock} {zone}"
        for clock in ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M")
        for zone in ("UTC", "GMT")
    ),
    *("%b-%Y", "%b-%y", "%b %Y", "%B %Y", "%m/%Y"),
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y%m%dT%H%M%S",
)
"""How dates may be written, tried in this order; of two that fit as many rows the first is taken,
as of dates in which day and month could stand for each other."""

DIGITS = "%Y%m%d"
"""How dates of eight digits are written."""

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATED = re.compile(rf"\d.*[/.:\- ].*\d|^({_MONTHS})[a-z]*[\- ]\d", re.IGNORECASE).search
_EIGHT = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$").match
_LEAST = 10
"""Different dates of eight digits without which they may be numbers."""

Times = npt.NDArray[np.float64]


def real_times(seconds: npt.NDArray[np.int64]) -> Times:
    """Return seconds since 1970 as float64, NaN where there is no time."""
    real = seconds.astype(np.float64)
    real[seconds == NO_TIME] = np.nan
    return real


def as_dates(words: list[str], rows: npt.NDArray[np.int64]) -> tuple[Times, str] | None:
    """Return the words as seconds since 1970 UTC and their format, or None where not dates.

    Odd words become NaN: any that stand in at most a hundredth of the rows; or up to two without
    a digit in at most a tenth, as they are a way to say "missing". Of the formats the one that
    fits most rows is taken.

    Parameters
    ----------
    words : list of str, length d
        Distinct and without surrounding blanks.
    rows : int64, shape (d,)
        Rows that hold each word.
    """
    sample = words[:: max(1, len(words) // 200)]
    least = _enough(len(sample))
    if sum(map(bool, map(_DATED, sample))) < least:
        return None
    column = pd.Series(sample, dtype=object)
    best: tuple[Times, str] | None = None
    most = 0
    for style in DATES:
        fits = pd.to_datetime(column, format=style, utc=True, errors="coerce").notna()
        if fits.sum() < least:
            continue
        seconds = real_times(parse_times(list(words), style=style))
        odd = np.isnan(seconds)
        if not odd.any():
            return seconds, style
        right = int(rows[~odd].sum())
        if right > most and _bearable(words, rows, odd):
            best, most = (seconds, style), right
    return best


def looks_dated(word: str) -> bool:
    """Return whether a word has digits and signs as dates have."""
    return _DATED(word) is not None


def as_digits(words: list[str]) -> Times | None:
    """Return words of eight digits such as 20240131 as seconds since 1970 UTC, or None.

    One of thirty numbers between 19000101 and 20991231 is a date by chance, so ten that all are
    were written as such.
    """
    if len(words) < _LEAST or not all(map(_EIGHT, words)):
        return None
    seconds = real_times(parse_times(list(words), style=DIGITS))
    return None if np.isnan(seconds).any() else seconds


def _enough(count: int) -> float:
    """Return how many of so many words must be dates: nine of ten, or all but two."""
    return max(min(0.9 * count, count - 2), min(count, 3))


def _bearable(words: list[str], rows: npt.NDArray[np.int64], odd: npt.NDArray[np.bool_]) -> bool:
    share = rows[odd].sum() / rows.sum()
    places = np.flatnonzero(odd).tolist()
    said = len(places) <= 2 and not any(c.isdigit() for i in places for c in words[i])
    return bool(share <= (0.1 if said else 0.01))
