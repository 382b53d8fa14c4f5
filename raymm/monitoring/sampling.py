"""Which rows a busy replica tells its monitor of: the first of a second, then by their ids.

By its id a row is told of all versions that answered it, so that they can be compared. Which ids
those are differs from process to process, so that nobody who names ids chooses them.
"""

from __future__ import annotations

EVERY, EACH = 500, 32
"""Rows asked for one by one that are told whole within a second; one of so many others.

Requests, times and errors are told of all. To keep and send 6,000 rows a second takes a replica and
its monitor a fifteenth of two processors, and what they tell is known from 700."""


def sampled(name: str) -> bool:
    """Return whether a row of this id is among the share that is told.

    Python's own hash is asked, which takes the time of a step: a checksum's tables would have to be
    fetched from memory between two requests, which took 1 µs.

    >>> round(sum(sampled(f"id-{number}") for number in range(32_000)) / 32_000, 2)
    0.03
    """
    return hash(name) % EACH == 0
