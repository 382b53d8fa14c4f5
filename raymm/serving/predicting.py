"""Answers prediction requests: reads, checks, runs the graph once, counts and tells the monitor.

A small request is answered on the event loop, since handing it to a thread would take longer
than the graph does. A large body, or a model slow on one row, is answered in a thread, so that
health checks and other requests are not held up; onnxruntime lets go of the interpreter's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from raymm.artifacts import Batch, Target, Tensors, Watcher
from raymm.errors import InputError, NotFound, Overloaded, RaymmError
from raymm.sections import ServingConfig
from raymm.serving import inference_protocol, protocol
from raymm.serving.answers import write_table
from raymm.serving.bulk import sheet_of
from raymm.serving.columns import shown
from raymm.serving.identity import claimed, identities, row_names
from raymm.serving.intake import Intake
from raymm.serving.limits import Room
from raymm.serving.media import CSV, JSON, Headers, asked_of, headers_of, media_of, require_json
from raymm.serving.raw_tensors import document_of
from raymm.serving.shadow import Read, Shadows
from raymm.serving.sources import ModelSource, Served
from raymm.serving.telemetry import Telemetry
from raymm.serving.trial import Trials, finished

if TYPE_CHECKING:
    from starlette.requests import Request

INLINE_BYTES = 16_384
"""Larger bodies are answered in a thread: reading and predicting so much takes milliseconds."""
INLINE_CSV = 1024
"""Likewise of CSV, of which each row may be a few bytes. Arrow may take none: it is always so."""
INLINE_SECONDS = 0.002
"""A model that takes longer for one row is always run in a thread."""

Answer = tuple[Served, bytes, bytes, Tensors, npt.NDArray[Any], str, Read]
"""Who answered, the response's body and its media type, the tensors of shape (n,), the predictions,
their name, and how another version reads the request."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Turn:
    """It is a canary's turn to answer a request that was read."""

    canary: Served
    answer: Callable[[Served], Answer]


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
        self._trials = Trials(config.answer_time / 2)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="raymm-predict")
        self._identities = identities()

    async def predict(self, request: Request) -> Response:
        """Answer a request in raymm's own protocol."""
        return await self._answered(request, media_of, self._records)

    async def infer(self, request: Request) -> Response:
        """Answer a request of the Open Inference Protocol."""
        return await self._answered(request, require_json, self._tensors)

    def served(self, request: Request) -> Served:
        """Return the version that a request's path names; raises NotFound."""
        name, wanted = request.path_params["name"], request.path_params.get("version")
        if wanted is None:
            return self.models.get(name)
        if not wanted.isdecimal() or len(wanted) > 9:
            raise NotFound(f'version {wanted[:20]} of "{name[:80]}" is not served.')
        return self.models.at(name, int(wanted))

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
        answer: Callable[[Served, bytes, str, Headers, bool], Answer | _Turn],
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
                made = await self._run(
                    served, small, answer, served, body, identity, headers, pinned
                )
                if isinstance(made, _Turn):
                    made = await self._try(served, small, made)
                served, content, given, tensors, predictions, identity, read = made
        except Exception as error:
            if not isinstance(error, ClientDisconnect):  # where one leaves, nobody failed
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

    def _by(
        self, served: Served, identity: str, pinned: bool, answer: Callable[[Served], Answer]
    ) -> Answer | _Turn:
        """Answer, or say that it is a canary's turn, which has its share of the predictions."""
        chosen = served if pinned else self.models.route(served.name, identity)
        return answer(chosen) if chosen is served else _Turn(chosen, answer)

    async def _run(
        self, served: Served, small: bool, work: Callable[..., Made], *given: Any
    ) -> Made:
        """Do a version's work with a body, small or not: here where it is quick."""
        if _quick(served, small):
            return work(*given)
        return await self.in_thread(self._threads, self._room, work, *given)

    async def _try(self, served: Served, small: bool, turn: _Turn) -> Answer:
        """Let a canary answer, in a thread of its own unless it is quick.

        Where it fails, is late or has too much to do, the champion answers, and the failure is
        the canary's alone unless the champion fails too.
        """
        start = time.perf_counter()
        try:
            if _quick(turn.canary, small):
                return turn.answer(turn.canary)
            return await self._trials.run(turn.canary, turn.answer)
        except Exception as error:
            made = await self._run(served, small, turn.answer, served)
            self._tell_failure(turn.canary, start, error)
            turn.canary.tally.failed()
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
        job = threads.submit(work, *given)
        if await finished(job, self.config.answer_time):
            try:
                return job.result()
            finally:
                del job  # else its error, which knows this frame, holds the body until it is found
        if not job.cancel():
            leave = room.stay()
            job.add_done_callback(lambda _: leave())
        raise Overloaded(
            f"an answer may take {self.config.answer_time:g} s, but this one takes longer. Send "
            "fewer rows, come back later, or raise serving.answer_time or serving.replicas."
        )

    def _tell_failure(self, served: Served, start: float, error: Exception) -> None:
        kind = type(error).__name__ if isinstance(error, RaymmError) else "Exception"
        self.telemetry.failed(served.name, served.number, kind)
        watcher = self.watcher(served)
        if watcher is not None:
            seconds = time.perf_counter() - start
            watcher.tell(Batch(rows=0, version=served.number, seconds=seconds, error=kind))

    def _records(
        self, served: Served, body: bytes, identity: str, headers: Headers, pinned: bool
    ) -> Answer | _Turn:
        media, asked = media_of(headers), asked_of(headers)
        if media == JSON:
            document = protocol.document(body)
            records = served.reader.records(document, self.config.max_rows)
            if len(document) > 1:
                identity = claimed(document["id"], identity)
        else:
            identity = claimed(headers.get(b"x-raymm-prediction", b"").decode("latin-1"), identity)
            sheet = sheet_of(
                media,
                body,
                known=served.sheets.known,
                max_rows=self.config.max_rows,
                max_bytes=self.max_bytes,
            )

        def read(served: Served) -> Tensors:
            if media == JSON:
                return served.reader.tensors(records)
            return served.sheets.tensors(sheet)

        def answer(served: Served) -> Answer:
            tensors = read(served)
            predictions = served.runner.predict(tensors)
            if asked == JSON:
                labels = served.runner.labels(predictions)
                content = served.writer.write(labels, predictions, identity)
            else:
                about = {"model": served.name, "version": str(served.number), "id": identity}
                content = write_table(asked, served.schema, predictions, about)
            return served, content, asked, tensors, predictions, identity, read

        return self._by(served, identity, pinned, answer)

    def _tensors(
        self, served: Served, body: bytes, identity: str, headers: Headers, pinned: bool
    ) -> Answer | _Turn:
        document = document_of(body, headers)
        inference_protocol.require_object(document)
        identity = claimed(document.get("id"), identity)

        def read(served: Served) -> Tensors:
            return inference_protocol.tensors(served.schema, document, self.config.max_rows)

        def answer(served: Served) -> Answer:
            tensors = read(served)
            predictions = served.runner.predict(tensors)
            about = {"model_name": served.name, "model_version": str(served.number), "id": identity}
            labels = served.runner.labels(predictions)
            made = inference_protocol.answer(served.schema, labels, predictions, about)
            made["outputs"] = _wanted(made["outputs"], document.get("outputs"))
            return served, protocol.encode(made), JSON, tensors, predictions, identity, read

        return self._by(served, identity, pinned, answer)


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


def _wanted(outputs: list[dict[str, Any]], asked: Any) -> list[dict[str, Any]]:
    """Return the outputs that the request asked for; all where it asked for none in particular."""
    if asked is None or asked == []:
        return outputs
    names = {output["name"]: output for output in outputs}
    if type(asked) is not list:
        raise InputError(field="outputs", observed=shown(asked), allowed="a list of outputs")
    for position, output in enumerate(asked):
        name = output.get("name") if type(output) is dict else None
        if type(name) is not str or name not in names:
            raise InputError(
                field=f"outputs[{position}].name", observed=shown(name), allowed=" or ".join(names)
            )
    return [names[output["name"]] for output in asked]
