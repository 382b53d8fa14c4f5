"""Answers prediction requests: reads, checks, runs the graph once, counts and tells the monitor.

A small request is answered on the event loop, those that come in one turn of it together (see
`raymm.serving.turns`). A large body, or a model slow on one row, is answered in a thread, so that
health checks and other requests are not held up; onnxruntime lets go of the interpreter's lock.
Small requests of a slow model are read and written on the event loop and stand in line; those that
wait go into one call where that pays (see `raymm.serving.batching`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from raymm.artifacts import Batch, Target, Tensors, Watcher
from raymm.errors import CanaryBusy, LineTooLong, NotFound, Overloaded, RaymmError
from raymm.sections import ServingConfig
from raymm.serving import asking
from raymm.serving.asking import Answer, Ask, Asked
from raymm.serving.batching import ROWS, Batches, calls_at_once
from raymm.serving.identity import identities, row_names
from raymm.serving.intake import Intake
from raymm.serving.limits import Room
from raymm.serving.line import rows_of
from raymm.serving.media import CSV, JSON, Headers, headers_of, media_of, require_json
from raymm.serving.shadow import Shadows
from raymm.serving.sources import ModelSource, Served
from raymm.serving.tally import kind_of
from raymm.serving.telemetry import Telemetry
from raymm.serving.trial import Trials, finished
from raymm.serving.turns import Turns

if TYPE_CHECKING:
    from starlette.requests import Request

INLINE_BYTES = 16_384
"""Larger bodies are answered in a thread: reading and predicting so much takes milliseconds."""
INLINE_CSV = 1024
"""Likewise of CSV, of which each row may be a few bytes. Arrow may take none: it is always so."""
INLINE_SECONDS = 0.002
"""A model that takes longer for one row is always run in a thread, with others that wait."""

_COUNTED = "raymm.counted"
_THREADS = 2
"""Calls at once of large bodies, and as many of lines, so that neither waits for the other."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Routed:
    """A request that was read, and whose turn it is: a canary's, or one that stands in line."""

    served: Served
    asked: Asked


def _quick(served: Served, small: bool) -> bool:
    return small and served.row_seconds <= INLINE_SECONDS


def is_small(media: bytes, size: int) -> bool:
    """Whether a body of so many bytes of a media type can only hold a few rows."""
    return size <= {JSON: INLINE_BYTES, CSV: INLINE_CSV}.get(media, -1)


class Service:
    """Answers prediction requests for the models of a source.

    Parameters
    ----------
    models : ModelSource
    config : ServingConfig
    watcher_for : callable or None
        Returns the watcher of a model.
    """

    def __init__(
        self,
        models: ModelSource,
        *,
        config: ServingConfig,
        watcher_for: Callable[[str], Watcher] | None,
    ) -> None:
        self.models = models
        self.config = config
        self.telemetry = Telemetry()
        self.max_bytes = config.max_body_kb * 1024
        self.intake = Intake(
            max_bytes=self.max_bytes, seconds=config.body_time, rate=config.body_rate
        )
        self._watcher_for = watcher_for
        self._watchers: dict[str, Watcher] = {}
        self._watched: dict[str, tuple[int, set[int]]] = {}
        self.shadows = Shadows(self._tell_shadow)
        self._room = Room(config.max_queued)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="raymm-predict")
        joined = config.batch == "auto"
        self._trials = Trials(config.answer_time / 2, max_wait=config.max_wait, joined=joined)
        lines = ThreadPoolExecutor(_THREADS, thread_name_prefix="raymm-predict-line")
        at_once = calls_at_once(config.replicas.max, most=_THREADS)
        self._turns = Turns(joined=joined)
        self._batches = Batches(lines, at_once, workers=_THREADS, joined=joined)
        self._identities = identities()

    async def predict(self, request: Request) -> Response:
        """Answer a request in raymm's own protocol."""
        return await self._answered(request, media_of, asking.records)

    async def infer(self, request: Request) -> Response:
        """Answer a request of the Open Inference Protocol."""
        return await self._answered(request, require_json, asking.tensors)

    def served(self, request: Request) -> Served:
        """Return the version that a request's path names; raises NotFound."""
        name, wanted = request.path_params["name"], request.path_params.get("version")
        if wanted is None:
            return self.models.get(name)
        if not wanted.isdecimal() or len(wanted) > 9:
            raise NotFound(f'version {wanted[:20]} of "{name[:80]}" is not served.')
        return self.models.at(name, int(wanted))

    def load(self) -> tuple[float, float]:
        """Return what lines of slow versions worked and refused (see `Batches.load`).

        Not counted are bodies that stand in no line, and canaries.
        """
        return self._batches.load()

    def report(self, name: str) -> Mapping[str, Any]:
        """Return the monitor's report of a model that is served; empty where none watches."""
        watcher = self.watcher(self.models.get(name))
        return watcher.report() if watcher is not None else {}

    def watcher(self, served: Served) -> Watcher | None:
        """Return the model's watcher, told which version is served."""
        if self._watcher_for is None:
            return None
        watcher = self._watchers.get(served.name)
        if watcher is None:
            watcher = self._watchers[served.name] = self._watcher_for(served.name)
        champion = self.models.get(served.name).number
        reigning, told = self._watched.get(served.name, (0, set()))
        if reigning != champion:
            told = set()
            self._watched[served.name] = champion, told
        if served.number not in told and served.statistics is not None:
            told.add(served.number)
            watcher.watch(
                served.number,
                served.statistics,
                target=Target.of(
                    served.schema,
                    served.metric,
                    reliability=served.reliability,
                    predictions=served.predictions,
                ),
                champion=served.number == champion,
            )
        return watcher

    async def _answered(
        self,
        request: Request,
        check: Callable[[Headers], bytes | None],
        ask: Ask,
    ) -> Response:
        start = time.perf_counter()
        served = self.served(request)
        headers = headers_of(request.scope)
        identity = next(self._identities)
        pinned = "version" in request.path_params
        try:
            media = check(headers)
            self._room.require()
            body = await self.intake.read(headers, request.receive, request.scope)
            with self._room:
                small = is_small(media or JSON, len(body))
                reading = partial(ask, served, body, identity, headers, self.config)
                made = await self._answer(served, small, pinned, reading)
                served, content, given, tensors, predictions, identity, read = made
        except Exception as error:
            if not isinstance(error, ClientDisconnect):  # where one leaves, nobody failed
                request.scope[_COUNTED] = True
                self._tell_failure(served, start, error)
                if not isinstance(error, RaymmError) or error.http_status == 500:
                    served.tally.failed()
            raise
        rows, seconds = len(predictions), time.perf_counter() - start
        self.telemetry.answered(served.name, served.number, rows, seconds)
        served.tally.answered(seconds)
        watcher = self.watcher(served)
        shadow = None if pinned else self.models.shadow(served.name)
        if watcher is not None or shadow is not None:
            ids = (identity,) if rows == 1 else row_names(identity, rows)
            if shadow is not None:
                self.shadows.offer(shadow, read, rows, ids, len(body))
            if watcher is not None:
                _tell(watcher, served.number, seconds, tensors, predictions, ids)
        return _Prediction(content, given, served.number, identity)

    async def _answer(
        self, served: Served, small: bool, pinned: bool, reading: Callable[[], Asked]
    ) -> Answer:
        """Read a body and answer it, by the version or the canary, which has its share.

        A small body is read on the event loop, for a slow version, too, whose calls then stand in
        line; other work is done in a thread, all at once.
        """
        lined = small and (not _quick(served, small) or self._turns.takes(served))

        def work() -> Answer | _Routed:
            asked = reading()
            chosen = served if pinned else self.models.route(served.name, asked.identity)
            if lined or chosen is not served:
                return _Routed(chosen, asked)
            return asked.answer(served)

        if small:
            made = work()
        else:
            made = await self.in_thread(self._threads, self._room, work)
        if not isinstance(made, _Routed):
            return made
        if made.served is not served:
            return await self._try(served, small, made)
        return await self._by(served, small, made.asked)

    async def _by(self, served: Served, small: bool, asked: Asked) -> Answer:
        """Let a version answer what was read: here where it is quick, else in a thread."""
        if _quick(served, small):
            return await self._on_loop(served, asked)
        if not small:
            return await self.in_thread(self._threads, self._room, asked.answer, served)
        tensors = asked.read(served)
        if (rows := rows_of(tensors)) > ROWS:  # whose answer takes long to write, too
            work = partial(asked.answered_of, served, tensors)
            return await self.in_thread(self._threads, self._room, work)
        self._batches.require_soon(served, rows, self.config.max_wait)
        predictions = await self._done(self._batches.submit(served, tensors), self._room)
        return asked.answered(served, tensors, predictions)

    async def _on_loop(self, served: Served, asked: Asked) -> Answer:
        if not self._turns.waits(served):
            return asked.answer(served)
        tensors = asked.read(served)
        with self._room.outside():  # whose places are for what takes long
            predictions = await self._turns.predict(served, tensors)
        return asked.answered(served, tensors, predictions)

    async def _try(self, served: Served, small: bool, turn: _Routed) -> Answer:
        """Let a canary answer, in a thread of its own unless it is quick.

        Where it fails, is late or has too much to do, the champion answers, and the failure is
        the canary's alone unless the champion fails too. So is its refusal of what the champion
        takes, which breaks who sends that once the canary reigns. That it has too much to do is no
        failure of either: of one that is slow but good, a burst finds more than its places.
        """
        start = time.perf_counter()
        canary, asked = turn.served, turn.asked
        try:
            if _quick(canary, small):
                return await self._on_loop(canary, asked)
            if not small:
                return await self._trials.run(canary, asked.answer)
            tensors = asked.read(canary)
            if rows_of(tensors) > ROWS:
                return await self._trials.run(canary, partial(asked.answered_of, tensors=tensors))
            return asked.answered(canary, tensors, await self._trials.predict(canary, tensors))
        except Exception as error:
            made: Answer | RaymmError
            try:
                made = await self._by(served, small, asked)
            except LineTooLong as refusal:  # no failure of the champion, and so not of both
                made = refusal
            self._tell_failure(canary, start, error, alone=True)
            if not isinstance(error, CanaryBusy):
                canary.tally.failed()
            if isinstance(made, RaymmError):
                raise made from None
            return made

    def _tell_shadow(self, served: Served, batch: Batch) -> None:
        watcher = self.watcher(served)
        if watcher is not None:
            watcher.tell(batch)

    async def in_thread(
        self, threads: ThreadPoolExecutor, room: Room, work: Callable[..., Made], *given: Any
    ) -> Made:
        """Do work in a thread and return what it returns, or raises.

        Raises
        ------
        Overloaded
            When it takes longer than ``serving.answer_time``. Work that has begun goes on, and
            holds a place in the room until it ends.
        """
        return await self._done(threads.submit(work, *given), room)

    async def _done(self, job: Future[Made], room: Room) -> Made:
        try:
            done = await finished(job, self.config.answer_time)
        except asyncio.CancelledError:  # the client left
            _give_up(job, room)
            raise
        if done:
            try:
                return job.result()
            finally:
                del job  # else its error, which knows this frame, holds the body until it is found
        _give_up(job, room)
        raise Overloaded(
            f"an answer may take {self.config.answer_time:g} s, but this one takes longer. Send "
            "fewer rows, come back later, or raise serving.answer_time or serving.replicas."
        )

    def count_error(self, scope: Scope, kind: str, status: int) -> None:
        """Count an error's answer, unless it is a prediction's, which is counted where it fails.

        Parameters
        ----------
        scope : dict
            The request's; its path names a model, which may be served or not.
        kind : str
            The error's class name.
        status : int
            The answer's HTTP status.
        """
        if not scope.pop(_COUNTED, False):
            name = scope.get("path_params", {}).get("name", "")
            self.telemetry.refused(name if name in self.models.names() else "", kind, status)

    def _tell_failure(
        self, served: Served, start: float, error: Exception, *, alone: bool = False
    ) -> None:
        kind = kind_of(error, alone=alone)
        if not alone:  # else the champion answers, and who asks sees no failure
            self.telemetry.failed(served.name, served.number, kind)
        watcher = self.watcher(served)
        if watcher is not None:
            seconds = time.perf_counter() - start
            watcher.tell(Batch(rows=0, version=served.number, seconds=seconds, error=kind))


def _give_up(job: Future[Any], room: Room) -> None:
    """Cancel a job; one that has begun holds a place until it ends."""
    if not job.cancel():
        leave = room.stay()
        job.add_done_callback(lambda _: leave())


def _tell(
    watcher: Watcher,
    version: int,
    seconds: float,
    tensors: Tensors,
    predictions: npt.NDArray[Any],
    ids: tuple[str, ...],
) -> None:
    rows = len(ids)
    if rows == 1:
        watcher.tell_row(version, seconds, tensors, predictions, ids[0])
        return
    watcher.tell(
        Batch(
            rows=rows, version=version, seconds=seconds, tensors=tensors, predictions=predictions,
            ids=ids,
        )
    )  # fmt: skip


class _Prediction(Response):
    """The answer, its version and the prediction's name, with no more steps than needed."""

    def __init__(self, body: bytes, media: bytes, number: int, identity: str) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"x-raymm-version", b"%d" % number),
            (b"x-raymm-prediction", identity.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})
