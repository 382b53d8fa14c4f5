"""What a replica has to tell its monitor, until it is sent: bounded, and told in microseconds."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, Feedback, OneRow, Tensors
from raymm.monitoring.gathering import Gathering
from raymm.monitoring.merging import ZERO, Parcel, Told, size
from raymm.monitoring.pages import EMPTY, Alike, Page
from raymm.monitoring.sampling import EVERY, sampled

MOST_ROWS = 200_000
"""Rows, and labels too, that are held at most before what comes is dropped."""
MOST_BYTES = 64 << 20
"""Of both together; as much again may be on its way."""
PAGE = 2048
"""Answers to a row that are written side by side at most, before others are."""
_VERSIONS = 8
"""Of which it is remembered what their answers have in common."""


class Buffer:
    """Batches and labels that wait to be sent; safe to use from several threads at once.

    Answers to a single row are written down at once; see `raymm.monitoring.pages`.

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
        self._pages: list[Page] = []
        self._second = 0  # rows of this second
        self._until = 0.0
        self._named: set[tuple[int, str]] = set()  # versions and ids that were sampled in it
        self._thinned: dict[int, deque[float]] = {}  # seconds of rows that tell no more, by version

    def tell(self, batch: Batch) -> None:
        """Put a batch in, or drop it where there is no room."""
        if batch.rows == len(batch.ids) == 1 and batch.ids[0] and not batch.error:
            tensors, prediction = batch.tensors, batch.predictions
            self.tell_row(batch.version, batch.seconds, tensors, prediction, batch.ids[0])
        else:
            self._add(batch)

    def _add(self, batch: Batch) -> None:
        rows, more = max(batch.rows, 1), 0
        with self._lock:
            if self.rows + rows <= MOST_ROWS:
                more = self._gathering.add(batch, MOST_BYTES - self._bytes)
            if not more:
                self.dropped += 1
                return
            self.rows += rows
            self._bytes += more

    def tell_row(
        self,
        version: int,
        seconds: float,
        tensors: Tensors,
        prediction: npt.NDArray[Any],
        key: str,
    ) -> None:
        """Put in an answer to one row; see `raymm.artifacts.Watcher.tell_row`.

        Beyond some a second all is told of a sample, and of the others their number and times.
        """
        self._second += 1
        if self._second > EVERY and self._thins(version, seconds, key):
            return
        known = self._cut if type(tensors) is OneRow else self._plain
        alike = known.get(version)
        if alike is None or not alike.holds(tensors, prediction) or ZERO in key:
            # One unlike that before it begins no page: of columns that change, each would be one.
            _remember(known, Alike(version, tensors, prediction))
            self._add(
                Batch(
                    rows=1, version=version, seconds=seconds, tensors=tensors,
                    predictions=prediction, ids=(key,),
                )
            )  # fmt: skip
            return
        with self._lock:
            more, page = 0, alike.page
            if page is None or page.rows >= PAGE:
                page = Page(alike)
            if self.rows < MOST_ROWS:
                more = page.add(seconds, tensors, prediction, key, MOST_BYTES - self._bytes)
            if not more:
                self.dropped += 1
                return
            if page.rows == 1:
                alike.page = page
                self._pages.append(page)
                more += EMPTY
            self.rows += 1
            self._bytes += more

    def _thins(self, version: int, seconds: float, key: str) -> bool:
        """Whether of a row only the time is told, as so many came within the second before it."""
        now = time.monotonic()
        if now >= self._until:
            self._until, self._second = now + 1, 1
            self._named.clear()
            return False
        if sampled(key) and (version, key) not in self._named:
            self._named.add((version, key))
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
            pages, self._pages = self._pages, []
            for page in pages:
                page.alike.page = None
            # Requests of another version may come meanwhile.
            versions = [version for version, times in list(self._thinned.items()) if times]
            taken, learned = self._gathering.take(), list(self._feedback)
            self._feedback.clear()
            self.rows = self.labels = self._bytes = 0
        alone = [page.told() for page in pages]
        return [*taken, *alone, *(self._times(version) for version in versions)], learned

    def _times(self, version: int) -> Told:
        """Return rows of which nothing but the times is told; more may come meanwhile."""
        waiting = self._thinned[version]
        seconds = [waiting.popleft() for _ in range(len(waiting))]
        batch = Batch(rows=len(seconds), version=version, seconds=sum(seconds), thinned=True)
        return Parcel(batch=batch, ids="", seconds=np.array(seconds, np.float64).tobytes())


def _remember(known: dict[int, Alike], alike: Alike) -> None:
    if len(known) >= _VERSIONS:
        known.clear()
    known[alike.version] = alike
