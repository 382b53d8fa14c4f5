"""A user's own function as a trial: a plain function, a generator, or one that reports.

``f(config)`` returns a number, or a mapping that holds the metric. A generator yields such
values, one a rung. ``f(config, report)`` calls ``report(value)`` after each step of its training;
its return value may be None. A rung's amount of training is the count of values so far, and a
budget is the number of values after which the function is ended.

A function that hands on checkpoints goes on from its last one when it is given a larger budget::

    def train(config, report):
        model = report.checkpoint or new_model()
        for step in range(report.step, 100):
            model.fit_one_epoch(config["rate"])
            report(model.loss(), checkpoint=model)

One that does not begins anew, and gives its values from the first on.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import queue
import random
import tempfile
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.search.checkpoint import pack, unpack
from raymm.search.trial import Run, Rung

Function = Callable[..., Any]
_OURS = str(Path(__file__).parents[1])
_PLACE = "_raymm_place"
"""Attribute of an error that says where to mend it, where that is in none of its frames."""


def metrics_of(returned: Any) -> dict[str, float]:
    """Return the numbers of a mapping by name; empty where a function gave no mapping.

    >>> metrics_of({"loss": 0.5, "note": "fast"}), metrics_of(0.5)
    ({'loss': 0.5}, {})
    """
    given = returned.items() if isinstance(returned, Mapping) else ()
    return {
        str(name): float(value)
        for name, value in given
        if isinstance(value, int | float | np.integer | np.floating)
    }


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
            got = ", ".join(f'"{name}"' for name in returned) or "an empty mapping"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Where a function's trial stands: its last checkpoint, and the reports made until then."""

    step: int
    value: float
    metrics: dict[str, float]
    checkpoint: bytes


class FunctionRun:
    """Drives one call of a user's function, value by value.

    A value is held back until the next one is known, so that the last is marked as done.

    Parameters
    ----------
    budget : float or None
        The number of values after which the function is ended; None for as many as it gives.
    seed : int or None
        Begins the global generators anew, as a user's function may draw from them.
    """

    def __init__(
        self,
        function: Function,
        config: Config,
        metric: str,
        *,
        budget: float | None = None,
        seed: int | None = None,
        needed: Collection[str] = (),
    ) -> None:
        self._metric, self._seed, self._needed = metric, seed, needed
        self._place = place_of(function)
        self._limit = None if budget is None else max(1, math.ceil(budget))
        self._reporter: _Reporter | None = None
        self._count, self._value = 0, math.nan
        self._metrics: dict[str, float] = {}
        if wants_report(function):
            self._reporter = _Reporter(function, config, Report(self._limit))
            self._values: Iterator[Any] = iter(self._reporter)
        else:
            self._values = _values(function, config)

    def restore(self, state: Saved | None) -> None:
        """Go on from where `save` was called, perhaps on another configuration's run.

        A function that takes no ``report`` begins anew, as does any from None. What has made its
        budget's reports already makes one more.
        """
        if state is None or self._reporter is None:
            return
        self._count, self._value, self._metrics = state.step, state.value, state.metrics
        if self._limit is not None:
            self._limit = max(self._limit, state.step + 1)
        self._reporter.report = Report(self._limit, state)

    def save(self) -> Saved | None:
        """Return the last checkpoint and where it was made; None where there is none."""
        return None if self._reporter is None else self._reporter.report.saved

    def advance(self) -> Rung:
        """Run to the next value.

        Raises
        ------
        Exception
            Whatever the function raises; TypeError or ValueError where its value is no number.
        """
        if self._seed is not None:
            seed, self._seed = (self._seed + 7919 * self._count) % 2**32, None
            random.seed(seed)
            np.random.seed(seed)
        try:
            returned, last = next(self._values)
        except StopIteration:
            if self._count == 0:
                error = TypeError(f"the function gave no {self._metric}")
                setattr(error, _PLACE, self._place)
                raise error from None
            return self._rung(done=True)
        try:
            self._value, self._metrics = value_of(returned, self._metric), metrics_of(returned)
            for name in self._needed:
                value_of(dict(returned) if isinstance(returned, Mapping) else {}, name)
        except (TypeError, ValueError) as error:
            # No frame of the function is open any more: it is what has to be mended all the same.
            setattr(error, _PLACE, self._place)
            raise
        self._count += 1
        if self._reporter is not None:
            self._reporter.report.keep(self._value, self._metrics)
        if last or self._count == self._limit:
            self.close()
            return self._rung(done=True)
        return self._rung(done=False)

    def _rung(self, *, done: bool) -> Rung:
        return Rung(rounds=self._count, value=self._value, done=done, metrics=self._metrics)

    def close(self) -> None:
        """End a function that is waiting in ``report`` or in ``yield``."""
        if self._reporter is not None:
            self._reporter.close()
        close = getattr(self._values, "close", None)
        if close is not None:
            close()


def _values(function: Function, config: Config) -> Iterator[tuple[Any, bool]]:
    returned = function(dict(config))
    if inspect.isgenerator(returned):
        with contextlib.closing(returned):
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


class Report:
    """What a function calls with each value: ``report(0.9)``, ``report(loss=0.1)``.

    ``report(value, checkpoint=thing)`` also hands on a checkpoint: any object that can be
    pickled, or the path of a folder. It is copied before the call returns.

    Attributes
    ----------
    step : int
        How many values the trial has reported so far, those before its start point included.
    budget : int or None
        How many it is to report in all; it is ended in `report` then. None is no limit.
    """

    def __init__(self, budget: int | None, start: Saved | None = None) -> None:
        self.budget, self.saved = budget, start
        self.step = 0 if start is None else start.step
        self._start = start
        self._loaded: tuple[Any] | None = None
        self._given: bytes | None = None
        self._folder: Any = None
        self._tell: Callable[[Any], None] = lambda value: None

    @property
    def checkpoint(self) -> Any:
        """What to start from: the object that was reported, or the path of a folder with its files.

        None at the first start. The folder is the trial's own and is removed after it.
        """
        if self._start is None:
            return None
        if self._loaded is None:
            self._folder = tempfile.TemporaryDirectory(prefix="raymm-checkpoint-")
            folder = Path(self._folder.name) / "checkpoint"
            self._loaded = (unpack(self._start.checkpoint, folder),)
        return self._loaded[0]

    def __call__(self, value: Any = None, /, *, checkpoint: Any = None, **named: Any) -> None:
        """Report a value, and wait until there is more to do.

        Raises
        ------
        TypeError, ValueError
            When the checkpoint can be neither pickled nor read.
        """
        self._given = None if checkpoint is None else pack(checkpoint)
        self.step += 1
        self._tell(named if value is None else value)

    def keep(self, value: float, metrics: dict[str, float]) -> None:
        """Take the checkpoint just given, if there was one, for the trial's last."""
        if self._given is not None:
            self.saved = Saved(step=self.step, value=value, metrics=metrics, checkpoint=self._given)
            self._given = None

    def clear(self) -> None:
        """Remove the folder of the start point."""
        if self._folder is not None:
            self._folder.cleanup()


class _Reporter:
    """Runs a function in a thread that stands still in ``report`` until the next is asked for."""

    def __init__(self, function: Function, config: Config, report: Report) -> None:
        self._function, self._config, self.report = function, config, report
        self._told: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._go = threading.Semaphore(0)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._wait()
            self._told.put(("end", self._function(dict(self._config), self.report)))
        except Stopped:
            pass
        except BaseException as error:
            self._told.put(("error", error))

    def _wait(self) -> None:
        self._go.acquire()
        if self._stopped:
            raise Stopped

    def _tell(self, value: Any) -> None:
        self._told.put(("value", value))
        self._wait()

    def __iter__(self) -> Iterator[tuple[Any, bool]]:
        self.report._tell = self._tell
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
        self.report.clear()


def place_of(function: Function) -> str:
    """Return where a function is written, as `describe` tells a frame; empty where unknown."""
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    if code is None or code.co_filename.startswith(_OURS):
        return ""
    return f"{code.co_filename}, line {code.co_firstlineno}, in {code.co_name}"


def describe(error: BaseException) -> str:
    """Return an error's class and message with the user's own last frame.

    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     describe(error).splitlines()[0]
    "ValueError: invalid literal for int() with base 10: 'x'"
    """
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    own = [f for f in theirs if "-packages" not in f.filename and not f.filename.startswith("<")]
    message = "".join(traceback.format_exception_only(error)).strip()[:500]
    last = [f for f in (own or theirs)[-1:] if not f.filename.startswith("<")]
    framed = f"{last[0].filename}, line {last[0].lineno}, in {last[0].name}" if last else ""
    return "\n".join(filter(None, [message, getattr(error, _PLACE, framed)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCall:
    """Makes the run of a suggestion, on a worker; ``most`` reports end one without a budget."""

    function: Function
    metric: str
    seed: int
    needed: Collection[str] = ()
    most: float | None = None

    def __call__(self, number: int, config: Config, budget: float | None) -> Run:
        """Return a run that has not begun."""
        seed = (self.seed * 1_000_003 + number) % 2**32
        given = self.most if budget is None else budget
        return FunctionRun(
            self.function, config, self.metric, budget=given, seed=seed, needed=self.needed
        )
