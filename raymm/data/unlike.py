"""Tells columns whose cells are written in unlike ways, so that they are neither dates nor numbers.

They are taken as categories or text, which is right for "3+" rooms and wrong for a column of dates
that two programs have written: a person is to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Column
from raymm.data.dates import DATES, looks_dated
from raymm.data.findings import anomaly
from raymm.features.columns import distinct, gaps, parse_numbers, spell

_ROWS = 20_000
"""Rows that are looked at, of as many more as there are."""
_SAMPLE = 300
"""Distinct values of which it is found out how dates may be written."""
_MOST, _LEAST = 0.5, 10
"""The share of rows, and the distinct values, that are dates or numbers where it is told."""
_WAY, _WAYS = 0.02, 4
"""The least share of rows of a way to write dates that is told, and how many ways at most."""


def unlike(values: pd.Series[Any], column: Column) -> Iterator[Anomaly]:
    """Tell that most values of a column of words are dates, or numbers, and what the others are.

    Of large tables a sample of the rows is looked at, evenly spread.
    """
    words_of = isinstance(values.dtype, pd.StringDtype) or values.dtype == object
    if column.kind not in ("category", "text") or not words_of:
        return
    codes, found = distinct(values.iloc[:: max(1, -(-len(values) // _ROWS))])
    given = ~gaps(found, column)
    weight = np.bincount(codes[codes >= 0], minlength=len(found))[given]
    words = [spell(value) for value, there in zip(found, given, strict=True) if there]
    ways = _dates(words, weight) if len(words) >= _LEAST else []
    numbers = np.isfinite(parse_numbers(list(words)))
    told = np.any([fits for _, fits in ways], axis=0) if ways else numbers
    if told.sum() < _LEAST or _share(told, weight) < _MOST or (not ways and told.all()):
        return  # all numbers, but taken for names: codes
    kind = "dates" if ways else "numbers"
    parts = [
        f"{_share(fits, weight):.1%} such as {words[int(fits.argmax())]!r}" for _, fits in ways
    ] or [f"{_share(numbers, weight):.1%} numbers such as {words[int(numbers.argmax())]!r}"]
    if not told.all():
        other = words[int((~told).argmax())][:40]
        parts.append(f"{_share(~told, weight):.1%} others such as {other!r}")
    form = "all in one way, such as 2024-03-01" if ways else "the others as empty cells"
    yield anomaly(
        f"{kind} among other words" if len(ways) < 2 else "dates written in several ways",
        column.name,
        ", ".join(parts),
        f"{kind} that are all written alike",
        f"It is {_taken(column)}. Write {form}; or give it the kind "
        f"{'datetime and its format' if ways else 'number'} in the schema: what does not fit is "
        "then missing.",
    )


def _taken(column: Column) -> str:
    return "left out" if column.role == "ignored" else f"taken as {column.kind}"


def _share(some: npt.NDArray[np.bool_], weight: npt.NDArray[np.int64]) -> float:
    return float(weight[some].sum() / weight.sum())


def _dates(
    words: list[str], weight: npt.NDArray[np.int64]
) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return formats of dates and which words each alone fits, the most frequent first."""
    picked = np.arange(len(words))[:: -(-len(words) // _SAMPLE)]
    some = pd.Series([words[place] for place in picked], dtype=object)
    if np.mean([looks_dated(word) for word in some]) < _MOST:
        return []
    fitting = {style: _fits(some, style) for style in DATES}
    ways: list[tuple[str, npt.NDArray[np.bool_]]] = []
    left, known, every = np.ones(len(words), bool), np.ones(len(some), bool), pd.Series(words)
    while known.any() and len(ways) < _WAYS:
        style = max(fitting, key=lambda one: weight[picked][fitting[one] & known].sum())
        fits = _fits(every, style) & left
        if _share(fits, weight) < _WAY:
            break
        ways.append((style, fits))
        left &= ~fits
        known = left[picked]
    return ways


def _fits(words: pd.Series[Any], style: str) -> npt.NDArray[np.bool_]:
    times = pd.to_datetime(words, format=style, utc=True, errors="coerce")
    return np.asarray(times.notna(), dtype=bool)
