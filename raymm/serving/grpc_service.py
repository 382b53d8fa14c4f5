"""Answers the Open Inference Protocol over gRPC with the HTTP application.

Each call becomes the request of the same meaning to the application, in the process, so that
tokens, limits, canaries, figures and the monitor are the same on both ways in. A NaN is a missing
value, since JSON has none.

What a message costs is bounded before it is read: two bytes of it may be a field that takes a
hundred. Large messages are read, and large answers written, in one thread, off the event loop.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import numpy as np
from starlette.types import Message

from raymm.errors import InputError, NotFound, RaymmError, TooLarge
from raymm.serving.grpc_protocol import Wire, message
from raymm.serving.grpc_reading import at_ease, read_message, require_thread
from raymm.serving.protocol import check_rows
from raymm.serving.raw_tensors import DTYPES, plain, raw, require_count
from raymm.serving.telemetry import Telemetry
from raymm.serving.tokens import Guard

_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


_OUTPUTS = 100
_GUARDED = ("ModelInfer", "ModelMetadata")


class Failed(Exception):
    """A call that failed; ``code`` is the name of a gRPC status code."""

    def __init__(self, code: str, told: str) -> None:
        super().__init__(told)
        self.code = code


class Methods:
    """The methods of the service.

    Parameters
    ----------
    app : ASGI application
        From `raymm.serving.app.create_app`.
    max_bytes, max_rows : int
        Of a request.
    guard : Guard or None
        Asked before a request is read; the application asks again, and counts.
    telemetry : Telemetry
        The application's; counts what never reaches it, of no model.
    """

    def __init__(
        self,
        app: Any,
        *,
        max_bytes: int,
        max_rows: int,
        guard: Guard | None,
        telemetry: Telemetry,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._guard = guard
        self._most = max_bytes
        self._rows = max_rows

    async def call(self, method: str, data: bytes, metadata: Iterable[tuple[str, Any]]) -> Wire:
        """Answer a call.

        Parameters
        ----------
        method : str
            One of `raymm.serving.grpc_protocol.METHODS`.
        data : bytes
            The request's message.
        metadata : pairs of str
            ``authorization`` is read from it.

        Raises
        ------
        Failed
            With the status to answer.
        """
        token = next((value for key, value in metadata if key == "authorization"), None)
        header = token.encode() if isinstance(token, str) else token
        made: Callable[[Any, bytes | None, int], Awaitable[Wire]] = getattr(self, f"_{method}")
        try:
            self._require_admitted(method, header, len(data))
            require_thread(len(data))
            request = await at_ease(len(data), read_message, f"{method}Request", data)
            return await made(request, header, len(data))
        except RaymmError as error:  # the application's are answers, which it counts
            self._telemetry.refused("", type(error).__name__, error.http_status)
            raise Failed(_CODES.get(error.http_status, "INTERNAL"), str(error)) from error

    def _require_admitted(self, method: str, header: bytes | None, size: int) -> None:
        """Raise TooLarge or Unauthorized, before anything is read."""
        if size > self._most:
            raise TooLarge(
                f"the request may hold {self._most} bytes at most. Send fewer rows, or raise "
                "serving.max_body_kb."
            )
        if self._guard is not None and method in _GUARDED:
            self._guard.admit(header)

    async def _ServerLive(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        status, _ = await self._ask("GET", "/v2/health/live", token)
        return _wire(message("ServerLiveResponse")(live=status == 200))

    async def _ServerReady(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        status, _ = await self._ask("GET", "/v2/health/ready", token)
        return _wire(message("ServerReadyResponse")(ready=status == 200))

    async def _ModelReady(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        path = _path(request.name, request.version)
        status, _ = await self._ask("GET", f"{path}/ready", token)
        return _wire(message("ModelReadyResponse")(ready=status == 200))

    async def _ServerMetadata(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        return _wire(message("ServerMetadataResponse")(**await self._told("GET", "/v2", token)))

    async def _ModelMetadata(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        path = _path(request.name, request.version)
        return _wire(message("ModelMetadataResponse")(**await self._told("GET", path, token)))

    async def _ModelInfer(self, request: Any, token: bytes | None, size: int) -> Wire:  # noqa: N802
        path = _path(request.model_name, request.model_version)
        # Made when the application asks for it: with a token, within the rate, and in its room.
        status, answer = await self._ask(
            "POST", f"{path}/infer", token, lambda: _body(request, self._rows), size
        )
        as_bytes = bool(request.raw_input_contents)
        return await at_ease(
            len(answer), lambda: _wire(response(_read(status, answer), raw=as_bytes))
        )

    async def _told(self, method: str, path: str, token: bytes | None) -> dict[str, Any]:
        return _read(*await self._ask(method, path, token))

    async def _ask(
        self,
        method: str,
        path: str,
        token: bytes | None,
        body: Callable[[], bytes] = bytes,
        size: int = 0,
    ) -> tuple[int, bytes]:
        """Send a request to the application; returns the status and the body.

        Its body is made of a message of ``size`` bytes.
        """
        headers = [(b"content-type", b"application/json")]
        if token is not None:
            headers.append((b"authorization", token))
        status, pieces, sent = 500, [], False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            made = await at_ease(size, body)
            return {"type": "http.request", "body": made, "more_body": False}

        async def send(answer: Message) -> None:
            nonlocal status
            if answer["type"] == "http.response.start":
                status = answer["status"]
            else:
                pieces.append(answer.get("body", b""))

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": None,
            "server": None,
        }
        await self._app(scope, receive, send)
        return status, b"".join(pieces)


def _wire(answer: Any) -> Wire:
    return Wire(answer.SerializeToString())


def _read(status: int, answer: bytes) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer)
    if status != 200:
        raise Failed(_CODES.get(status, "INTERNAL"), told["error"])
    return told


def _path(name: str, version: str) -> str:
    if not name or not name.isprintable() or set("/?#") & set(name + version):
        raise NotFound(f'no model is named "{name[:80]}".')
    return f"/v2/models/{name}" + (f"/versions/{version}" if version else "")


def _body(request: Any, max_rows: int) -> bytes:
    return json.dumps(document(request, max_rows), allow_nan=False).encode()


def document(request: Any, max_rows: int) -> dict[str, Any]:
    """Return a ModelInferRequest as the document of the protocol's JSON form.

    Raises
    ------
    InputError
        When the contents of a tensor do not fit its datatype and shape.
    TooLarge
        When a tensor has more than ``max_rows`` values, before they are read.
    """
    given = request.raw_input_contents
    if given and len(given) != len(request.inputs):
        raise InputError(
            field="raw_input_contents",
            observed=f"{len(given)} contents",
            allowed=f"one for each of the {len(request.inputs)} inputs",
        )
    if len(request.outputs) > _OUTPUTS:
        allowed = f"{_OUTPUTS} outputs at most"
        raise InputError(field="outputs", observed=str(len(request.outputs)), allowed=allowed)
    inputs = []
    for position, tensor in enumerate(request.inputs):
        field = f"inputs.{tensor.name[:60]}"
        if given:
            unread = raw(tensor.datatype, given[position], field, tensor.shape)
            check_rows(unread.count, max_rows)
            data = unread.values()
        else:
            contents = _CONTENTS.get(tensor.datatype)
            found = getattr(tensor.contents, contents) if contents else ()
            require_count(len(found), tensor.shape, field)
            check_rows(len(found), max_rows)
            data = plain(tensor.datatype, list(found), field)
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "data": data,
            }
        )
    made: dict[str, Any] = {"inputs": inputs}
    if request.id:
        made["id"] = request.id
    if request.outputs:
        made["outputs"] = [{"name": output.name} for output in request.outputs]
    return made


def response(told: Mapping[str, Any], *, raw: bool) -> Any:
    """Return the protocol's JSON answer as a ModelInferResponse of raw or typed contents."""
    made = message("ModelInferResponse")(
        model_name=told["model_name"],
        model_version=told.get("model_version", ""),
        id=told.get("id", ""),
    )
    for output in told["outputs"]:
        tensor = made.outputs.add(
            name=output["name"], datatype=output["datatype"], shape=output["shape"]
        )
        data = output["data"]
        if output["datatype"] == "BYTES":
            data = [value.encode() for value in data]
        if not raw:
            getattr(tensor.contents, _CONTENTS[output["datatype"]]).extend(data)
        elif output["datatype"] == "BYTES":
            made.raw_output_contents.append(
                b"".join(struct.pack("<I", len(value)) + value for value in data)
            )
        else:
            made.raw_output_contents.append(np.array(data, DTYPES[output["datatype"]]).tobytes())
    return made


class Inference:
    """The methods as Ray Serve calls them on a replica whose ``app`` is the application."""

    app: Any

    async def ServerLive(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Say whether the server lives."""
        return await self._called("ServerLive", request, grpc_context)

    async def ServerReady(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Say whether every model is loaded."""
        return await self._called("ServerReady", request, grpc_context)

    async def ModelReady(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Say whether a model is loaded."""
        return await self._called("ModelReady", request, grpc_context)

    async def ServerMetadata(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Say what the server is."""
        return await self._called("ServerMetadata", request, grpc_context)

    async def ModelMetadata(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Say what a model takes and gives."""
        return await self._called("ModelMetadata", request, grpc_context)

    async def ModelInfer(self, request: bytes, grpc_context: Any) -> Wire:  # noqa: N802
        """Predict."""
        return await self._called("ModelInfer", request, grpc_context)

    async def _called(self, method: str, request: bytes, context: Any) -> Wire:
        import grpc

        state = self.app.app.state
        try:
            service = state.service
            methods = Methods(
                self.app,
                max_bytes=service.max_bytes,
                max_rows=service.config.max_rows,
                guard=state.guard,
                telemetry=service.telemetry,
            )
            return await methods.call(method, request, context.invocation_metadata())
        except Failed as error:
            context.set_code(grpc.StatusCode[error.code])
            context.set_details(str(error)[:1000])
            return Wire()
