"""Requests of quick versions that come in one turn of the event loop go into one call.

A thread costs a request a quarter of a millisecond, which is more than most models take for a row:
joined in one, 500 trees of 0.04 ms answered 0.57 times as many requests as on the event loop, and
one client of a support vector machine of 1 ms waited 1.3 times as long. So what is read in a turn
of the event loop is predicted on it, together, in the next one: while the loop was busy requests
have come, and all of them are read in one turn.

Who is alone is answered at once: a turn more costs 0.02 ms and more. Whether anybody is, the last
answers tell: when two were given in one turn the next ones go together, until `_ALONE` turns had
one request each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from raymm.artifacts import Tensors
from raymm.serving.asking import Predicted
from raymm.serving.batching import ROWS, answer
from raymm.serving.line import rows_of
from raymm.serving.sources import Served

_ALONE = 8
"""After so many turns of one request each who comes is taken to be alone."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request's rows, and where its predictions are awaited."""

    tensors: Tensors
    rows: int
    answer: asyncio.Future[Predicted]


@dataclass(slots=True)
class _Turn:
    """What a version has read and not answered yet."""

    served: Served
    asked: deque[_Asked] = field(default_factory=deque)

    def take(self) -> list[_Asked]:
        """Take out what goes into one call, in the order in which it came."""
        taken: list[_Asked] = []
        rows = 0
        while self.asked and (not taken or rows + self.asked[0].rows <= ROWS):
            one = self.asked.popleft()
            if not one.answer.cancelled():  # else who asked has left
                taken.append(one)
                rows += one.rows
        return taken


class Turns:
    """Predicts for quick versions, on one event loop.

    Parameters
    ----------
    joined : bool
        Whether any are predicted together.
    """

    def __init__(self, *, joined: bool = True) -> None:
        self._joined = joined
        self._turns: dict[int, _Turn] = {}
        """Of versions that have something to answer: none is kept that is served no more."""
        self._shared = 0
        """For how many turns more it is taken that several come in one."""
        self._answered = False
        """Whether a request was answered at once in this turn."""

    def takes(self, served: Served) -> bool:
        """Return whether a version's requests may be predicted together."""
        return self._joined and served.joined

    def waits(self, served: Served) -> bool:
        """Return whether a request that came now is to be predicted with others, by `predict`.

        Else it is to be answered at once, which is taken note of.
        """
        if not self.takes(served):
            return False
        if self._answered:
            self._shared = _ALONE
        if self._shared:
            return True
        self._answered = True
        asyncio.get_running_loop().call_soon(self._next)
        return False

    def _next(self) -> None:
        self._answered = False

    async def predict(self, served: Served, tensors: Tensors) -> Predicted:
        """Return what ``served.runner.predict(tensors)`` returns, or raise what it raises.

        Parameters
        ----------
        served : Served
        tensors : mapping of column name to array, shape (n,)
            What its reader made of a request.
        """
        loop = asyncio.get_running_loop()
        one = _Asked(tensors, rows_of(tensors), loop.create_future())
        turn = self._turns.get(id(served))
        if turn is None:
            turn = self._turns[id(served)] = _Turn(served)
            loop.call_soon(self._call, turn)
        turn.asked.append(one)
        try:
            return await one.answer
        finally:
            del one  # else an error, which knows this frame, would keep the request's rows

    def _call(self, turn: _Turn) -> None:
        """Answer as many as go into one call; the rest have the loop's next turn."""
        taken = turn.take()
        if len(taken) > 1 or turn.asked:
            self._shared = _ALONE
        else:
            self._shared = max(0, self._shared - 1)
        if turn.asked:
            asyncio.get_running_loop().call_soon(self._call, turn)
        else:
            del self._turns[id(turn.served)]
        answer(turn.served.runner.predict, taken)
