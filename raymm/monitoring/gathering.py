"""Requests that wait to be told, put together as they come.

Joined at once, those of a second hold the interpreter's lock for milliseconds, during which
nothing is answered; a few at a time, each pays its share.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch
from raymm.monitoring.merging import EACH, TOGETHER, Kind, Told, kind_of, merge, size

_OBJECT = np.dtype(object)


class Gathering:
    """What waits; not safe to use from several threads at once.

    Of a request of one row the plain values are kept: to join its arrays takes thrice the time.
    """

    def __init__(self) -> None:
        self._singles: dict[Kind, _Singles] = {}
        self._single = 0
        self._fresh: list[Told] = []
        self._blocks: list[Told] = []

    def add(self, batch: Batch, room: float = math.inf) -> int:
        """Take in a request; one of many rows is a block of its own, and is not copied here.

        Returns
        -------
        int
            The bytes that it takes, as `size` tells them; 0 where they are more than ``room``, and
            it is not taken in.
        """
        if not batch.merged and (batch.rows == 1 or not (batch.rows or batch.tensors)):
            return self._add_single(batch, room)
        more = size(batch)
        if more > room:
            return 0
        self._join_singles()
        alone = batch.rows > TOGETHER
        if not alone:
            self._fresh.append(batch)
        if alone or len(self._fresh) >= TOGETHER:
            self._close()
        if alone:
            self._blocks.append(batch)
        return more

    def take(self) -> list[Told]:
        """Hand over what waits, to be merged, and wait anew with nothing."""
        self._join_singles()
        taken, self._blocks, self._fresh = self._blocks + self._fresh, [], []
        return taken

    def _add_single(self, batch: Batch, room: float) -> int:
        kind = kind_of(batch)
        known = self._singles.get(kind)
        singles = _Singles(batch) if known is None else known
        more = singles.add(batch, room)
        if not more:
            return 0
        if known is None:
            self._singles[kind] = singles
        self._single += 1
        if self._single >= TOGETHER:
            self._join_singles()
            self._close()
        return more

    def _join_singles(self) -> None:
        if self._single:
            waiting, self._singles, self._single = self._singles, {}, 0
            self._fresh += [singles.joined() for singles in waiting.values()]

    def _close(self) -> None:
        """Make blocks of what is fresh."""
        self._blocks += merge(self._fresh)
        self._fresh = []


class _Singles:
    """Requests of one row, or that failed, of one kind.

    Parameters
    ----------
    first : Batch
        Whose version, error, and columns those of all others are.
    """

    __slots__ = (
        "_arrays", "_first", "_fixed", "_ids", "_predictions", "_seconds", "_texts", "_values",
    )  # fmt: skip

    def __init__(self, first: Batch) -> None:
        arrays = list(first.tensors.values())
        self._first = first
        self._arrays = [(name, values.dtype) for name, values in first.tensors.items()]
        self._texts = [place for place, one in enumerate(arrays) if one.dtype is _OBJECT]
        self._fixed = EACH * (1 + len(self._texts)) + sum(one.nbytes for one in arrays)
        self._values: list[Any] = []  # of all columns, row by row
        self._predictions: list[npt.NDArray[Any]] = []
        self._seconds: list[float] = []
        self._ids: list[str] = []

    def add(self, batch: Batch, room: float) -> int:
        """Take in a request, as `Gathering.add` does."""
        values = [batch.tensors[name].item() for name, _ in self._arrays]
        more: int = self._fixed + batch.predictions.nbytes
        for place in self._texts:
            more += len(values[place] or "")
        for name in batch.ids:
            more += len(name) + EACH
        if more > room:
            return 0
        self._values += values
        self._predictions.append(batch.predictions)
        self._seconds.append(batch.seconds)
        self._ids += batch.ids
        return more

    def joined(self) -> Batch:
        """Return them as one batch."""
        width, first, values = len(self._arrays), self._first, self._values
        return Batch(
            rows=first.rows * len(self._seconds),
            version=first.version,
            seconds=sum(self._seconds),
            tensors={
                name: np.array(values[place::width], dtype)
                for place, (name, dtype) in enumerate(self._arrays)
            },
            predictions=np.concatenate(self._predictions),
            error=first.error,
            merged=tuple(self._seconds) if len(self._seconds) > 1 else (),
            ids=tuple(self._ids),
        )
