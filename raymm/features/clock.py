"""Reads times of day and durations as seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_CLOCK = re.compile(
    r"(?P<sign>-?)((?P<days>\d+) ?d(ays?)?,? )?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)"
    r"(:(?P<seconds>[0-5]\d(\.\d+)?))?( ?(?P<half>[aApP])\.?[mM]\.?)?$"
)
_ISO = re.compile(
    r"(?P<sign>-?)P(?=.)((?P<weeks>\d+)W)?((?P<days>\d+)D)?"
    r"(T(?=.)((?P<hours>\d+)H)?((?P<minutes>\d+)M)?((?P<seconds>\d+(\.\d+)?)S)?)?$"
)
_NUMBER = r"\d+(?:\.\d+)?"
_WORDS = re.compile(
    rf"(?P<sign>-?)(?=\d)(?:(?P<weeks>{_NUMBER}) ?w(?:ks?|eeks?)?(?:,? |$|(?=\d)))?"
    rf"(?:(?P<days>{_NUMBER}) ?d(?:ays?)?(?:,? |$|(?=\d)))?"
    rf"(?:(?P<hours>{_NUMBER}) ?h(?:rs?|ours?)?(?:,? |$|(?=\d)))?"
    rf"(?:(?P<minutes>{_NUMBER}) ?min(?:s|utes?)?\.?(?:,? |$|(?=\d)))?"
    rf"(?:(?P<seconds>{_NUMBER}) ?s(?:ecs?|econds?)?\.?)?$",
    re.IGNORECASE,
)
_WORTH = {"weeks": 604_800.0, "days": 86_400.0, "hours": 3_600.0, "minutes": 60.0, "seconds": 1.0}


def durations(cells: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return durations or times of day as float64 seconds, NaN where a cell is neither.

    Understood are ``h:mm``, ``h:mm:ss`` with a fraction, with ``3 days`` before or ``pm`` after
    it, words (``90 min``, ``1h 30min``, ``2 days``) and ISO 8601's ``PT1H30M``; numbers are seconds
    already. A lone ``m`` may be metres, and months and years have no fixed length: none is read.
    Source: ISO 8601-1:2019, 5.5.2.

    >>> durations(["1:30", "0:00:02.5", "PT5M", "2 days 1:00:00", "1:30 pm", "x"]).tolist()
    [5400.0, 2.5, 300.0, 176400.0, 48600.0, nan]
    >>> durations(["90 min", "1h 30min", "2 days", "45s", "1.5 hours", "5 m"]).tolist()
    [5400.0, 5400.0, 172800.0, 45.0, 5400.0, nan]
    """
    return np.array([_seconds(cell) for cell in cells], dtype=np.float64)


def _seconds(cell: Any) -> float:
    if not isinstance(cell, str):
        return np.nan if cell is None else float(cell)
    match = _CLOCK.match(cell) or _ISO.match(cell) or _WORDS.match(cell)
    if match is None:
        return np.nan
    parts = match.groupdict()
    total = sum(worth * float(parts.get(name) or 0) for name, worth in _WORTH.items())
    if parts.get("half"):
        hours = int(parts["hours"])
        if not 1 <= hours <= 12:
            return np.nan
        total += (12 * (parts["half"] in "pP") - 12 * (hours == 12)) * 3600
    return -total if parts["sign"] else total
