"""Takes in the bodies of requests: bounded in size, in time, and in what they hold together.

A body that is still coming holds no place among the requests that are answered. It is given up
when it is not there within ``serving.body_time``, when it comes more slowly than
``serving.body_rate`` once a few seconds have passed, or when the bodies that are still coming hold
too much memory together; one that comes in a single piece, as small ones do, holds none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from raymm.errors import InputError, Overloaded, TooLarge, TooSlow, Unsupported
from raymm.serving.media import headers_of

GRACE = 5.0
"""Seconds before the rate of a body counts."""
_LOOK = 1.0
_AGAIN = 0.1
_READ = "raymm.read"
_SMALL, _SOON = 65_536, 0.25
"""Bytes of a body that is read though its request is refused, and seconds that it may take."""
_TOGETHER = 64 * 2**20
"""Bytes that bodies which are still coming may hold, and eight of the largest in any case."""


def is_unread(scope: Scope) -> bool:
    """Whether a request has a body that was not read to its end.

    Its connection is then of no more use: what is left of the body comes before the next request,
    as slowly as the client likes.
    """
    if scope.get(_READ):
        return False
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in scope["headers"]
    )


async def discarded(scope: Scope, receive: Receive) -> bool:
    """Read a small body that comes at once, as nearly all do; return whether it came whole.

    Its connection can be used again then. To end it with each refusal of an overloaded service, and
    to make another, takes half as much of the processor again here, and as much in front.
    """
    headers = headers_of(scope)
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 6 or int(length) > _SMALL:
        return False
    if b"expect" in headers or b"transfer-encoding" in headers:  # it comes when it is asked for
        return False
    try:
        async with asyncio.timeout(_SOON):
            while (message := await receive())["type"] == "http.request":
                if not message.get("more_body", False):
                    scope[_READ] = True
                    return True
    except TimeoutError:
        pass
    return False


class Intake:
    """Reads bodies, on one event loop.

    Parameters
    ----------
    max_bytes : int
        Of one body.
    seconds : float
        Within which it must come.
    rate : float
        Bytes a second that must come on average after the first `GRACE` seconds; 0 asks for none.
    most : int or None
        Bytes that bodies still coming may hold together.
    """

    def __init__(
        self, *, max_bytes: int, seconds: float, rate: float = 0.0, most: int | None = None
    ) -> None:
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.rate = rate
        self.held = 0
        self._most = max(_TOGETHER, 8 * max_bytes) if most is None else most

    async def read(
        self, headers: Mapping[bytes, bytes], receive: Receive, scope: Scope | None = None
    ) -> bytes:
        """Read a request's body, never holding more than ``max_bytes`` and one chunk of it.

        Parameters
        ----------
        headers : mapping of lower-case name to value
        receive : callable
        scope : dict or None
            Where it is noted, for `is_unread`, that the body was read to its end.

        Raises
        ------
        TooLarge
            When the Content-Length says so, before anything is read, or when the body grows past
            it.
        InputError
            When the Content-Length is no number.
        Unsupported
            When the body is compressed: what it unpacks to is not bounded by its size.
        TooSlow
            When it does not come in time.
        Overloaded
            When the bodies that are still coming hold too much.
        ClientDisconnect
            When the client goes away.
        """
        self._require_readable(headers)
        task = asyncio.current_task()
        assert task is not None
        watch = _Watch(self, task)
        try:
            body = await self._chunks(receive, watch)
            if scope is not None:
                scope[_READ] = True
            return body
        except asyncio.CancelledError:
            if watch.late and task.uncancel() <= watch.before:
                raise self._too_slow() from None
            raise
        finally:
            watch.timer.cancel()
            self.held -= watch.held

    def _require_readable(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise InputError(
                    field="Content-Length",
                    observed=repr(length[:40].decode("latin-1")),
                    allowed="a number of bytes",
                )
            if len(length) > 18 or int(length) > self.max_bytes:
                raise self._too_large()
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise Unsupported(
                f"the body must come as it is, but its Content-Encoding is "
                f"{encoding[:40].decode('latin-1')!r}. Send it without compression."
            )

    async def _chunks(self, receive: Receive, watch: _Watch) -> bytes:
        chunks: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk = message.get("body", b"")
            watch.size += len(chunk)
            if watch.size > self.max_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self.held += watch.size - watch.held
            watch.held = watch.size
            if self.held > self._most:
                raise Overloaded(
                    f"requests that are still coming hold {self._most} bytes, and no more are "
                    "taken. Try again in a second, in smaller pieces."
                )

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the request's body may hold {self.max_bytes} bytes at most. "
            "Send fewer rows, or raise serving.max_body_kb."
        )

    def _too_slow(self) -> TooSlow:
        pace = f", and at {self.rate:g} bytes a second after {GRACE:g} s" if self.rate else ""
        return TooSlow(
            f"the request's body must come within {self.seconds:g} s{pace}. Send less, or faster."
        )


class _Watch:
    """Looks at a body that is coming, and ends the task that reads it when it is late.

    One timer for a body that comes at once, as nearly all do, and no task of its own. Time for
    which this process stood still does not count, since the body may have come meanwhile; and who
    is late at one look is given up at the next.
    """

    __slots__ = (
        "_due", "_intake", "_loop", "_start", "_task", "_warned",
        "before", "held", "late", "size", "timer",
    )  # fmt: skip

    def __init__(self, intake: Intake, task: asyncio.Task[Any]) -> None:
        self._intake = intake
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._warned = False
        self.before = task.cancelling()
        self.late = False
        self.size = 0
        self.held = 0
        self._later(min(GRACE, intake.seconds))

    def _later(self, seconds: float) -> None:
        self._due = self._loop.time() + seconds
        self.timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        now, intake = self._loop.time(), self._intake
        self._start += max(0.0, now - self._due)
        passed = now - self._start
        slow = passed >= intake.seconds or self.size < intake.rate * (passed - GRACE)
        if slow and self._warned:
            self.late = True
            self._task.cancel()
            return
        self._warned = slow
        self._later(_AGAIN if slow else min(_LOOK, intake.seconds - passed))
