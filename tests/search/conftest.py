"""A backend for worker pools that runs everything in the test's own process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from raymm.search.workers import Died, StateLost, Worker


class Here:
    """Workers in this process: a call runs when it is waited for, the oldest first.

    ``deaths`` are the numbers of the calls (from 0, over all workers) at which a worker dies;
    ``losses`` those that find their state gone. Every task and state handed over is kept.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        deaths: Sequence[int] = (),
        losses: Sequence[int] = (),
        stillborn: int = 0,
    ) -> None:
        self._make = make
        self.deaths, self.losses, self.stillborn = set(deaths), set(losses), stillborn
        self.tasks: list[tuple[Any, Any]] = []
        self.alive: set[int] = set()
        self.calls: deque[list[Any]] = deque()
        self.started = 0

    def start(self) -> tuple[Any, Any]:
        self.started += 1
        worker = (self.started, Worker(self._make))
        self.alive.add(self.started)
        dead = self.stillborn > 0
        self.stillborn -= dead
        call = [worker, None, None, None, [None], dead]
        self.calls.append(call)
        return worker, call

    def work(self, worker: Any, task: Any, state: Any, seconds: float | None) -> tuple[Any, Any]:
        number = len(self.tasks)
        self.tasks.append((task, state))
        saved: list[Any] = [None]
        lost = number in self.losses
        held = state[0] if isinstance(state, list) else state
        call = [worker, (task, held, seconds), None, lost, saved, number in self.deaths]
        self.calls.append(call)
        return call, saved

    def wait(self, calls: Sequence[Any], seconds: float) -> Sequence[Any]:
        call = next(call for call in self.calls if any(call is other for other in calls))
        self.calls = deque(other for other in self.calls if other is not call)
        (_number, worker), given, _, lost, saved, dead = call
        if given is not None and not dead and not lost:
            call[2], saved[0] = worker.work(*given)
        return [call]

    def answer(self, call: Any) -> Any:
        if call[5]:
            raise Died("killed")
        if call[3]:
            raise StateLost("gone")
        return call[2]

    def kill(self, worker: Any) -> None:
        self.alive.discard(worker[0])


@pytest.fixture
def here() -> type[Here]:
    """The class of the backend."""
    return Here
