"""Answers of a shadow: computed beside the champion's, told to the monitor, never returned.

A request that was read waits in a bounded queue. One thread makes the shadow's own tensors of it
and lets it answer, at rest half of its time; what does not fit is dropped and counted, so that
load, a slow shadow or one that fails takes nothing from the champion.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from raymm.artifacts import Batch, Tensors
from raymm.serving.sources import Served
from raymm.serving.tally import kind_of

Read = Callable[[Served], Tensors]
"""Makes a version's tensors of a request."""

MOST_ROWS = 20_000
"""Rows that wait at most."""
MOST_BYTES = 64 << 20
"""Of the bodies whose rows wait, at most; as read they may take some times as much."""

_log = logging.getLogger("raymm.serving")


class Shadows:
    """Computes what a shadow would have answered.

    Parameters
    ----------
    tell : function of Served and Batch
        Hands an answer to the monitor.
    most_rows, most_bytes : int
        Rows, and bytes of their bodies, that may wait.
    """

    def __init__(
        self,
        tell: Callable[[Served, Batch], None],
        *,
        most_rows: int = MOST_ROWS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._tell = tell
        self._most = most_rows
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[Served, Read, int, tuple[str, ...], int]] = deque()
        self._rows = self._bytes = 0
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None
        self.answered = 0
        self.failed = 0
        self.dropped = 0

    def offer(
        self, served: Served, read: Read, rows: int, ids: tuple[str, ...], size: int = 0
    ) -> bool:
        """Leave a request that was answered for the shadow; returns whether there was room.

        ``size`` is that of its body, in bytes.
        """
        with self._lock:
            if self._rows + rows > self._most or self._bytes + size > self._most_bytes:
                self.dropped += 1
                return False
            self._waiting.append((served, read, rows, ids, size))
            self._rows += rows
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="raymm-shadow", daemon=True)
                self._thread.start()
        self._some.set()
        return True

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while self._waiting:
                served, read, rows, ids, size = self._waiting.popleft()
                with self._lock:
                    self._rows -= rows
                    self._bytes -= size
                start = time.perf_counter()
                self._answer(served, read, rows, ids)
                # Half the time at most, so that requests find a processor. A low priority would
                # not do: the thread may hold the interpreter's lock when it is put off.
                time.sleep(time.perf_counter() - start)

    def _answer(self, served: Served, read: Read, rows: int, ids: tuple[str, ...]) -> None:
        start = time.perf_counter()
        error, predictions = "", np.empty(0)
        tensors: Tensors = {}
        try:
            tensors = read(served)
            predictions = served.runner.predict(tensors)
            self.answered += 1
        except Exception as failure:  # a shadow that fails is a figure, not an error
            error = kind_of(failure, alone=True)  # the champion answered the same request
            self.failed += 1
            _log.debug("shadow %s@%s failed", served.name, served.number, exc_info=True)
        batch = Batch(
            rows=0 if error else rows,
            version=served.number,
            seconds=time.perf_counter() - start,
            tensors={} if error else tensors,
            predictions=predictions,
            error=error,
            ids=() if error else ids,
        )
        with contextlib.suppress(Exception):
            self._tell(served, batch)
