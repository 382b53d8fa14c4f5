"""Where those who run trials meet a session; knows workers only as things to kill.

They call from a thread of their own. Once the desk is closed, by the thread that waits for the
search, whatever they still say is passed over: nothing reaches the ledger after the deadline.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Literal, Self

from raymm.search import faults
from raymm.search.session import Session

Kill = Callable[[Any], None]


class Desk:
    """One search's meeting point.

    Parameters
    ----------
    timeout : float or None
        Seconds that a trial may take.
    grace : float
        Seconds before the deadline at which the workers are ended.
    kill : callable
        Ends a worker at once.

    Attributes
    ----------
    fault : BaseException or None
        The first error on our side; it ends the search and is raised after it.
    interrupted : bool
        Whether a person asked to stop.
    states : dict
        By a trial's id, what leads to its saved state.
    """

    def __init__(
        self, session: Session, *, timeout: float | None, grace: float, kill: Kill
    ) -> None:
        self.session = session
        self.timeout = timeout
        self.fault: BaseException | None = None
        self.interrupted = False
        self.states: dict[str, Any] = {}
        self._grace, self._kill = grace, kill
        self._closed = False
        self._reason = ""
        self._lock = threading.RLock()
        self._numbers: dict[Hashable, int] = {}
        self._ids: dict[int, str] = {}
        self._running: dict[int, tuple[float, Any]] = {}
        self._late: set[int] = set()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Stay one: Tune copies what holds a desk with each trial's specification."""
        return self

    def __reduce__(self) -> tuple[type[str], tuple[()]]:
        """Leave nothing of it in the state that Tune pickles, which is never read."""
        return str, ()

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except BaseException as error:
                self.fault = self.fault or error

    @property
    def reason(self) -> str:
        """Which budget, other than that of trials, has ended the search; empty where none has."""
        if not self._reason:
            spending = self.session.spending
            left = spending.seconds_left
            if left is not None and left <= self._grace:
                self._reason = "time"
            else:
                now = time.monotonic()
                busy = list(self._running.values())
                self._reason = spending.over(sum(now - began for began, _ in busy))
        return self._reason

    @property
    def over(self) -> bool:
        """Whether the search is to end now, whatever runs."""
        if self._closed or self.interrupted or self.fault is not None:
            return True
        return bool(self.reason)

    @property
    def exhausted(self) -> bool:
        """Whether `suggest` will never again return a trial."""
        return self.over or self.session.complete

    def suggest(self, key: Hashable) -> dict[str, Any] | None:
        """Return what is handed to a worker as the trial of this key, or None."""
        task: dict[str, Any] | None = None
        with self._guard():
            opened = None if self.over else self.session.next()
            if opened is not None:
                known = opened.suggestion
                self._numbers[key] = opened.number
                self._ids[opened.number] = known.id
                task = {
                    "number": opened.number,
                    "config": dict(known.config),
                    "budget": known.budget,
                    "state": self.states.get(known.parent or known.id),
                    "keep": self.session.goes_on,
                }
        return task

    def result(self, key: Hashable, told: Mapping[str, Any]) -> bool:
        """Take in what a worker told; return whether the trial goes on."""
        go_on = False
        with self._guard():
            if self._closed:
                return False
            go_on = True
            if told.get("rung") is not None:
                go_on = self.session.rung(self._numbers[key], told["rung"])
        return go_on and self.fault is None

    def complete(self, key: Hashable, told: Mapping[str, Any] | None, *, error: str = "") -> None:
        """Take in a trial's end; ``error`` says so where its worker died."""
        with self._guard():
            if self._closed:
                return
            number = self._numbers.pop(key)
            known, seconds = self._ids.pop(number), self._forget(number)
            failure = self._failure(number, told, error)
            if failure:
                self.states.pop(known, None)
                self.session.end(number, "failed", seconds=seconds, error=failure)
                return
            assert told is not None
            if told.get("state") is not None:
                self.states[known] = told["state"]
            if told.get("rung") is not None:
                self.session.rung(number, told["rung"])
            status: Literal["finished", "stopped"] = "finished" if told["done"] else "stopped"
            self.session.end(number, status, seconds=seconds)

    def _failure(self, number: int, told: Mapping[str, Any] | None, error: str) -> str:
        if number in self._late:
            self._late.discard(number)
            return faults.late(self.timeout)
        if told is not None and told.get("late") is not None:
            return faults.late(self.timeout, told["late"])
        if error or not told:
            return error or faults.died(1)
        return str(told.get("error") or "")

    def started(self, key: Hashable, worker: Any) -> None:
        """Take in that a worker has begun a trial."""
        with self._guard():
            self._running[self._numbers[key]] = (time.monotonic(), worker)

    def lost(self, key: Hashable) -> None:
        """Take in that a trial's worker died and that the trial will begin again."""
        with self._guard():
            if key in self._numbers:
                self._forget(self._numbers[key])

    def _forget(self, number: int) -> float:
        began, _ = self._running.pop(number, (time.monotonic(), None))
        return time.monotonic() - began

    def left(self, key: Hashable) -> float | None:
        """Return the seconds that a running trial still has; None where there is no limit."""
        if self.timeout is None:
            return None
        began, _ = self._running[self._numbers[key]]
        return began + self.timeout - time.monotonic()

    def end_late(self) -> None:
        """Kill the workers of trials that took too long and did not say so themselves in time."""
        if self.timeout is None:
            return
        with self._guard():
            now = time.monotonic()
            for number, (began, worker) in self._running.items():
                if now - began > self.timeout + faults.NOTICE and number not in self._late:
                    self._late.add(number)
                    self._kill(worker)

    def is_late(self, key: Hashable) -> bool:
        """Whether a trial's worker was killed for being late."""
        return self._numbers.get(key) in self._late

    def end_all(self) -> None:
        """Kill every busy worker: at the deadline nobody is waited for."""
        with self._guard():
            for _, worker in self._running.values():
                self._kill(worker)

    def close(self, *, keep: bool) -> None:
        """Take in nothing more.

        With ``keep``, the running trials end with what they had; else they stay open in the
        ledger and are run again when the run goes on.
        """
        with self._guard():
            if keep and not self._closed:
                now = time.monotonic()
                seconds = {number: now - began for number, (began, _) in self._running.items()}
                self.session.close(seconds)
        self._closed = True
