"""What a replica has to tell its monitor, until it is sent: bounded, and told in microseconds."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy.typing as npt

from raymm.artifacts import Batch, Feedback, Tensors
from raymm.monitoring.gathering import Gathering
from raymm.monitoring.merging import TOGETHER, size

MOST_ROWS = 200_000
"""Rows, and labels too, that are held at most before what comes is dropped."""
MOST_BYTES = 64 << 20
"""Of both together; as much again may be on its way."""
LARGE = 1 << 20
"""Bytes of requests whose answers wait to be gathered, at most."""

Row = tuple[int, float, Tensors, npt.NDArray[Any], str]


class Buffer:
    """Batches and labels that wait to be sent; safe to use from several threads at once.

    An answer to a single row waits as it is until `TOGETHER` have come: gathered one by one between
    requests, each would find the processor's caches full of other things, which takes three times
    as long.

    Attributes
    ----------
    rows, labels : int
        That are held; a failed request counts as a row.
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
        self._waiting: deque[Row] = deque()
        self._waiting_bytes = 0

    def tell(self, batch: Batch) -> None:
        """Put a batch in, or drop it where there is no room."""
        rows, more = max(batch.rows, 1), 0
        with self._lock:
            self._gather()
            if self.rows + rows <= MOST_ROWS:
                more = self._gathering.add(batch, MOST_BYTES - self._bytes)
            self._count(rows, more)

    def tell_row(self, row: Row, body: int) -> None:
        """Put in an answer to one row, as `raymm.artifacts.Watcher.tell_row` takes it."""
        waiting = self._waiting
        waiting.append(row)
        self._waiting_bytes += body
        if len(waiting) >= TOGETHER or self._waiting_bytes > LARGE:
            with self._lock:
                self._gather()

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

    def take(self) -> tuple[list[Batch], list[Feedback]]:
        """Hand over what is held, batches to be merged, and hold nothing."""
        with self._lock:
            self._gather()
            taken, learned = self._gathering.take(), list(self._feedback)
            self._feedback.clear()
            self.rows = self.labels = self._bytes = 0
        return taken, learned

    def _gather(self) -> None:
        """Gather the rows that wait; others may come meanwhile, and none is lost."""
        waiting, self._waiting_bytes = self._waiting, 0
        while waiting:
            more = 0
            row = waiting.popleft()
            if self.rows < MOST_ROWS:
                more = self._gathering.add_row(*row, MOST_BYTES - self._bytes)
            self._count(1, more)

    def _count(self, rows: int, more: int) -> None:
        if more:
            self.rows += rows
            self._bytes += more
        else:
            self.dropped += 1
