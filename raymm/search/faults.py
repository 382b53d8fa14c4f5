"""What goes wrong with a trial on its worker: it hangs, its process dies, it runs out of memory."""

from __future__ import annotations

import contextlib
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

_OURS = str(Path(__file__).parents[1])
_STANDARD = sysconfig.get_paths()["stdlib"]

NOTICE = 1.0
"""Seconds that a late trial has to tell where it stood, before its worker is killed."""


class Late(BaseException):
    """Raised inside a trial that took too long; a user's ``except Exception`` lets it pass."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise `Late` in the block after so many seconds, wherever it stands in Python.

    Code that does not come back to Python is not interrupted, and outside a process's main
    thread nothing is done; whoever waits for the trial must then end its process.
    """
    here = threading.current_thread() is threading.main_thread()
    if seconds is None or not here or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _raise)
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left > 0:
            # Whoever had set the clock before finds it going on.
            left = max(left - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Late(where(frame))


def where(frame: FrameType | None) -> str:
    """Return the user's own innermost frame as a line of text; empty where there is none.

    ``frame`` is looked through first, then the other threads: a function that reports runs in a
    thread of its own.
    """
    here = threading.get_ident()
    others = [at for thread, at in sys._current_frames().items() if thread != here]
    for start in (frame, *others):
        at: FrameType | None = start
        while at is not None:
            if _is_own(at.f_code.co_filename):
                return f"{at.f_code.co_filename}, line {at.f_lineno}, in {at.f_code.co_name}"
            at = at.f_back
    return ""


def _is_own(name: str) -> bool:
    library = "-packages" in name or name.startswith(("<frozen", _STANDARD))
    return not library and not name.startswith(_OURS)


def late(seconds: float | None, place: str = "") -> str:
    """Return why a trial that took longer than ``seconds`` failed."""
    limit = f"{seconds:g}" if seconds is not None else "allowed"
    text = f"the trial took longer than {limit} s (search.trial_timeout)"
    return f"{text}\n{place}" if place else text


def died(times: int, cause: Any = "") -> str:
    """Return why a trial whose worker process died ``times`` times failed."""
    often = {1: "", 2: " twice"}.get(times, f" {times} times")
    if "memory" in str(cause).lower() and "oom" in str(cause).lower().replace("outofmemory", "oom"):
        return (
            f"the worker process died{often}: the node ran out of memory. Give trials more CPUs "
            "each (search.cpus), so that fewer run at once, or fewer rows."
        )
    return f"the worker process died{often}: it was killed, or ran out of memory"
