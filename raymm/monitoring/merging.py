"""Puts requests together before they are told, so that a monitor works a column at a time.

Counting one row costs a monitor about as much as counting a thousand: some 20 µs a feature. A
service that answers 2,000 rows a second, one by one, would keep a core busy with being watched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, Feedback

EACH = 64
"""Bytes that an object takes beside what it holds."""
_OBJECT, ZERO = np.dtype(object), "\0"
TOGETHER = 64
"""Requests put together at a time, as they come: some 60 µs of work."""

Kind = tuple[int, str, tuple[str, ...], tuple[int, ...], bool, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Requests put together, with few objects for all their rows: these cost each other their place
    in a processor's caches, and pickled one by one they hold the interpreter's lock.

    Attributes
    ----------
    batch : Batch
        Without ids and ``merged``.
    ids : str
        With zeros between them.
    seconds : bytes
        Of each request, float64.
    """

    batch: Batch
    ids: str
    seconds: bytes

    @property
    def version(self) -> int:
        """Of the batch."""
        return self.batch.version

    @property
    def rows(self) -> int:
        """Of the batch."""
        return self.batch.rows


Told = Batch | Parcel


def merge(batches: Sequence[Told]) -> list[Told]:
    """Put batches of one version, one outcome and the same columns together.

    Parameters
    ----------
    batches : sequence of Batch or Parcel
        In the order in which they came.

    Returns
    -------
    list of Batch or Parcel
        Groups in the order of their first batch; rows and their ids keep their order within a
        group, and every request's seconds are kept in ``merged``.
    """
    groups: dict[Kind, list[Told]] = {}
    for batch in batches:
        groups.setdefault(kind_of(batch), []).append(batch)
    return [one for group in groups.values() for one in _joined(group)]


def kind_of(told: Told) -> Kind:
    """Return what batches that are put together have in common."""
    batch, named = (told.batch, bool(told.ids)) if isinstance(told, Parcel) else (told, None)
    return (
        batch.version,
        batch.error,
        tuple(batch.tensors),
        batch.predictions.shape[1:],
        bool(batch.ids) if named is None else named,
        batch.thinned,
    )


def size(told: Batch | Feedback) -> int:
    """Return about how many bytes a batch, or labels, keep in memory: arrays, ids and texts."""
    if isinstance(told, Feedback):
        texts = sum(sys.getsizeof(label) for label in told.labels if isinstance(label, str))
        return sum(map(sys.getsizeof, told.ids)) + texts + EACH * len(told.ids)
    total = EACH + told.predictions.nbytes
    for array in told.tensors.values():
        total += array.nbytes
        if array.dtype is _OBJECT:
            for text in array.tolist():
                total += sys.getsizeof(text)
    return total + sum(map(sys.getsizeof, told.ids))


def parcel(batch: Batch) -> Told:
    """Return a batch as a parcel; as it is where one of its ids holds a zero character."""
    text = ZERO.join(batch.ids)
    if text.count(ZERO) != max(len(batch.ids) - 1, 0) or bool(text) != bool(batch.ids):
        return batch
    seconds = np.array(batch.merged or (batch.seconds,), np.float64).tobytes()
    return Parcel(batch=replace(batch, ids=(), merged=()), ids=text, seconds=seconds)


def packed(told: Told) -> Told:
    """Return a parcel, each column of texts the bytes of one text, for the way to another process.

    Pickled one by one, they take three times as long, and the interpreter's lock all the while. A
    column in which one holds a zero character stays as it is, and so does a single request.
    """
    if isinstance(told, Parcel):
        return replace(told, batch=_changed(told.batch, _packed))
    batch = _changed(told, _packed)
    return parcel(batch) if len(batch.merged) > 1 else batch


def unpacked(told: Told) -> Batch:
    """Return the batch that was `packed`; one that was not stays as it is."""
    if not isinstance(told, Parcel):
        return _changed(told, _unpacked)
    ids = tuple(told.ids.split(ZERO)) if told.ids else ()
    merged = tuple(np.frombuffer(told.seconds, np.float64).tolist())
    return replace(_changed(told.batch, _unpacked), ids=ids, merged=merged)


def _changed(batch: Batch, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Batch:
    return replace(batch, tensors={name: change(values) for name, values in batch.tensors.items()})


def _packed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype is not _OBJECT or len(values) < 2:
        return values
    try:
        text = ZERO.join(values.tolist())
        if text.count(ZERO) == len(values) - 1:
            return np.frombuffer(text.encode(), np.uint8)
    except (TypeError, UnicodeEncodeError):  # None among them, or half a character
        pass
    return values


def _unpacked(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype != np.uint8:  # which no column's values are
        return values
    return np.array(values.tobytes().decode().split(ZERO), _OBJECT)


def _joined(group: Sequence[Told]) -> list[Told]:
    """Return those of one kind as one, or as two where some cannot be in a parcel."""
    if len(group) == 1:
        return list(group)
    if any(isinstance(one, Parcel) for one in group):
        made = [one if isinstance(one, Parcel) else parcel(one) for one in group]
        parcels = [one for one in made if isinstance(one, Parcel)]
        whole = _beside([one.batch for one in parcels])
        ids = ZERO.join(one.ids for one in parcels) if parcels[0].ids else ""
        joined = Parcel(batch=whole, ids=ids, seconds=b"".join(one.seconds for one in parcels))
        others = [one for one in made if isinstance(one, Batch)]
        return [joined, *(_joined(others) if others else ())]
    batches = [one for one in group if isinstance(one, Batch)]
    return [
        replace(
            _beside(batches),
            merged=tuple(one for batch in batches for one in (batch.merged or (batch.seconds,))),
            ids=tuple(one for batch in batches for one in batch.ids),
        )
    ]


def _beside(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one, without ids and times of each request."""
    first = batches[0]
    if len(batches) == 1:
        return first
    return Batch(
        rows=sum(batch.rows for batch in batches),
        version=first.version,
        seconds=sum(one for batch in batches for one in (batch.merged or (batch.seconds,))),
        tensors={
            name: np.concatenate([batch.tensors[name] for batch in batches])
            for name in first.tensors
        },
        predictions=np.concatenate([batch.predictions for batch in batches]),
        error=first.error,
        thinned=first.thinned,
    )
