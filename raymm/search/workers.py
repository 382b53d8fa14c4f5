"""A pool of worker processes that run a search's trials, one trial at a time each.

A worker lives as long as the search. It is told its next trial as soon as it is free, and gives
word after each rung, or every `STEP` seconds, so that the driver can stop a trial. How processes
are started, called and killed is the business of `Backend`; Ray's is in `raymm.search.tune`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from raymm.artifacts import Config
from raymm.errors import SearchError
from raymm.search import faults
from raymm.search.desk import Desk

STEP = 1.0
"""Seconds after which a worker gives word even where no rung is complete."""

POLL = 0.05
"""Seconds between two looks at the clock."""

SLOW = 20.0
"""Seconds without a worker after which the person who waits is told why nothing happens."""

STILLBORN = 5
"""Workers in a row that may die before they are ready; then none ever will."""

Make = Callable[[int, Config, float | None], Any]
"""Makes the run of a suggestion: number, configuration, budget."""


class Died(Exception):
    """A worker's process is gone; the message is what is known of the cause."""


class StateLost(Exception):
    """A saved state that was handed to a worker is no more."""


class Worker:
    """What a worker process holds: the run of its trial."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._run: Any = None

    def ready(self) -> int:
        """Return the process id; the first call returns when the process stands."""
        return os.getpid()

    def work(
        self, task: dict[str, Any] | None, state: Any, seconds: float | None
    ) -> tuple[dict[str, Any], Any]:
        """Begin a trial, or go on with it where ``task`` is None, until there is word to give.

        Parameters
        ----------
        task : dict or None
            number, config, budget, and ``keep``: whether its state is to be saved at its end.
        state : object
            What another run saved, to start from; None to start anew.
        seconds : float or None
            After which the trial is late.

        Returns
        -------
        dict, object
            ``rung`` (a Rung or None) and ``done``, or ``error``, or ``late``; and the saved state.
        """
        from raymm.search.objective import describe

        try:
            with faults.alarm(seconds):
                return self._work(task, state)
        except faults.Late as late:
            return {"late": late.place}, None
        except (Exception, SystemExit) as error:
            return {"error": describe(error)}, None

    def _work(self, task: dict[str, Any] | None, state: Any) -> tuple[dict[str, Any], Any]:
        if task is not None:
            self.leave()
            self._run = self._make(task["number"], task["config"], task["budget"])
            self._keep = bool(task["keep"])
            if state is not None and hasattr(self._run, "restore"):
                self._run.restore(state)
        began, rung = time.monotonic(), None
        while rung is None and time.monotonic() - began < STEP:
            rung = self._run.advance()
        done = rung is not None and rung.done
        saved = None
        if done and self._keep and hasattr(self._run, "save"):
            saved = self._run.save()
        return {"rung": rung, "done": done, "saved": saved is not None}, saved

    def leave(self) -> None:
        """End the run that is still held, if any."""
        run, self._run = self._run, None
        close = getattr(run, "close", None)
        if close is not None:
            close()


class Backend(Protocol):
    """Processes that hold a `Worker` each; a call is something to wait for."""

    def start(self) -> tuple[Any, Any]:
        """Start a process; return it, and the call that ends when it stands."""
        ...

    def work(self, worker: Any, task: Any, state: Any, seconds: float | None) -> tuple[Any, Any]:
        """Call `Worker.work`; return the call, and what leads to the state that will be saved."""
        ...

    def wait(self, calls: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Return the calls that have ended, as soon as there is one, or after ``seconds``."""
        ...

    def answer(self, call: Any) -> Any:
        """Return what a call that has ended returned.

        Raises
        ------
        Died
            When the worker is gone.
        StateLost
            When the state that was handed over is.
        """
        ...

    def kill(self, worker: Any) -> None:
        """End a process at once, whatever it does."""
        ...


@dataclass(slots=True)
class _Slot:
    worker: Any
    call: Any
    state: Any = None
    key: int | None = None
    task: dict[str, Any] | None = None
    ready: bool = False


class Pool:
    """Runs the trials of a desk on workers until the search is over.

    Parameters
    ----------
    size : int
        Trials at once.
    max_failures : int
        How often a trial begins again whose worker died.
    """

    def __init__(self, desk: Desk, backend: Backend, *, size: int, max_failures: int) -> None:
        self._desk, self._backend = desk, backend
        self._size, self._max_failures = size, max_failures
        self._slots: list[_Slot] = []
        self._again: list[tuple[int, dict[str, Any]]] = []
        self._keys = itertools.count()
        self._deaths: dict[int, int] = {}
        self._stillborn = 0

    def run(self) -> None:
        """Hand out trials and take in what workers tell, until the search is over.

        Raises
        ------
        SearchError
            When no worker can be started.
        """
        limit = self._desk.session.limits.trials
        left = self._size if limit is None else max(1, limit - self._desk.session.done)
        began: float | None = time.monotonic()
        try:
            for _ in range(min(self._size, left)):
                self._hire()
            while not self._desk.over and not self._desk.session.finished:
                for slot in self._slots:
                    if slot.ready and slot.call is None:
                        self._hand_out(slot)
                self._wait()
                self._desk.end_late()
                if began is not None and time.monotonic() - began > SLOW:
                    began = None
                    if not any(slot.ready for slot in self._slots):
                        self._desk.session.say("waits for the cluster to start a worker process")
        finally:
            for slot in self._slots:
                self._backend.kill(slot.worker)

    def _hire(self) -> None:
        worker, call = self._backend.start()
        self._slots.append(_Slot(worker, call))

    def _replace(self, slot: _Slot) -> None:
        self._backend.kill(slot.worker)
        self._slots.remove(slot)
        self._hire()

    def _wait(self) -> None:
        calls = {id(slot.call): slot for slot in self._slots if slot.call is not None}
        left = self._desk.session.spending.seconds_left
        seconds = POLL if left is None else max(0.0, min(POLL, left))
        if not calls:
            time.sleep(seconds)
            return
        for call in self._backend.wait([slot.call for slot in calls.values()], seconds):
            self._take_in(calls[id(call)])

    # ------------------------------------------------------------------------------- trials

    def _hand_out(self, slot: _Slot) -> None:
        if self._again:
            slot.key, slot.task = self._again.pop(0)
        else:
            key = next(self._keys)
            task = self._desk.suggest(key)
            if task is None:
                return
            slot.key, slot.task = key, task
        self._desk.started(slot.key, slot.worker)
        task = {name: slot.task[name] for name in ("number", "config", "budget", "keep")}
        self._call(slot, task, slot.task["state"])

    def _call(self, slot: _Slot, task: dict[str, Any] | None, state: Any) -> None:
        seconds = self._desk.left(slot.key)
        slot.call, slot.state = self._backend.work(slot.worker, task, state, seconds)

    def _take_in(self, slot: _Slot) -> None:
        call, slot.call = slot.call, None
        try:
            told = self._backend.answer(call)
        except Died as death:
            self._bury(slot, str(death))
            return
        except StateLost:
            assert slot.task is not None
            slot.task["state"] = None
            self._retry(slot)
            return
        self._stillborn = 0
        if not slot.ready:
            slot.ready = True
            return
        self._hear(slot, told)

    def _hear(self, slot: _Slot, told: dict[str, Any]) -> None:
        assert slot.key is not None
        if told.get("saved"):
            told["state"] = slot.state
        slot.state = None
        ended = bool(told.get("done")) or "rung" not in told
        if ended or not self._desk.result(slot.key, told):
            self._desk.complete(slot.key, told)
            slot.key = slot.task = None
            if "late" in told:
                # What it was doing may still go on in a thread of its own.
                self._replace(slot)
        else:
            self._call(slot, None, None)

    def _bury(self, slot: _Slot, cause: str) -> None:
        if slot.key is None:
            self._stillborn += 1
            if self._stillborn >= STILLBORN:
                raise SearchError(
                    f"The last {STILLBORN} worker processes died before they were ready: {cause}"
                )
        else:
            self._mourn(slot, cause)
        self._replace(slot)

    def _mourn(self, slot: _Slot, cause: str) -> None:
        assert slot.key is not None
        deaths = self._deaths[slot.key] = self._deaths.get(slot.key, 0) + 1
        if self._desk.is_late(slot.key) or deaths > self._max_failures:
            self._desk.complete(slot.key, None, error=faults.died(deaths, cause))
            slot.key = slot.task = None
        else:
            self._retry(slot)

    def _retry(self, slot: _Slot) -> None:
        assert slot.key is not None
        assert slot.task is not None
        self._desk.lost(slot.key)
        self._again.append((slot.key, slot.task))
        slot.key = slot.task = None
