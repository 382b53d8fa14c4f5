"""Requests that wait to be told, put together as they come.

Joined at once, those of a second hold the interpreter's lock for milliseconds, during which
nothing is answered; a few at a time, each pays its share.
"""

from __future__ import annotations

import math

from raymm.artifacts import Batch
from raymm.monitoring.merging import TOGETHER, Told, merge, size


class Gathering:
    """What waits; not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._fresh: list[Told] = []
        self._blocks: list[Told] = []

    def add(self, batch: Batch, room: float = math.inf) -> int:
        """Take in a request; one of many rows is a block of its own, and is not copied here.

        Returns
        -------
        int
            The bytes that it takes, as `size` tells them; 0 where they are more than ``room``, and
            it is not taken in.
        """
        more = size(batch)
        if more > room:
            return 0
        alone = batch.rows > TOGETHER
        if not alone:
            self._fresh.append(batch)
        if alone or len(self._fresh) >= TOGETHER:
            self._close()
        if alone:
            self._blocks.append(batch)
        return more

    def take(self) -> list[Told]:
        """Hand over what waits, to be merged, and wait anew with nothing."""
        taken, self._blocks, self._fresh = self._blocks + self._fresh, [], []
        return taken

    def _close(self) -> None:
        """Make blocks of what is fresh."""
        self._blocks += merge(self._fresh)
        self._fresh = []
