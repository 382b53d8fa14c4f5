"""Suspects numbers that may mean "missing" although they lie among a column's other values.

Such a number, -1 or 999, is far more frequent than every other value of its column. What is merely
frequent, as small counts, ratings, prices or a limit at a column's end are, is not suspected.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_NINES = (9.0, 99.0, 999.0, 9999.0, 99999.0)
SUSPECTS = (-1.0, *(sign * nines for nines in _NINES for sign in (-1, 1)))
"""Numbers that people write for a value they do not know."""

_ROWS = 100
"""Rows from which a spike can be told."""
_OTHERS = 20
"""Other values that a column must hold; fewer are ratings or codes."""
_SHARE, _SHARE_ELSEWHERE = 0.02, 0.005
"""The least share of the rows; the lower one where another column's same number is suspected."""
_TIMES, _TIMES_ELSEWHERE = 5.0, 3.0
"""How often a spike is more frequent than any other value but 0."""
_DIGIT = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """A number that ``count`` of ``rows`` rows hold, ``times`` those of any other but 0."""

    value: float
    count: int
    rows: int
    times: float


def spike(values: npt.NDArray[np.float64], elsewhere: Collection[float] = ()) -> Spike | None:
    """Return the number of a column that may mean "missing", None where there is none.

    Parameters
    ----------
    values : float64, shape (n,)
        A column's numbers; NaN is left out.
    elsewhere : collection of float
        Numbers that are suspected in other columns, and need less to be suspected here.
    """
    known = values[np.isfinite(values)]
    # Counting a few numbers takes a tenth of the time that sorting all values does.
    least = _SHARE_ELSEWHERE * len(known)
    frequent = [v for v in (*elsewhere, *SUSPECTS) if np.count_nonzero(known == v) >= least]
    if len(known) < _ROWS or not frequent:
        return None
    found, counts = np.unique(known, return_counts=True)
    if len(found) <= _OTHERS:
        return None
    for value in frequent:
        place = int(np.searchsorted(found, value))
        if not _is_inside(place, found):
            continue
        times = float(counts[place] / _rival(place, found, counts))
        share = counts[place] / len(known)
        usual = value in SUSPECTS and share >= _SHARE and times >= _TIMES
        if usual or (
            value in elsewhere and share >= _SHARE_ELSEWHERE and times >= _TIMES_ELSEWHERE
        ):
            return Spike(value=value, count=int(counts[place]), rows=len(known), times=times)
    return None


def _rival(place: int, found: npt.NDArray[Any], counts: npt.NDArray[Any]) -> int:
    """Return the rows of the most frequent other value.

    0 does not count, as it is often that; but where the value is the smallest one, it does, and so
    do its next three values together: counts that begin at -1 fall off from there.
    """
    if place == 0:
        return max(int(counts[1:].max()), int(counts[1:4].sum()))
    return int(counts[(found != found[place]) & (found != 0)].max())


def _is_inside(place: int, found: npt.NDArray[Any]) -> bool:
    """Whether a value lies among others, or is a -1 below what is never negative.

    A spike at an end is a limit where values are cut off, as 99 of two digits is. A 9 or -9 among
    numbers of one digit is one of them.
    """
    value = float(found[place])
    if abs(value) == _DIGIT and float(np.abs(found).max()) < 2 * _DIGIT:
        return False
    return 0 < place < len(found) - 1 or (value == -1 and place == 0)
