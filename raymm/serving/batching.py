"""Requests of a slow version stand in line; where it pays, the next call answers all together.

A support vector machine compares a row with thousands of others, and sixteen rows in hardly more
time than one, as what it compares them with is fetched once. So where a version's calls pay when
they are joined (see `raymm.serving.gain`), what has come in the meantime goes into one call.
Nobody waits for a call to fill, so a request that is alone is answered as soon as before.

Joined is what versions read of requests, columns of shape (n,), whatever protocol or media type
they came in: who sent a wrong row has been told by then. Where a joint call fails, each request is
run alone, so that only that one fails which does so alone, too.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Literal, TypeVar

from raymm.artifacts import Tensors
from raymm.errors import LineTooLong, ServingError
from raymm.serving.asking import Predicted
from raymm.serving.gain import SHARE
from raymm.serving.line import Asking, Line, Waiting, put_together, rows_of
from raymm.serving.sources import Served
from raymm.serving.tally import LIGHT

ROWS = 64
"""Rows of a joint call at most. A request of more has a call of its own."""

BRIEF = 0.1
"""Seconds that a request may wait of whatever version, unless less is asked for."""
_LATELY = 1.0
"""Seconds, or ten calls, of which what was asked for counts."""
_CROWD = 2.5
"""Requests at once, for each call at once, from which on there may be many more to come: of two
replicas the proxy sends what comes to the one that refuses it, as that has the fewest, and the
other sees no more than these. While as much comes as can be done, three within a quarter of a call
are rare."""

Predict = Callable[[Tensors], Predicted]
One = TypeVar("One", bound=Asking)


def calls_at_once(replicas: int, *, most: int) -> int:
    """Return how many calls of one version a replica runs at once: as many as its share of this
    machine's processors, where all replicas run on it, at least one and at most ``most``.

    Two on one processor would both end late: of a model of 0.1 s a row, with two replicas on two
    processors and requests joined, the slowest of a hundred took 4.5 to 5.4 times as long as
    without load with two calls each, and 2.6 to 3.9 times with one, and as many were answered.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(most, processors // replicas))


class Batches:
    """Runs the requests of versions, those together that wait where a version is `Served.joined`.

    Versions share the threads: after a call, and more calls until the longest of another version
    would have ended, one stands behind the others that wait for them.

    Parameters
    ----------
    threads : ThreadPoolExecutor
    calls : int
        Of one version at once, at most: as many as there are threads, so that what comes while one
        call is at work and a thread is free need not wait; fewer where they would share processors,
        as all would end late then.
    workers : int
        How many threads there are.
    joined : bool
        Whether any are run together.
    """

    def __init__(
        self, threads: ThreadPoolExecutor, calls: int, *, workers: int, joined: bool = True
    ) -> None:
        self._threads = threads
        self._calls = calls
        self._workers = workers
        self._joined = joined
        self._lock = threading.Lock()
        self._worked, self._refused = 0.0, 0.0
        """Seconds of calls that ended, and of those that who was refused would have needed."""
        self._asked: set[int] = set()
        """The versions whose calls these are."""
        self._counted = time.monotonic()
        """When they were counted last."""
        self._lines: dict[int, Line] = {}
        """Of versions that have something to do, so that none is kept that is served no more."""

    def submit(self, served: Served, tensors: Tensors) -> Future[Predicted]:
        """Let a version predict n rows.

        Parameters
        ----------
        served : Served
        tensors : mapping of column name to array, shape (n,)
            What its reader made of a request.

        Returns
        -------
        Future
            Of what ``served.runner.predict(tensors)`` returns, or raises. It can be cancelled
            until the call begins, which takes nothing from others; it is cancelled when the
            threads are shut down before.
        """
        one = Waiting(tensors, rows_of(tensors))
        with self._lock:
            line = self._lines.setdefault(id(served), Line(served))
            while line.waiting and line.waiting[0].answer.cancelled():
                line.waiting.popleft()  # else all who gave up behind a call that hangs were kept
            line.waiting.append(one)
            begins = line.calls < self._calls
            line.calls += begins
        if begins:
            self._begin(line)
        return one.answer

    def wait(self, served: Served) -> float:
        """Return the seconds until a request that came now would begin, as far as is known.

        A call takes as long as the last ones: of a version whose calls are joined for each call,
        of others for each row. Versions that have something to do have as many threads each.
        """
        return sum(self._waits(served)[:2])

    def require_soon(self, served: Served, rows: int, most: float | Literal["auto", "off"]) -> None:
        """Raise LineTooLong where so many rows that came now would wait longer than ``most`` s.

        With "auto" they may wait for their version for two calls, less where calls are slower than
        they can be while more than half is asked for of what can be done, for one where many come
        at once, and while more is asked for than can be done for one, down to half of one: the
        longest of those at work and in line. Then who waits longer already is told so, too, but
        the first. Whatever version it is may be waited for `BRIEF`, and other versions' calls for
        as long as they take.
        """
        if most == "off":
            return
        others, wait, first = self._waits(served)
        if most == "auto":
            asked, crowded = self._asked_for(served, rows)
            bound = self._patience(served, first=first, asked=asked, crowded=crowded)
            if asked > 1 and wait > bound:
                self._cut(served, self._patience(served, first=False, asked=asked))
        else:
            wait, bound = others + wait, most
        if wait > bound:
            self._refuse(served, rows)
            raise _too_long(wait, bound)

    def _asked_for(self, served: Served, rows: int) -> tuple[float, bool]:
        """Count what so many rows ask for; returns how much is of late, by what can be done, and
        whether many came at once.
        """
        now = time.monotonic()
        with self._lock:
            line = self._line(served)
            each, share = line.each(), self._share(line)
            work = each * rows / self._most(served)
            crowd = served.tally.crowd(now, call=max(work, 1e-6))
            over = max(_LATELY, 10 * each)
            return served.tally.asked(work, now, over=over, able=share), crowd > _CROWD * share

    def _refuse(self, served: Served, rows: int) -> None:
        with self._lock:
            self._refused += self._line(served).each() * rows / self._most(served)
            self._asked.add(id(served))

    def _cut(self, served: Served, most: float) -> None:
        """Send away who waits in a line and would wait longer than so many seconds from now on.

        Who is in the next call stays: else nobody would be.
        """
        now, ahead = time.monotonic(), 0
        gone: list[tuple[Waiting, float]] = []
        with self._lock:
            line, kept = self._line(served), deque[Waiting]()
            for one in line.waiting:
                if one.answer.cancelled():
                    continue
                size = ahead if self._most(served) == 1 else ahead // ROWS
                wait = line.until(now, size, self._share(line))
                if size and wait > most:
                    gone.append((one, wait))
                else:
                    kept.append(one)
                    ahead += one.rows
            line.waiting = kept
        for one, wait in gone:
            self._refuse(served, one.rows)
            if one.answer.set_running_or_notify_cancel():
                one.answer.set_exception(_too_long(wait, most))

    def load(self) -> tuple[float, float]:
        """Return what was worked since this was called last, and what was refused for the line.

        Both are shares of what can be worked: the first is 1 where calls were always at work.
        """
        with self._lock:
            now = time.monotonic()
            going = [
                now - max(begun, self._counted)
                for line in self._lines.values()
                for begun, _ in line.at_work.values()
            ]
            versions = len(self._asked | {key for key, one in self._lines.items() if one.at_work})
            threads = min(self._workers, self._calls * max(1, versions))
            able = threads * max(now - self._counted, 1e-3)
            told = (self._worked + sum(going)) / able, self._refused / able
            self._worked, self._refused, self._counted = 0.0, 0.0, now
            self._asked.clear()
        return told

    def _waits(self, served: Served) -> tuple[float, float, bool]:
        """Return the seconds until other versions' calls leave a thread, and then until a request
        that came now would begin; and whether the next call would take it.
        """
        now = time.monotonic()
        with self._lock:
            line = self._line(served)
            if line.calls < self._calls and self._busy() < self._workers:
                return 0.0, 0.0, True
            others, share = self._others(line), self._share(line)
            size = sum(one.rows for one in line.waiting if not one.answer.cancelled())
            if self._most(served) > 1:
                size //= ROWS
            ahead = [] if line.at_work else [seconds for one in others for seconds in one.left(now)]
            return sum(ahead) / self._workers, line.until(now, size, share), not size

    def _share(self, line: Line) -> float:
        """Return how many threads a line has."""
        return min(self._calls, self._workers / (1 + len(self._others(line))))

    def _patience(
        self, served: Served, *, first: bool, asked: float, crowded: bool = False
    ) -> float:
        """Return the seconds for which a request may wait where nobody says how long.

        Where much is ``asked`` for the machine may be full: then all calls take longer, and each
        would be waited for longer, too. So where the load is not light, wait and call may take
        three times the usual time of one, but a call may always be waited for: of two replicas one
        may be sent less than it can do while the other is full. Those that are ``crowded`` wait for
        one. Where more is asked for than can be done a request may wait for that time, down to
        half: with twice as many as can be answered another one comes in the rest. Of versions whose
        calls are joined who is ``first``, as the next call takes all that wait, may wait for the
        longest that pays.
        """
        joined = self._most(served) > 1
        with self._lock:
            line = self._line(served)
            each = line.each()
            sizes = [size for _, size in line.at_work.values()]
            if not joined:
                sizes += [one.rows for one in line.waiting if not one.answer.cancelled()]
            longest = max(sizes, default=1)
        least = max(BRIEF, SHARE * ROWS * served.row_seconds if joined and first else 0.0)
        usual = each if joined else min(each, served.tally.usual_seconds or served.row_seconds)
        if asked > 1:
            wait = usual if joined else usual / min(asked, 2.0)
        elif crowded:
            wait = each
        else:
            wait = 2 * each if asked <= LIGHT else max(each, 3 * usual - each)
        return max(least, wait * longest)

    def _line(self, served: Served) -> Line:
        return self._lines.get(id(served)) or Line(served)

    def _busy(self) -> int:
        return sum(line.calls for line in self._lines.values())

    def _most(self, served: Served) -> int:
        """Return how many rows of several requests one call takes."""
        return ROWS if self._joined and served.joined else 1

    def _begin(self, line: Line) -> None:
        try:
            job = self._threads.submit(self._call, line)
        except RuntimeError:  # the threads are shut down
            self._give_up(line)
        else:
            job.add_done_callback(partial(self._ended, line))

    def _call(self, line: Line) -> None:
        thread, begun = threading.get_ident(), time.monotonic()
        more = True
        while more:
            start = time.monotonic()
            taken, size = self._take(line, thread, start)
            called = bool(taken)
            answer(line.served.runner.predict, taken)  # which takes them out of the list
            with self._lock:
                now = time.monotonic()
                del line.at_work[thread]
                if called:
                    line.served.tally.called((now - start) / size)
                    self._worked += now - max(start, self._counted)
                    self._asked.add(id(line.served))
                # Else a version of short calls would wait for a long one of another after each.
                waiting = (one for one in self._others(line) if one.calls > len(one.at_work))
                longest = max((one.each() for one in waiting), default=0.0)
                more = bool(line.waiting) and now - begun + line.each() <= longest

    def _others(self, line: Line) -> list[Line]:
        return [one for one in self._lines.values() if one is not line]

    def _take(self, line: Line, thread: int, now: float) -> tuple[list[Waiting], int]:
        """Return what the next call answers, in the order in which it came, and its size."""
        taken: list[Waiting] = []
        rows, most = 0, self._most(line.served)
        with self._lock:
            while line.waiting and (not taken or rows + line.waiting[0].rows <= most):
                one = line.waiting.popleft()
                if one.answer.set_running_or_notify_cancel():
                    taken.append(one)
                    rows += one.rows
            size = max(1, rows if most == 1 else -(-rows // most))
            line.at_work[thread] = now, size
        return taken, size

    def _ended(self, line: Line, job: Future[None]) -> None:
        if job.cancelled():
            self._give_up(line)
            return
        with self._lock:
            more = bool(line.waiting)
            if not more:
                self._leave(line)
        if more:
            self._begin(line)

    def _give_up(self, line: Line) -> None:
        with self._lock:
            waiting = list(line.waiting)
            line.waiting.clear()
            self._leave(line)
        for one in waiting:
            one.answer.cancel()

    def _leave(self, line: Line) -> None:
        line.calls -= 1
        if not line.calls:
            del self._lines[id(line.served)]


def _too_long(wait: float, most: float) -> LineTooLong:
    return LineTooLong(
        f"a request would wait {wait:.3g} s for its turn, but may wait {most:.3g} s. Try again in "
        'a second, set serving.max_wait to more or "off", or raise serving.replicas.'
    )


def answer(predict: Predict, taken: MutableSequence[One]) -> None:
    """Predict the rows of one or more requests by one call; each is told its own or its error.

    Who is answered alone is taken out of the list.
    """
    if len(taken) > 1:
        with contextlib.suppress(Exception):  # whoever it is that fails, the others do not
            _together(predict, taken)
            return
    while taken:
        one = taken.pop(0)
        try:
            one.answer.set_result(predict(one.tensors))
        except StopIteration:  # which no event loop's future takes: who asked would wait for ever
            one.answer.set_exception(ServingError("the model raised StopIteration."))
        except Exception as error:
            one.answer.set_exception(error)
        del one  # an error knows this frame and those around it, and would keep the request's rows


def _together(predict: Predict, taken: Sequence[Asking]) -> None:
    """Predict all by one call, or raise before any is told."""
    predictions = predict(put_together([one.tensors for one in taken]))
    rows = sum(one.rows for one in taken)
    if len(predictions) != rows:
        raise ServingError(f"{rows} rows must have as many predictions, not {len(predictions)}.")
    start, parts = 0, []
    for one in taken:
        # A copy, since the monitor may keep it for long and would keep those of all.
        parts.append(predictions[start : start + one.rows].copy())
        start += one.rows
    for one, part in zip(taken, parts, strict=True):
        one.answer.set_result(part)
