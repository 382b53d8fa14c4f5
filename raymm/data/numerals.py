"""Finds out how the words of a column are written as numbers, in whatever country.

1,234 is a thousand in one country and one and a bit in another; what the other words of the
column, and of the table, show decides.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.features.columns import parse_numbers
from raymm.features.marks import SIGNS

_QUICK = 100_000
_MANY = 100
_SLIPS = 0.01
"""The share of words, of at least `_MANY`, that may be slips of the pen."""

_DIGIT = re.compile(r"\d")
_CODE = re.compile(r"0\d{2,}$")
_BEHIND = re.compile(r"[\d.,][^-]*-$").match
"""A number with its minus behind it, as SAP writes: 4.211,54-."""
_BARE = SIGNS + " -+()\u00a0"
_GROUPED = re.compile(r"([1-9]\d{0,2}(,\d{3})+|[1-9]\d?(,\d{2})+,\d{3})(\.\d*)?$").match
"""1,234,567.5, and 12,34,567.5 as in India."""
_COMMA = re.compile(r"(\d{1,3}([. '\u00a0\u202f]\d{3})+|\d*)(,\d+)?([eE][-+]?\d+)?$").match
_SPACED = re.compile(r"\d{1,3}([ '\u00a0\u202f]\d{3})+(\.\d+)?$|\d{1,3}(\.\d{3}){2,}$").match
_POINTED = re.compile(r"\d{1,3}([ '\u00a0\u202f]\d{3})+\.\d+$|\d+\.\d{1,2}$").match
_DOTTED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+$").match
_SMALL = re.compile(r"\d{1,3}$").match


def decimal_commas(frame: pd.DataFrame) -> bool:
    """Return whether a table writes 4.5 as 4,5 for sure, in any one of its columns.

    Then 4,026 in another column is four and a bit too, and 4.026 is four thousand; alone they
    would be taken for the contrary.
    """
    for _, column in frame.items():
        if not pd.api.types.is_string_dtype(column) or not _any_comma(column):
            continue
        words = [str(word).strip(_BARE) for word in _first_words(column, 300)]
        marked = [word for word in words if "," in word and _DIGIT.search(word)]
        if not marked or len(marked) < 0.5 * len(words):
            continue
        decimal = [word for word in marked if not _GROUPED(word)]
        if decimal and all(map(_COMMA, marked)) and not _slips(decimal, len(marked)):
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


def as_numbers(
    words: list[str], rows: npt.NDArray[np.int64], decimal_comma: bool
) -> tuple[npt.NDArray[np.float64], str | None] | None:
    """Return the words as numbers and how they are written, or None where they are not numbers.

    Odd words among numbers become NaN: up to two that hold no digit or stand in at most one row of
    a hundred, as they are a way to say "missing" or slips of the pen; or any that stand in at most
    a tenth of the rows (a twentieth where they hold digits) of a column of many numbers.

    Parameters
    ----------
    words : list of str, length d
        Distinct and without surrounding blanks.
    rows : int64, shape (d,)
        Rows that hold each word.
    decimal_comma : bool
        What `decimal_commas` says of the table.
    """
    sample = words[:1000]
    if sum(map(bool, map(_DIGIT.search, sample))) < 0.5 * len(sample) or _is_code(words):
        return None
    best: tuple[npt.NDArray[np.float64], str | None] | None = None
    fewest = len(words)
    spread = words[:: max(1, len(words) // 1000)]
    for style in _formats(sample, rows, decimal_comma):
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


def _is_code(words: list[str]) -> bool:
    """Whether numbers are names, such as postal codes: one length, some with leading zeros."""
    coded = any(map(_CODE.match, words))
    return coded and len({len(word) for word in words}) == 1 and all(map(str.isdigit, words))


def _formats(
    sample: list[str], rows: npt.NDArray[np.int64], decimal_comma: bool
) -> list[str | None]:
    """Return the ways of writing numbers worth trying, the likelier first."""
    formats: list[str | None] = [None]
    signed = set("".join(sample)) & set(SIGNS + "(") or any(map(_BEHIND, sample))
    marks = ["signs"] if signed else []
    if marks:
        formats.append("signs")
    # What holds no digit says nothing of how numbers are written.
    held: dict[str, int] = {}
    for word, count in zip(sample, rows.tolist(), strict=False):
        if _DIGIT.search(word):
            bare = word.strip(_BARE)
            held[bare] = held.get(bare, 0) + count
    styles: tuple[str, ...] = ()
    if any("," in word for word in held):
        styles = _comma_styles(held, decimal_comma)
    elif any(map(_SPACED, held)):  # 1 234 567, 1'234.5 or 1.234.567
        styles = ("thousands comma" if any(map(_POINTED, held)) else "decimal comma",)
    elif decimal_comma and all(_DOTTED(word) or _SMALL(word) for word in held):
        styles = ("decimal comma",) if any("." in word for word in held) else ()
    if styles == ("decimal comma",) and decimal_comma:
        formats.clear()  # 1.234 would be a number without a format as well
    return formats + [", ".join([*marks, style]) for style in styles]


def _comma_styles(held: dict[str, int], decimal_comma: bool) -> tuple[str, ...]:
    """Return what commas may stand for in words that hold a digit, by the rows that hold each."""
    marked = [word for word in held if "," in word]
    decimal = [word for word in marked if _COMMA(word) and not _GROUPED(word)]
    thousands = [word for word in marked if _GROUPED(word) and not _COMMA(word)]
    if not thousands and decimal_comma and all(map(_COMMA, held)):
        return ("decimal comma",)
    if not decimal:
        return ("thousands comma",)
    if thousands:
        return "thousands comma", "decimal comma"
    few = sum(held[word] for word in decimal) <= _SLIPS * sum(held[word] for word in marked)
    slips = few and not decimal_comma and _slips(decimal, len(marked))
    return ("thousands comma",) if slips else ("decimal comma",)


def _slips(decimal: list[str], marked: int) -> bool:
    """Whether words such as 1,23 are so few that they are slips among groups of three digits.

    Of numbers of three decimals a tenth end in a zero, which may be left out. A number that begins
    with 0 is none of thousands.
    """
    return (
        marked >= _MANY
        and len(decimal) <= _SLIPS * marked
        and not any(w[0] in ",0" for w in decimal)
    )
