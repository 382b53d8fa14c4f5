"""Tells when every request that was inside at some moment has left.

A version that was replaced may still answer the requests that had begun before. They are counted
by the turn in which they entered, so what is older than a switch is known to be over when the
turns before it are empty: no lock, and two additions a request.

Source: the grace period of read-copy-update, McKenney & Slingwine 1998.
"""

from __future__ import annotations

import threading
from typing import Any

from starlette.types import Receive, Scope, Send


class Turnstile:
    """Counts who is inside; `enter` and `leave` are called on one thread, the others on any."""

    def __init__(self) -> None:
        self._now = [0]
        self._before: list[list[int]] = []
        self._turning = threading.Lock()

    def enter(self) -> list[int]:
        """Count a request; returns its turn, to be given to `leave`."""
        turn = self._now
        turn[0] += 1
        return turn

    @staticmethod
    def leave(turn: list[int]) -> None:
        """Count a request out."""
        turn[0] -= 1

    def turn(self) -> None:
        """Begin a new turn; call it after the switch that requests from now on are to see."""
        with self._turning:
            before, self._now = self._now, [0]
            self._before.append(before)

    def clear(self) -> bool:
        """Return whether everybody who entered before the last turn has left."""
        with self._turning:
            self._before = [turn for turn in self._before if turn[0]]
            return not self._before

    def around(self, app: Any) -> Counted:
        """Return an application whose requests are counted until their answer is sent."""
        return Counted(app, self)


class Counted:
    """An ASGI application inside a turnstile; ``app`` is what it was made of."""

    def __init__(self, app: Any, turnstile: Turnstile) -> None:
        self.app = app
        self._turnstile = turnstile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what lasts as long as the process is not counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        turn = self._turnstile.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            self._turnstile.leave(turn)
