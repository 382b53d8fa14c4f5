"""Which rows a busy replica tells its monitor of: the first of a second, then by their ids.

By its id a row is told of all versions that answered it, so that they can be compared. Which ids
those are differs from process to process, unless PYTHONHASHSEED is set, so that nobody who names
ids chooses them. One that names many rows is told once a second: of 20 ids that name all, one
would stand for the rest.

What is told counts alike, whether it is of a second of which all was told or of a busy one: where
both differ in their rows, drift and estimates are of more rows of quiet seconds than came.
"""

from __future__ import annotations

EVERY, ONE_IN = 250, 32
"""Rows asked for one by one that are told whole within a second; one of so many others.

Requests, times and errors are told of all. Where all of 2,200 rows a second were told whole, each
took the replica 28 to 48 µs of 390, and its monitor 12, and a tenth fewer were answered; where 550
of them were, 11 to 18 and 5."""


def sampled(name: str) -> bool:
    """Return whether a row of this id is among the share that is told.

    Python's own hash is asked, which takes the time of a step: a checksum's tables would have to be
    fetched from memory between two requests, which took 1 µs.

    >>> round(sum(sampled(f"id-{number}") for number in range(320_000)) / 320_000, 2)
    0.03
    """
    return hash(name) % ONE_IN == 0
