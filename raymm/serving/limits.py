"""What requests may cost: how many are answered at once, and how often a caller may ask."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from raymm.errors import Overloaded, TooOften


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

    def require(self) -> None:
        """Raise Overloaded where there is no place; to be asked before a body is read."""
        if self.held >= self.places:
            raise Overloaded(
                f"{self.held} requests are being answered, and no more are accepted. Try again "
                "in a second, or raise serving.max_queued or serving.replicas."
            )

    def __enter__(self) -> Room:
        self.require()
        self.held += 1
        return self

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """Give a place back for as long as who has it need not wait for any work to be done.

        It is taken again past `places`, where all are: who was let in is not refused.
        """
        self.held -= 1
        try:
            yield
        finally:
            self.held += 1

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
