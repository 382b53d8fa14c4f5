"""The requests that wait for a version, and how long they will."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from raymm.artifacts import Tensors
from raymm.serving.asking import Predicted
from raymm.serving.sources import Served


class Awaited(Protocol):
    """Where an answer is awaited: in a thread, or on an event loop."""

    def set_result(self, result: Predicted, /) -> None:
        """Answer."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Fail."""
        ...


class Asking(Protocol):
    """A request that waits."""

    @property
    def tensors(self) -> Tensors:
        """Its rows."""
        ...

    @property
    def rows(self) -> int:
        """How many."""
        ...

    @property
    def answer(self) -> Awaited:
        """Where their predictions are awaited."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request's rows, and where their predictions are awaited."""

    tensors: Tensors
    rows: int
    answer: Future[Predicted] = field(default_factory=Future)


@dataclass(slots=True)
class Line:
    """The requests of a version that wait, and its calls that are at work or will be."""

    served: Served
    waiting: deque[Waiting] = field(default_factory=deque)
    calls: int = 0
    at_work: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Of calls at work, by thread: when each began, and its size (see `Batches.wait`)."""

    def each(self) -> float:
        """Return the seconds of a call of size 1, as the last calls took."""
        return self.served.tally.call_seconds or self.served.row_seconds

    def left(self, now: float) -> list[float]:
        """Return the seconds until each call at work has ended, the first to end first.

        One that takes as long again as it should is taken to need as long as it is late, so that
        one that hangs is not for ever about to end.
        """
        each, took = self.each(), [(now - begun, one) for begun, one in self.at_work.values()]
        return sorted(max(one * each - past, past - 2 * one * each, 0.0) for past, one in took)

    def until(self, now: float, size: int, share: float) -> float:
        """Return the seconds until what comes behind calls of that size in all begins.

        ``share`` is how many threads the line has. What waits takes as long as the last calls, or
        as those at work where all are late; a thread that is late does not count where the others
        are done sooner without it.
        """
        late = ((now - begun) / one for begun, one in self.at_work.values())
        behind, left = size * max(self.each(), min(late, default=0.0)), self.left(now)
        threads = range(1, len(left) + 1)
        ends = (sum(left[:most]) / most + behind / min(most, share) for most in threads)
        return min(ends, default=behind / share)


def put_together(requests: Sequence[Tensors]) -> Tensors:
    """Return the rows of several requests, in their order, as one's.

    Raises
    ------
    TypeError
        When a column has not the same type in all of them.
    """
    return {
        name: np.concatenate([one[name] for one in requests], dtype=values.dtype, casting="no")
        for name, values in requests[0].items()
    }  # fmt: skip


def rows_of(tensors: Tensors) -> int:
    """Return how many rows columns have."""
    return len(next(iter(tensors.values())))
