"""How many there are of a thing, in words."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """Return a number and what is counted, which takes an s but for one.

    >>> counted(1, "trial"), counted(0, "row"), counted(1200, "row")
    ('1 trial', '0 rows', '1,200 rows')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
