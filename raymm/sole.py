"""One process at a time: a lock that the system takes back from a process that ends in any way."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raymm.errors import ServingError

_TRIES = 3
_OWN: set[tuple[int, Path]] = set()
"""What this process holds, with its id, as a fork inherits the set but no lock.

The system keeps such a lock by process and file, not by descriptor: to this process its own lock
looks free, and closing any descriptor of the file lets it go.
"""


@contextmanager
def sole(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the body runs; ``what`` names in errors the command that holds it.

    The file holds its holder's process id and since when, for whoever comes second; it stays when
    the lock is let go, and says nothing then. A process that was killed holds nothing.

    Raises
    ------
    ServingError
        When this or another process on this machine holds it.
    """
    import fcntl

    own = _own(path)
    if own in _OWN:
        raise ServingError(f"{what} runs already in this process. End it there, then call again.")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except (BlockingIOError, PermissionError) as error:
                if not left:
                    raise ServingError(_taken(file.read(1000), what)) from error
                time.sleep(0.05)  # `held` may be looking
        file.truncate(0)
        json.dump({"pid": os.getpid(), "since": time.time()}, file)
        file.flush()
        _OWN.add(own)
        try:
            yield
        finally:
            _OWN.discard(own)
            file.truncate(0)  # while the lock is held: later it may be another's


def held(path: Path) -> bool:
    """Return whether a process on this machine holds a lock file; this one may be it."""
    import fcntl

    if _own(path) in _OWN:
        return True  # told without a look into the file, which would let it go
    try:
        with path.open("r") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back as the file is closed
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False  # nobody has held it yet
    return False


def _own(path: Path) -> tuple[int, Path]:
    return os.getpid(), path.resolve()


def _taken(text: str, what: str) -> str:
    told, remedy = "", "End it with Ctrl-C where it runs"
    try:
        held = json.loads(text)
        pid, since = int(held["pid"]), time.gmtime(float(held["since"]))
        told = f" (process {pid}, since {time.strftime('%Y-%m-%d %H:%M:%S UTC', since)})"
        remedy += f", or with: kill {pid}"
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        pass  # it is being written
    return f"{what} runs already{told}. {remedy}. Then call this again."
