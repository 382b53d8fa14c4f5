"""A shorter way for predictions through the HTTP server of a Serve replica.

Serve puts Starlette middlewares around each replica's server that come from the function named by
the environment variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH (`raymm.cluster` sets it to
`middlewares`). Everything works without: it only takes longer.

For predictions, and nothing else, two things are done.

- Serve is told not to watch for a client that goes away, which would take two tasks and a queue
  a request. The application sees it by itself while it reads the body; later it is not worth
  knowing, since a graph that runs cannot be stopped.
- The head and the body of the answer go to the socket in one piece. uvicorn writes them one by
  one, and then HAProxy and the client are woken twice as well.
"""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
"""The header by which Serve is told not to watch a client."""


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and _predicts(scope["method"], scope["path"]):
            scope["headers"] = [*scope["headers"], UNWATCHED]
            send = in_one_piece(send)
        await self._app(scope, receive, send)


def _predicts(method: str, path: str) -> bool:
    return method == "POST" and path.endswith(("/predict", "/infer")) and "/models/" in path


def in_one_piece(send: Send) -> Send:
    """Return a ``send`` that writes an answer's head together with its first piece of body.

    uvicorn's ``send`` belongs to an object that holds the connection's ``transport``, which is
    replaced for the time of the two messages. Any other ``send`` is returned as it is.
    """
    cycle: Any = getattr(send, "__self__", None)
    if not hasattr(cycle, "transport"):
        return send
    head: Message | None = None

    async def joined(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start":
            head = message  # what follows is the body, at once
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
