"""A user's own function as a trial: a plain function, a generator, or one that reports.

``f(config)`` returns a number, or a mapping that holds the metric. A generator yields such
values, one a rung. ``f(config, report)`` calls ``report(value)`` after each step of its training;
its return value may be None. A rung's amount of training is the count of values so far.
"""

from __future__ import annotations

import inspect
import math
import queue
import random
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.search.trial import Run, Rung

Function = Callable[..., Any]
_OURS = str(Path(__file__).parents[1])


class Stopped(BaseException):
    """Raised by ``report`` inside a function whose trial was stopped."""


def value_of(returned: Any, metric: str) -> float:
    """Return the metric of what a function returned, yielded or reported.

    Raises
    ------
    TypeError
        When it is neither a number nor a mapping that holds the metric.
    ValueError
        When it is not finite.
    """
    value = returned
    if isinstance(returned, Mapping):
        if metric not in returned:
            got = ", ".join(map(str, returned)) or "an empty mapping"
            raise TypeError(f'the function must give "{metric}", but it gave {got}')
        value = returned[metric]
    try:
        number = float(value)
    except (TypeError, ValueError):
        kind = type(value).__name__
        raise TypeError(
            f"the function must give a number or a mapping that holds {metric!r}, but gave {kind}"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"{metric} must be finite, but it is {number}")
    return number


class FunctionRun:
    """Drives one call of a user's function, value by value.

    A value is held back until the next one is known, so that the last is marked as done.
    """

    def __init__(self, function: Function, config: Config, metric: str) -> None:
        self._metric = metric
        self._reporter: _Reporter | None = None
        self._count, self._value = 0, math.nan
        if wants_report(function):
            self._reporter = _Reporter(function, config)
            self._values: Iterator[Any] = iter(self._reporter)
        else:
            self._values = _values(function, config)

    def advance(self) -> Rung:
        """Run to the next value.

        Raises
        ------
        Exception
            Whatever the function raises; TypeError or ValueError where its value is no number.
        """
        try:
            returned, last = next(self._values)
        except StopIteration:
            if self._count == 0:
                raise TypeError(f"the function gave no {self._metric}") from None
            return Rung(rounds=self._count, value=self._value, done=True)
        self._value = value_of(returned, self._metric)
        self._count += 1
        return Rung(rounds=self._count, value=self._value, done=last)

    def close(self) -> None:
        """End a function that is waiting in ``report``."""
        if self._reporter is not None:
            self._reporter.close()


def _values(function: Function, config: Config) -> Iterator[tuple[Any, bool]]:
    returned = function(dict(config))
    if inspect.isgenerator(returned):
        for value in returned:
            yield value, False
    else:
        yield returned, True


def wants_report(function: Function) -> bool:
    """Return whether a function takes a second positional argument, ``report``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    return len(needed) >= 2 or any(p.name == "report" for p in parameters)


class _Reporter:
    """Runs a function in a thread that stands still in ``report`` until the next is asked for."""

    def __init__(self, function: Function, config: Config) -> None:
        self._function, self._config = function, config
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._go = threading.Semaphore(0)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._wait()
            self._told.put(("end", self._function(dict(self._config), self._report)))
        except Stopped:
            pass
        except BaseException as error:
            self._told.put(("error", error))

    def _wait(self) -> None:
        self._go.acquire()
        if self._stopped:
            raise Stopped

    def _report(self, value: Any = None, /, **named: Any) -> None:
        self._told.put(("value", named if value is None else value))
        self._wait()

    def __iter__(self) -> Iterator[tuple[Any, bool]]:
        self._thread.start()
        while True:
            self._go.release()
            kind, value = self._told.get()
            if kind == "error":
                raise value
            if kind == "end":
                if value is not None:
                    yield value, True
                return
            yield value, False

    def close(self) -> None:
        self._stopped = True
        self._go.release()
        if self._thread.is_alive():
            self._thread.join(timeout=5)


def describe(error: BaseException) -> str:
    """Return an error's class and message with the user's own last frame.

    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     describe(error).splitlines()[0]
    "ValueError: invalid literal for int() with base 10: 'x'"
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_OURS) and "-packages" not in f.filename]
    message = "".join(traceback.format_exception_only(error)).strip()[:500]
    last = (own or list(frames))[-1:]
    where = f"\n{last[0].filename}, line {last[0].lineno}, in {last[0].name}" if last else ""
    return message + where


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCall:
    """Makes the run of a suggestion, on a worker."""

    function: Function
    metric: str
    seed: int

    def __call__(self, number: int, config: Config, budget: float | None) -> Run:
        """Return a run that has not begun."""
        # A user's function may draw from the global generators; each trial begins them anew.
        seed = (self.seed * 1_000_003 + number) % 2**32
        random.seed(seed)
        np.random.seed(seed)
        return FunctionRun(self.function, config, self.metric)
