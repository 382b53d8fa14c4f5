"""A shorter way for predictions through the HTTP server of a Serve replica.

Serve puts Starlette middlewares around each replica's server that come from the function named by
the environment variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH (`raymm.cluster` sets it to
`middlewares`). Everything works without: it only takes longer.

For predictions, and nothing else, two things are done.

- Where the replica allows, the application answers at once and Serve's accounts are kept
  (`raymm.serving.lane`). Elsewhere Serve is told not to watch for a client that goes away, which
  would take two tasks and a queue a request. The application sees it by itself while it reads the
  body; later it is not worth knowing, since a graph that runs cannot be stopped.
- The head and the body of the answer go to the socket in one piece. uvicorn writes them one by
  one, and then HAProxy and the client are woken twice as well.

At the first prediction what the replica holds by then is taken out of the sight of Python's
collector of cycles: to look through it, as it does every ten thousand predictions or so while a
monitor watches, took 0.1 s on a busy machine, during which nothing is answered.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raymm.serving.lane import Lane, lane_of

Headers = list[tuple[bytes, bytes]]
UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
"""The header by which Serve is told not to watch a client."""
_AT_THE_ROOT = ("/v1/models/", "/v2/models/")
"""Paths of an application without a prefix of its own, which Serve would have to take off."""


def middlewares() -> list[Middleware]:
    """Return what Serve puts around the server of each replica."""
    return [Middleware(ShortWay)]


class ShortWay:
    """Spares predictions what they do not need; other requests pass as they are.

    Parameters
    ----------
    app : ASGIApp
        Serve's own, which leads to the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lane: Lane | None = None
        self._sought = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or not _predicts(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        if not self._sought:  # Serve makes its middlewares before the replica is whole
            self._lane, self._sought = lane_of(self._app), True
            gc.collect()  # else rubbish that lies there is kept for ever
            gc.freeze()
        if self._lane is not None and scope["path"].startswith(_AT_THE_ROOT):
            await self._lane(scope, receive, in_one_piece(send, identified=scope["headers"]))
            return
        scope["headers"] = [*scope["headers"], UNWATCHED]
        await self._app(scope, receive, in_one_piece(send))


def _predicts(method: str, path: str) -> bool:
    return method == "POST" and path.endswith(("/predict", "/infer")) and "/models/" in path


def in_one_piece(send: Send, *, identified: Headers | None = None) -> Send:
    """Return a ``send`` that writes an answer's head together with its first piece of body.

    uvicorn's ``send`` belongs to an object that holds the connection's ``transport``, which is
    replaced for the time of the two messages. Any other ``send`` is returned as it is.

    Parameters
    ----------
    identified : list of header pairs, optional
        A request's headers; the answer then carries its ``x-request-id``, or a new one, as Serve's
        answers do.
    """
    cycle: Any = getattr(send, "__self__", None)
    if not hasattr(cycle, "transport"):
        return send
    head: Message | None = None

    async def joined(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start":
            head = message  # what follows is the body, at once
            if identified is not None:
                head["headers"] = [*message.get("headers", ()), _identity(identified)]
            return
        if head is None:
            await send(message)
            return
        start, head = head, None
        transport = cycle.transport
        cycle.transport = pieces = _Pieces(transport)
        try:
            await send(start)
            await send(message)
        finally:
            cycle.transport = transport
            pieces.flush()

    return joined


def _identity(headers: Headers) -> tuple[bytes, bytes]:
    """Return the header by which a request and its answer are known."""
    for name, value in headers:
        if name == b"x-request-id":
            return name, value
    return b"x-request-id", os.urandom(16).hex().encode()


class _Pieces:
    """Stands in for a transport, and collects what is written to it until it is flushed."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self._pieces.append(data)

    def flush(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces = []

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
