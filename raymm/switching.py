"""Threads of a process that answers requests take turns more often while others have work to do."""

from __future__ import annotations

import sys
import threading

SWITCH_SECONDS = 2e-4


class Switching:
    """The interpreter's lock changes hands after `SWITCH_SECONDS` while anybody is inside.

    A thread that reads a bundle else keeps a request waiting for 5 ms each time that this lets go
    of the lock, which each read of a socket does.
    Safe to enter from several threads at once, and again from within.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._usual = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual, SWITCH_SECONDS))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._usual)


switching = Switching()
"""The process's own."""
