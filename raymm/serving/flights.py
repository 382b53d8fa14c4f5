"""One answer for all who ask for the same at once: what is slow is fetched by one of them only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Flights(Generic[Made]):
    """Shares what is being made, on one event loop; what is made is not kept."""

    def __init__(self) -> None:
        self._flights: dict[str, asyncio.Task[Made]] = {}

    async def share(self, key: str, make: Callable[[], Awaitable[Made]]) -> Made:
        """Return what ``make`` returns, or raise what it raises, to all who wait for the key.

        It goes on where the one who began it goes away.
        """
        flight = self._flights.get(key)
        if flight is None or flight.done():
            flight = self._flights[key] = asyncio.ensure_future(_made(make))
            flight.add_done_callback(lambda ended: self._land(key, ended))
        return await asyncio.shield(flight)

    def _land(self, key: str, flight: asyncio.Task[Made]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # else asyncio logs it where everybody went away


async def _made(make: Callable[[], Awaitable[Made]]) -> Made:
    return await make()
