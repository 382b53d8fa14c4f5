"""Where Tune's callbacks meet a session; knows Tune's trials only as things to kill.

Tune calls from a thread of its own. Once the desk is closed, by the thread that waits for the
search, whatever Tune still says is passed over: nothing reaches the ledger after the deadline.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Self

from raymm.search.session import Session
from raymm.search.trial import Rung

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
        Ends the worker of one of Tune's trials at once.

    Attributes
    ----------
    fault : BaseException or None
        The first error on our side; it ends the search and is raised after it.
    interrupted : bool
        Whether a person asked to stop.
    """

    def __init__(
        self, session: Session, *, timeout: float | None, grace: float, kill: Kill
    ) -> None:
        self.session = session
        self.fault: BaseException | None = None
        self.interrupted = False
        self._timeout, self._grace, self._kill = timeout, grace, kill
        self._closed = False
        self._lock = threading.RLock()
        self._numbers: dict[str, int] = {}
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
    def over(self) -> bool:
        """Whether the search is to end now, whatever runs."""
        left = self.session.seconds_left
        late = left is not None and left <= self._grace
        return late or self._closed or self.interrupted or self.fault is not None

    @property
    def exhausted(self) -> bool:
        """Whether `suggest` will never again return a trial."""
        return self.over or self.session.complete

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return what Tune hands to a worker as the trial of this id, or None."""
        config: dict[str, Any] | None = None
        with self._guard():
            opened = None if self.over else self.session.next()
            if opened is not None:
                self._numbers[trial_id] = opened.number
                known = opened.suggestion
                config = {
                    "number": opened.number,
                    "config": dict(known.config),
                    "budget": known.budget,
                }
        return config

    def result(self, trial_id: str, told: Mapping[str, Any]) -> bool:
        """Take in what a worker told; return whether the trial goes on."""
        go_on = False
        with self._guard():
            if self._closed:
                return False
            go_on = True
            if told.get("rung") is not None:
                rounds, value, fold_values = told["rung"]
                rung = Rung(rounds=rounds, value=value, fold_values=tuple(fold_values))
                go_on = self.session.rung(self._numbers[trial_id], rung)
        return go_on and self.fault is None

    def complete(self, trial_id: str, told: Mapping[str, Any] | None, *, error: bool) -> None:
        """Take in a trial's end; ``error`` where its worker died."""
        with self._guard():
            if self._closed:
                return
            number = self._numbers[trial_id]
            seconds = self._forget(number)
            failure = self._failure(number, told, error=error)
            if failure:
                self.session.end(number, "failed", seconds=seconds, error=failure)
                return
            assert told is not None
            self.result(trial_id, told)
            status: Literal["finished", "stopped"] = "finished" if told["ended"] else "stopped"
            self.session.end(number, status, seconds=seconds)

    def _failure(self, number: int, told: Mapping[str, Any] | None, *, error: bool) -> str:
        if number in self._late:
            return f"the trial took longer than {self._timeout:g} s (search.trial_timeout)"
        if error or not told:
            return "the worker process died twice: it was killed, or ran out of memory"
        return str(told.get("error") or "")

    def started(self, trial_id: str, trial: Any) -> None:
        """Take in that a worker has begun a trial."""
        with self._guard():
            self._running[self._numbers[trial_id]] = (time.monotonic(), trial)

    def lost(self, trial_id: str) -> None:
        """Take in that a trial's worker died and that the trial will begin again."""
        with self._guard():
            self._forget(self._numbers[trial_id])

    def _forget(self, number: int) -> float:
        began, _ = self._running.pop(number, (time.monotonic(), None))
        return time.monotonic() - began

    def end_late(self) -> None:
        """Kill the workers of trials that took too long; each fails and is not tried again."""
        now = time.monotonic()
        for number, (began, trial) in self._running.items():
            late = self._timeout is not None and now - began > self._timeout
            if late and number not in self._late:
                self._late.add(number)
                trial.max_failures = 0
                self._kill(trial)

    def end_all(self) -> None:
        """Kill every busy worker: at the deadline nobody is waited for."""
        for _, trial in self._running.values():
            self._kill(trial)

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
