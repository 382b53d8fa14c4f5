"""A version is tried before it may answer: read, hashed, warmed up, and looked at.

It runs in a thread of its own under a time limit, so that one that hangs holds up nobody.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Schema, Statistics, Tensors
from raymm.errors import BundleError
from raymm.serving.gain import ROWS, pays
from raymm.serving.protocol import RecordReader, example
from raymm.serving.sources import Predictor, Served
from raymm.switching import switching

QUICK_SECONDS = 1e-3
"""A row that takes less counts as this long: a request takes longer, and times of microseconds are
mostly chance."""
_OFF = 1e-3
"""How far the probabilities of a row may be from 1 together."""
_TRIES, _BRIEF = 9, 0.02
"""How often a row is predicted at most, and the seconds after which it is not once more."""
_TURNS, _LONG = 7, 0.5
"""How often two versions answer a row in turns at most, and the seconds after which they do no
more, each of them twice at least."""

Prepare = Callable[[str, int, bytes], Served]
_Made = TypeVar("_Made")


class Refused(BundleError):
    """A version failed its rehearsal; the message says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How a version is tried.

    Attributes
    ----------
    load_seconds : float
        How long it may take to be loaded, warmed up and looked at.
    row_seconds : float
        How long one row may take when the graph is warm.
    slowdown : float
        How many times as long as the champion's a row may take of one that takes over.
    prepare : callable or None
        Makes a `Served` of (name, number, bytes); None reads a bundle.
    """

    load_seconds: float = 60.0
    row_seconds: float = 1.0
    slowdown: float = math.inf
    prepare: Prepare | None = None


def rehearsed(name: str, number: int, data: bytes, care: Care) -> Served:
    """Return a version that is fit to answer.

    Raises
    ------
    Refused
        When it cannot be read, fails, takes too long or answers nonsense; what went wrong is told.
    """
    from raymm.bundle.compiled import ready

    ready()  # which may compile for some seconds, once: no version is at fault for that
    try:
        work = partial(care.prepare or from_bundle, name, number, data)
        made = _within(care.load_seconds, work)
    except Refused:
        raise
    except Exception as error:
        told = str(error) if isinstance(error, BundleError) else f"{type(error).__name__}: {error}"
        raise Refused(f"it cannot be loaded: {told[:500]}") from error
    if made is None:
        raise Refused(
            f"it must be loaded and answer within {care.load_seconds:g} s, but it does not"
        )
    if made.row_seconds > care.row_seconds:
        raise Refused(
            f"it must answer one row within {care.row_seconds:g} s, but takes "
            f"{made.row_seconds:.3g}"
        )
    return made


def require_pace(version: Served, champion: Served, care: Care) -> None:
    """Refuse a version of which a row takes over ``slowdown`` times as long as the champion's.

    Both answer their example rows now, in turns: whatever else the machine does tells on both.
    The least time of each counts, and `QUICK_SECONDS` for less.

    Raises
    ------
    Refused
        When it is slower, with both times and how to insist on it, or fails.
    """
    if math.isinf(care.slowdown):
        return
    try:
        times = _within(care.load_seconds, partial(_in_turns, version.runner, champion.runner))
    except Exception as error:
        raise Refused(f"its row cannot be timed: {type(error).__name__}: {error}") from error
    if times is None:
        raise Refused(f"it must answer its row within {care.load_seconds:g} s, but it does not")
    theirs, ours = times
    bound = care.slowdown * max(ours, QUICK_SECONDS)
    if theirs > bound:
        raise Refused(
            f"its row takes {1e3 * theirs:.3g} ms, that of the champion, version "
            f"{champion.number}, {1e3 * ours:.3g}: at most {1e3 * bound:.3g} ms are allowed "
            f"(serving.release.slowdown, {care.slowdown:g}; less than {1e3 * QUICK_SECONDS:g} ms "
            f"counts as that). To promote it all the same: raymm promote {version.name} "
            f"{version.number} --force"
        )


def _in_turns(*runners: Predictor) -> list[float]:
    """Return the least time of each runner's example row, in seconds."""
    rows = [RecordReader(one.schema).tensors([example(one.schema)]) for one in runners]
    times: list[list[float]] = [[] for _ in runners]
    begun = time.perf_counter()
    for number in range(_TURNS):
        if number > 1 and time.perf_counter() - begun > _LONG:
            break
        for taken, runner, tensors in zip(times, runners, rows, strict=True):
            taken.append(_timed(runner, tensors))
    return [min(taken) for taken in times]


def _within(seconds: float, work: Callable[[], _Made]) -> _Made | None:
    """Return what is made in a thread of its own, or raise what it raises; None where it is late.

    A thread that is late goes on, and holds up nobody.
    """
    made: list[_Made] = []
    failure: list[Exception] = []

    def run() -> None:
        try:
            made.append(work())
        except Exception as error:
            failure.append(error)

    thread = threading.Thread(target=run, name="raymm-rehearsal", daemon=True)
    with switching:
        thread.start()
        thread.join(seconds)
    if failure:
        raise failure[0]
    return made[0] if made else None


def from_bundle(name: str, number: int, data: bytes) -> Served:
    """Read a bundle, run its example row through it and return it ready to serve.

    Raises
    ------
    BundleError
        When the bytes are no sound bundle.
    Refused
        When its answers are none.
    """
    from raymm.bundle.packed import Bundle
    from raymm.bundle.run import Runner

    bundle = Bundle.from_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    goal = bundle.lineage.configuration.get("goal", {})
    made = warmed(name, number, sha256, Runner(bundle, compiled=True), statistics=bundle.statistics)
    return replace(made, metric=str(goal.get("metric", "")))


def warmed(
    name: str,
    number: int,
    sha256: str,
    runner: Predictor,
    *,
    statistics: Statistics | None = None,
) -> Served:
    """Run the schema's example row through the graph, look at the answers, return the version.

    Raises
    ------
    Refused
        When a prediction has the wrong shape, is not finite, or is no probability.
    """
    reader = RecordReader(runner.schema)
    row = example(runner.schema)
    tensors = reader.tensors([row])
    _require_sane(runner, runner.predict(tensors), 1)
    times = _times(runner, tensors)
    # The columns that may be missing are, in every other row.
    bare = {
        column.name: None if column.nullable else row[column.name]
        for column in runner.schema.features
    }
    several = reader.tensors([row, bare] * (ROWS // 2))
    start = time.perf_counter()
    predictions = runner.predict(several)
    together = time.perf_counter() - start
    _require_sane(runner, predictions, ROWS)
    return Served(
        name=name,
        number=number,
        sha256=sha256,
        runner=runner,
        schema=runner.schema,
        statistics=statistics,
        row_seconds=times[len(times) // 2],
        joined=pays(runner, statistics, alone=times[0], together=together),
    )


def _times(runner: Predictor, tensors: Tensors) -> list[float]:
    """Return the seconds that each of 2 to `_TRIES` calls took, the least first.

    Of two the longer one counts: what is near a limit should not pass in one replica and be refused
    by the next. Quick calls are made more often, and the median counts: one in whose way something
    came would make a quick model a slow one for as long as it is served.
    """
    times = [_timed(runner, tensors), _timed(runner, tensors)]
    while len(times) < _TRIES and sum(times) < _BRIEF:
        times.append(_timed(runner, tensors))
    return sorted(times)


def _timed(runner: Predictor, tensors: Tensors) -> float:
    start = time.perf_counter()
    runner.predict(tensors)
    return time.perf_counter() - start


def _require_sane(runner: Predictor, predictions: npt.NDArray[Any], rows: int) -> None:
    schema: Schema = runner.schema
    shape = (rows, len(schema.classes)) if schema.classes else (rows,)
    if predictions.shape != shape:
        raise Refused(
            f"its answer to {rows} example rows must have shape {shape}, but has "
            f"{predictions.shape}"
        )
    if not np.isfinite(predictions).all():
        raise Refused("its answer to the example row must be finite, but is not")
    if schema.classes:
        off = np.abs(predictions.sum(axis=1) - 1).max()
        if predictions.min() < -_OFF or off > _OFF:
            raise Refused("its probabilities of the example row must lie in [0, 1] and add up to 1")
    if len(runner.labels(predictions)) != rows:
        raise Refused(f"it must have a label for each of {rows} example rows")
