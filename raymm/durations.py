"""Durations as people write them."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: Any) -> Any:
    """Read a duration such as ``90``, ``"90s"``, ``"1h30m"`` as seconds; None stays None.

    Raises
    ------
    ValueError
        When it is not a duration, or not above 0.

    >>> seconds("1h30m"), seconds(5)
    (5400.0, 5.0)
    """
    if value is None:
        return value
    if isinstance(value, str):
        text = value.strip().lower()
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
        if text.replace(".", "", 1).isdigit():
            value = float(text)
        elif parts and "".join(map("".join, parts)) == text:
            value = sum(float(number) * _UNITS[unit] for number, unit in parts)
        else:
            raise ValueError(f'must be a duration such as 90s, 5m or 1h30m, but got "{value}"')
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a duration such as 90s, 5m or 1h30m, but got {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"must be a duration above 0, but got {value}")
    return float(value)
