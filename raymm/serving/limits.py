"""What a request may cost: the size of its body and its time, how many at once, how often."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from raymm.errors import InputError, Overloaded, TooLarge, TooOften, TooSlow, Unsupported


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, max_bytes: int, seconds: float
) -> bytes:
    """Read a request's body, never holding more than ``max_bytes`` and one chunk of it.

    Parameters
    ----------
    headers : mapping of lower-case name to value

    Raises
    ------
    TooLarge
        When the Content-Length says so, before anything is read, or when the body grows past it.
    InputError
        When the Content-Length is no number.
    Unsupported
        When the body is compressed: what it unpacks to is not bounded by its size.
    TooSlow
        When it has not come whole within ``seconds``, so that slow clients do not fill the room.
    ClientDisconnect
        When the client goes away.
    """
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            raise InputError(
                field="Content-Length",
                observed=repr(length[:40].decode("latin-1")),
                allowed="a number of bytes",
            )
        if len(length) > 18 or int(length) > max_bytes:
            raise _too_large(max_bytes)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise Unsupported(
            f"the body must come as it is, but its Content-Encoding is "
            f"{encoding[:40].decode('latin-1')!r}. Send it without compression."
        )
    return await _in_time(_chunks(receive, max_bytes), seconds)


async def _in_time(reading: Coroutine[Any, Any, bytes], seconds: float) -> bytes:
    """Do what asyncio.timeout does, in a quarter of its time."""
    task = asyncio.current_task()
    assert task is not None
    before, late = task.cancelling(), False

    def give_up() -> None:
        nonlocal late
        late = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, give_up)
    try:
        return await reading
    except asyncio.CancelledError:
        if late and task.uncancel() <= before:
            raise TooSlow(
                f"the request's body must come within {seconds:g} s. Send less, or faster."
            ) from None
        raise
    finally:
        timer.cancel()


async def _chunks(receive: Receive, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"the request's body may hold {max_bytes} bytes at most. "
        "Send fewer rows, or raise serving.max_body_kb."
    )


class Room:
    """A bound on the requests held at once; used as a context manager, on one event loop.

    Raises
    ------
    Overloaded
        On entering, when ``places`` requests are inside.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.held = 0

    def __enter__(self) -> Room:
        if self.held >= self.places:
            raise Overloaded(
                f"{self.held} requests are being answered, and no more are accepted. Try again "
                "in a second, or raise serving.max_queued or serving.replicas."
            )
        self.held += 1
        return self

    def stay(self) -> Callable[[], None]:
        """Take a place for work that outlives its request; any thread may call what gives it back.

        Past `places`, since the request that leaves has had its place.
        """
        self.held += 1
        loop = asyncio.get_running_loop()

        def leave() -> None:
            self.held -= 1

        def later() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the room with it
                loop.call_soon_threadsafe(leave)

        return later

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.held -= 1


class Rates:
    """How many requests a second each caller may send; on one event loop.

    A caller may save up one second's worth, and at least one request.

    Parameters
    ----------
    rate : float
        Requests a second.
    clock : callable
        Returns seconds that only grow.

    Source: the token bucket, RFC 2697 with one bucket.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._most = max(1.0, rate)
        self._clock = clock
        self._saved: dict[str, tuple[float, float]] = {}

    def spend(self, caller: str) -> None:
        """Count a request; ``caller`` is a token's name, so there are few of them.

        Raises
        ------
        TooOften
            With the seconds to wait.
        """
        now = self._clock()
        left, before = self._saved.get(caller, (self._most, now))
        left = min(self._most, left + (now - before) * self._rate)
        if left < 1:
            self._saved[caller] = (left, now)
            raise TooOften(
                f"one token may send {self._rate:g} requests a second. Send fewer, put more rows "
                "into each, or raise serving.rate.",
                retry_after=max(1, math.ceil((1 - left) / self._rate)),
            )
        self._saved[caller] = (left - 1, now)
