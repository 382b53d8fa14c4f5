"""A copy of a monitor's state in storage that every node reaches.

The state is a file of the node that the monitor runs on (see `raymm.monitoring.observer`). Where
the monitor is started anew on another node, it goes on from the copy, which is a minute old at
most; where both are there, from the one that was saved later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from raymm.errors import NotFound, RaymmError
from raymm.monitoring.observer import replace_file, saved_at

EVERY = 60.0
"""Seconds between copies at least."""
MOST_BYTES = 1 << 30
_TRIES = 3

_log = logging.getLogger(__name__)


class Away(Protocol):
    """A file in storage that every node reaches; both raise RaymmError."""

    def read(self, limit: int) -> bytes:
        """Return its content; raises NotFound where there is none."""
        ...

    def replace(self, data: bytes) -> None:
        """Write it, whole or not at all."""
        ...


class Copied:
    """Keeps a state file and its copy alike.

    Parameters
    ----------
    path : Path
        The state file.
    away : Away
    clock : function to float
        Seconds that only grow.
    """

    def __init__(
        self, path: Path, away: Away, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._away = away
        self._clock = clock
        self._copied: float | None = None  # when the state was saved that the copy holds
        self._next = 0.0
        self._blind = False

    def fetch(self, *, pause: float = 1.0) -> None:
        """Bring the copy here where it is the later one; call it before the state is read.

        Where storage does not answer after three tries, ``pause`` seconds apart, and there is no
        state here either, no copy is made until the next start: what lies there may be better than
        what begins from nothing now.
        """
        here = saved_at(_read(self._path))
        for attempt in range(_TRIES):
            try:
                data = self._away.read(MOST_BYTES)
            except NotFound:
                return
            except RaymmError as error:
                _log.warning("The monitor's copy in storage could not be read: %s", error)
                self._blind = here is None
                if attempt < _TRIES - 1:
                    time.sleep(pause)
                continue
            self._blind = False
            self._copied = saved_at(data)
            if self._copied is None:
                _log.warning("The monitor's copy in storage is damaged and is passed over.")
            elif here is None or self._copied > here:
                replace_file(self._path, data)
            return

    def soon(self) -> None:
        """Let the next `push` copy, however short ago the last was."""
        self._next = 0.0

    def push(self) -> bool:
        """Copy the state where it has changed and is due; returns whether it did.

        Raises
        ------
        RaymmError
            Where storage refuses; it is tried again when the next copy is due.
        """
        if self._blind or self._clock() < self._next:
            return False
        self._next = self._clock() + EVERY
        data = _read(self._path)
        saved = saved_at(data)
        if data is None or saved is None or saved == self._copied:
            return False
        self._away.replace(data)
        self._copied = saved
        return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
