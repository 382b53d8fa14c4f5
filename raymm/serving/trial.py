"""A canary's own thread: one that is slow or hangs takes none from the champion."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

from raymm.artifacts import Tensors
from raymm.errors import CanaryBusy, LineTooLong, Overloaded
from raymm.serving.asking import Predicted
from raymm.serving.batching import Batches
from raymm.serving.line import rows_of
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
    max_wait : float, "auto" or "off"
        How long requests of a line may wait, as champions' do: what is compared with theirs is what
        answers take.
    joined : bool
        Whether any are run together.
    """

    def __init__(
        self, seconds: float, *, max_wait: float | Literal["auto", "off"], joined: bool
    ) -> None:
        self._seconds = seconds
        self._max_wait = max_wait
        self._joined = joined
        self._trials: dict[str, _Trial] = {}

    async def run(self, canary: Served, work: Callable[[Served], Made]) -> Made:
        """Return what the work returns, or raise what it raises.

        Raises
        ------
        CanaryBusy
            When the canary holds too many requests.
        Overloaded
            When it is late, or still has one that was late.
        """
        trial = self._of(canary)
        return await trial.run(partial(trial.thread.submit, work, canary), self._seconds)

    async def predict(self, canary: Served, tensors: Tensors) -> Predicted:
        """Return what the canary predicts, in its turn and by a call that others may share.

        Raises
        ------
        CanaryBusy
            When the canary holds too many requests, or they would wait too long.
        Overloaded
            When it is late, or still has one that was late.
        """
        trial = self._of(canary)
        trial.require_timely()  # else one that hangs would be busy, which is no failure
        try:
            trial.batches.require_soon(canary, rows_of(tensors), self._max_wait)
            return await trial.run(partial(trial.batches.submit, canary, tensors), self._seconds)
        except LineTooLong as error:  # now, or once others were told so
            raise CanaryBusy(str(error)) from None

    def _of(self, canary: Served) -> _Trial:
        trial = self._trials.get(canary.name)
        if trial is None or trial.canary is not canary:
            if trial is not None:
                trial.end()
            trial = self._trials[canary.name] = _Trial(canary, joined=self._joined)
        return trial


class _Trial:
    def __init__(self, canary: Served, *, joined: bool) -> None:
        self.canary = canary
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="raymm-canary")
        self.batches = Batches(self.thread, 1, workers=1, joined=joined)
        self._places = threading.BoundedSemaphore(PLACES)
        self._late: Future[Any] | None = None

    def require_timely(self) -> None:
        """Raise Overloaded while a request that was late is still at work."""
        if self._late is not None and not self._late.done():
            raise Overloaded("the canary is still at a request that was late.")

    async def run(self, begin: Callable[[], Future[Made]], seconds: float) -> Made:
        self.require_timely()
        if not self._places.acquire(blocking=False):
            raise CanaryBusy(f"the canary is busy: it holds {PLACES} requests at once at most.")
        try:
            job = begin()
        except RuntimeError:  # the thread has been told to end
            self._places.release()
            raise
        job.add_done_callback(lambda _: self._places.release())
        try:
            done = await finished(job, seconds)
        except asyncio.CancelledError:  # the client left
            job.cancel()
            raise
        if done:
            try:
                return job.result()
            finally:
                del job  # else its error, which knows this frame, holds the body until it is found
        if job.cancel():
            raise CanaryBusy(f"the canary is busy: it has not begun within {seconds:g} s.")
        self._late = job
        raise Overloaded(f"the canary must answer within {seconds:g} s, but does not.")

    def end(self) -> None:
        """Begin nothing more; what waits is given up."""
        self.thread.shutdown(wait=False, cancel_futures=True)


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
