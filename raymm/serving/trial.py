"""A canary's own thread: one that is slow or hangs takes none from the champion."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from raymm.errors import Overloaded
from raymm.serving.sources import Served

PLACES = 8
"""Requests that a canary may hold at once."""

Made = TypeVar("Made")


class Trials:
    """Runs the canaries of several models, each in one thread.

    Parameters
    ----------
    seconds : float
        Until an answer is late.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._trials: dict[str, _Trial] = {}

    async def run(self, canary: Served, work: Callable[[Served], Made]) -> Made:
        """Return what the work returns, or raise what it raises.

        Raises
        ------
        Overloaded
            When the canary holds too many requests, is late, or still has one that was late.
        """
        trial = self._trials.get(canary.name)
        if trial is None or trial.canary is not canary:
            if trial is not None:
                trial.end()
            trial = self._trials[canary.name] = _Trial(canary)
        return await trial.run(work, self._seconds)


class _Trial:
    def __init__(self, canary: Served) -> None:
        self.canary = canary
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="raymm-canary")
        self._places = threading.BoundedSemaphore(PLACES)
        self._late: Future[Any] | None = None

    async def run(self, work: Callable[[Served], Made], seconds: float) -> Made:
        stuck = self._late is not None and not self._late.done()
        if stuck or not self._places.acquire(blocking=False):
            raise Overloaded("the canary is busy.")
        job = self._thread.submit(work, self.canary)
        job.add_done_callback(lambda _: self._places.release())
        if await finished(job, seconds):
            try:
                return job.result()
            finally:
                del job  # else its error, which knows this frame, holds the body until it is found
        if not job.cancel():
            self._late = job
        raise Overloaded(f"the canary must answer within {seconds:g} s, but does not.")

    def end(self) -> None:
        """Begin nothing more; what waits is given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def finished(job: Future[Any], seconds: float) -> bool:
    """Wait for a thread's job; returns whether it is done, well or not."""
    waiting = asyncio.wrap_future(job)
    waiting.add_done_callback(_taken)
    done, _ = await asyncio.wait({waiting}, timeout=seconds)
    return bool(done)


def _taken(job: asyncio.Future[Any]) -> None:
    """Take a job's error, which asyncio would log else, and in it what the client had sent."""
    if not job.cancelled():
        job.exception()
