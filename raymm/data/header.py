"""Tells the header of delimited text from its first row of data."""

from __future__ import annotations

import re
from itertools import pairwise

from raymm.data.delimited import Dialect, first_rows
from raymm.data.findings import Findings
from raymm.features.columns import number

_VALUE = re.compile(
    r"[-+(]?[$€£¥₹]?\s?[-+]?\.?\d[\d.,:/' \-T\u00a0\u202f]*([eE][-+]?\d+)?\s?[%€$£)Z]?$"
)
"""What looks like a number, date or time."""
_GAPS = frozenset(("", "?", "na", "n/a", "nan", "null", "none", "-", "."))


def header(
    rows: list[list[str]], comments: list[str], dialect: Dialect, found: Findings
) -> tuple[list[str], bool]:
    """Return the names of the columns, and whether the first row is data."""
    width = len(rows[0])
    headless = is_data(rows)
    last = comments[-1] if comments else ""
    words = next(iter(first_rows(dialect, last.lstrip("#%/ "))), [])
    named = headless or last[1:2].isalnum()  # "#id,name" rather than "# written in May, 2020"
    above = named and len(words) == width >= 2 and all(number(word) is None for word in words)
    passed = len(comments) - above
    if passed:
        found.note(f"{passed} comment line{'s' * (passed > 1)} above the header passed over")
    if above:
        found.note("the header stands in a comment line")
        return words, True
    if headless:
        found.note("the first line is data, so columns are called column_1, column_2, …")
        return [f"column_{i + 1}" for i in range(width)], True
    lengths = {len(row) for row in rows[1:]}
    if lengths == {width + 1} and all(row[-1].strip() for row in rows[1:]):
        found.note("the header lacks a name for the first column, which holds the rows' names")
        return ["", *rows[0]], False
    return rows[0], False


def is_data(rows: list[list[str]]) -> bool:
    """Whether the first row is data rather than a header.

    It is when it holds a number with a decimal point, or two numbers that are equal, which names
    would not be; or when it holds values where the rows below do, unless these count up evenly as
    years or positions in a header would.
    """
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    plain = [cell for cell in first if number(cell) is not None]
    if any("." in cell for cell in plain) or len(set(plain)) < len(plain):
        return True
    columns = [j for j in range(len(first)) if _holds_values(rest, j)]
    if not columns:
        return False
    held = [j for j in columns if _VALUE.match(first[j])]
    gaps = all(first[j].lower() in _GAPS for j in columns if j not in held)
    if 2 * len(held) < len(columns) or not gaps or not held:
        return False
    if any(first[j] == "" for j in range(len(first)) if j not in columns):
        return False
    values = [number(first[j]) for j in held]
    counted = [value for value in values if value is not None]
    if len(counted) < len(values) or len(counted) < 2:
        return True
    return not _counts_up(counted)


def _counts_up(values: list[float]) -> bool:
    steps = {b - a for a, b in pairwise(values)}
    if len(steps) > 1 or min(steps) <= 0:
        return False
    years = all(1800 <= value <= 2100 for value in values)
    return years or len(values) > 2 or values[0] in (0.0, 1.0)


def _holds_values(rows: list[list[str]], column: int) -> bool:
    cells = [row[column].strip() for row in rows if len(row) > column]
    given = [cell for cell in cells if cell.lower() not in _GAPS]
    return bool(given) and sum(bool(_VALUE.match(cell)) for cell in given) >= 0.9 * len(given)
