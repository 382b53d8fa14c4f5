"""What a replica has to tell its monitor, until it is sent: bounded, and told in microseconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, Feedback, OneRow, Tensors
from raymm.monitoring.gathering import Alike, Gathering, Row
from raymm.monitoring.merging import Parcel, Told, size
from raymm.monitoring.sampling import EVERY, sampled

MOST_ROWS = 200_000
"""Rows, and labels too, that are held at most before what comes is dropped."""
MOST_BYTES = 64 << 20
"""Of both together; as much again may be on its way."""
WAITING, LARGE = 2048, 1 << 20
"""Answers to a row that wait to be gathered, and the bytes of their texts, at most.

To gather 256 takes 0.3 ms, in which nothing is answered, and those that wait for it are among the
slowest. Of 6,000 rows a second 1,200 are told: gathered by 256, every hundredth request would be
one of these. So they wait until all are taken, once a second, unless more come than that."""
_ITEM = np.ndarray.item
_VERSIONS = 8
"""Of which it is remembered what their answers have in common."""


class Buffer:
    """Batches and labels that wait to be sent; safe to use from several threads at once.

    Of an answer to a single row little waits until `WAITING` have come (see
    `raymm.monitoring.gathering.Alike`): gathered one by one between requests, each would find the
    processor's caches full of other things.

    Attributes
    ----------
    rows, labels : int
        That are held; a failed request counts as a row, and one of which the time alone is told
        does not: of these `MOST_ROWS` are held besides.
    dropped, dropped_labels : int
        Batches, and labels, for which there was no room.
    """

    def __init__(self) -> None:
        self.rows = self.labels = 0
        self.dropped = self.dropped_labels = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._gathering = Gathering()
        self._feedback: deque[Feedback] = deque()
        self._cut: dict[int, Alike] = {}  # by version
        self._plain: dict[int, Alike] = {}
        self._waiting: deque[Row] = deque()
        self._waiting_bytes = 0
        self._second = 0  # rows of this second
        self._until = 0.0
        self._thinned: dict[int, deque[float]] = {}  # seconds of rows that tell no more, by version

    def tell(self, batch: Batch) -> None:
        """Put a batch in, or drop it where there is no room."""
        alone = batch.rows == len(batch.ids) == 1 and not batch.error
        if alone:
            self._second += 1
            if self._second > EVERY and self._thins(batch.version, batch.seconds, batch.ids[0]):
                return
        rows, more = max(batch.rows, 1), 0
        with self._lock:
            self._gather()
            if self.rows + rows <= MOST_ROWS:
                more = self._gathering.add(batch, MOST_BYTES - self._bytes)
            self._count(rows, more)

    def tell_row(
        self,
        version: int,
        seconds: float,
        tensors: Tensors,
        prediction: npt.NDArray[Any],
        key: str,
        body: int,
    ) -> None:
        """Put in an answer to one row; see `raymm.artifacts.Watcher.tell_row`.

        Beyond some a second all is told of a sample, and of the others their number and times.
        """
        self._second += 1
        if self._second > EVERY and self._thins(version, seconds, key):
            return
        known = self._cut if type(tensors) is OneRow else self._plain
        alike = known.get(version)
        if (
            alike is None
            or alike.shape != prediction.shape
            or alike.dtype != prediction.dtype
            or not alike.holds(tensors)
        ):
            alike = _remembered(known, Alike(version, tensors, prediction))
        if type(tensors) is OneRow:
            kept: Sequence[Any] = tensors.parts  # of JSON, which is longer than its texts
        else:
            kept = [*map(_ITEM, tensors.values())]
            body = max(body, sum(len(value) for value in kept if type(value) is str))
        waiting = self._waiting
        waiting.append((alike, seconds, kept, prediction.tobytes(), key, body))
        self._waiting_bytes += body
        if len(waiting) >= WAITING or self._waiting_bytes > LARGE:
            with self._lock:
                self._gather()

    def _thins(self, version: int, seconds: float, key: str) -> bool:
        """Whether of a row only the time is told, as so many came within the second before it."""
        if sampled(key):
            return False
        now = time.monotonic()
        if now >= self._until:
            self._until, self._second = now + 1, 1
            return False
        thinned = self._thinned.get(version)
        if thinned is None:
            thinned = self._thinned.setdefault(version, deque())
        if len(thinned) < MOST_ROWS:
            thinned.append(seconds)
        else:
            self.dropped += 1
        return True

    def learn(self, feedback: Feedback) -> None:
        """Put true labels in, or drop them where there is no room."""
        labels, more = len(feedback.ids), size(feedback)
        with self._lock:
            if self.labels + labels > MOST_ROWS or self._bytes + more > MOST_BYTES:
                self.dropped_labels += labels
                return
            self._feedback.append(feedback)
            self.labels += labels
            self._bytes += more

    def take(self) -> tuple[list[Told], list[Feedback]]:
        """Hand over what is held, batches to be merged, and hold nothing."""
        with self._lock:
            self._gather()
            # Requests of another version may come meanwhile.
            versions = [version for version, times in list(self._thinned.items()) if times]
            taken, learned = self._gathering.take(), list(self._feedback)
            self._feedback.clear()
            self.rows = self.labels = self._bytes = 0
        return [*taken, *(self._times(version) for version in versions)], learned

    def _times(self, version: int) -> Told:
        """Return rows of which nothing but the times is told; more may come meanwhile."""
        waiting = self._thinned[version]
        seconds = [waiting.popleft() for _ in range(len(waiting))]
        batch = Batch(rows=len(seconds), version=version, seconds=sum(seconds), thinned=True)
        return Parcel(batch=batch, ids="", seconds=np.array(seconds, np.float64).tobytes())

    def _gather(self) -> None:
        """Gather the rows that wait; others may come meanwhile, and none is lost."""
        waiting, self._waiting_bytes = self._waiting, 0
        rows = [waiting.popleft() for _ in range(len(waiting))]
        while rows:
            alike = rows[0][0]
            together = [row for row in rows if row[0] is alike]
            rows = [row for row in rows if row[0] is not alike]
            if self.rows + len(together) > MOST_ROWS or (
                self._bytes + alike.size(together) > MOST_BYTES
            ):
                together = self._fitting(alike, together)
            if together:
                self.rows += len(together)
                self._bytes += alike.size(together)
                self._gathering.put(alike.told(together))

    def _fitting(self, alike: Alike, rows: Sequence[Row]) -> list[Row]:
        """Return those of some rows for which there is room, and count the others as dropped."""
        taken: list[Row] = []
        more = 0
        for row in rows:
            size = alike.size([row])
            if self.rows + len(taken) < MOST_ROWS and self._bytes + more + size <= MOST_BYTES:
                taken.append(row)
                more += size
            else:
                self.dropped += 1
        return taken

    def _count(self, rows: int, more: int) -> None:
        if more:
            self.rows += rows
            self._bytes += more
        else:
            self.dropped += 1


def _remembered(known: dict[int, Alike], alike: Alike) -> Alike:
    if len(known) >= _VERSIONS:
        known.clear()
    known[alike.version] = alike
    return alike
