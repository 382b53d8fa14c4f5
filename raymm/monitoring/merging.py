"""Puts requests together before they are told, so that a monitor works a column at a time.

Counting one row costs a monitor about as much as counting a thousand: some 20 µs a feature. A
service that answers 2,000 rows a second, one by one, would keep a core busy with being watched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, Feedback

EACH = 64
"""Bytes that an object takes beside its text or number."""
_OBJECT, _ZERO = np.dtype(object), "\0"
TOGETHER = 64
"""Requests put together at a time, as they come: some 60 µs of work."""

Kind = tuple[int, str, tuple[str, ...], tuple[int, ...], bool, bool]


def merge(batches: Sequence[Batch]) -> list[Batch]:
    """Put batches of one version, one outcome and the same columns together.

    Parameters
    ----------
    batches : sequence of Batch
        In the order in which they came.

    Returns
    -------
    list of Batch
        Groups in the order of their first batch; rows and their ids keep their order within a
        group, and every request's seconds are kept in ``merged``.
    """
    groups: dict[Kind, list[Batch]] = {}
    for batch in batches:
        groups.setdefault(kind_of(batch), []).append(batch)
    return [_joined(group) for group in groups.values()]


def kind_of(batch: Batch) -> Kind:
    """Return what batches that are put together have in common."""
    return (
        batch.version,
        batch.error,
        tuple(batch.tensors),
        batch.predictions.shape[1:],
        bool(batch.ids),
        batch.thinned,
    )


def size(told: Batch | Feedback) -> int:
    """Return about how many bytes a batch, or labels, keep in memory: arrays, ids and texts."""
    if isinstance(told, Feedback):
        texts = sum(len(label) for label in told.labels if isinstance(label, str))
        return sum(map(len, told.ids)) + texts + 2 * EACH * len(told.ids)
    total = EACH + told.predictions.nbytes
    for array in told.tensors.values():
        total += array.nbytes
        if array.dtype is _OBJECT:
            for text in array.tolist():
                total += len(text or "") + EACH
    for name in told.ids:
        total += len(name) + EACH
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A batch on its way to another process, without its ids and its requests' seconds.

    ``ids`` are one text, with zeros between them; ``seconds`` are float64.
    """

    batch: Batch
    ids: str
    seconds: bytes

    @property
    def version(self) -> int:
        """Of the batch."""
        return self.batch.version


def packed(batch: Batch) -> Batch | Parcel:
    """Write ids, seconds and each column of texts as one text or the bytes of one.

    Pickled one by one, they take three times as long, and the interpreter's lock all the while. A
    column in which one holds a zero character stays as it is, and so does a batch whose id does.
    """
    batch = _changed(batch, _packed)
    text = _ZERO.join(batch.ids)
    apart = text.count(_ZERO) == max(len(batch.ids) - 1, 0) and bool(text) == bool(batch.ids)
    if len(batch.merged) < 2 or not apart:
        return batch
    seconds = np.array(batch.merged, np.float64).tobytes()
    return Parcel(batch=replace(batch, ids=(), merged=()), ids=text, seconds=seconds)


def unpacked(sent: Batch | Parcel) -> Batch:
    """Return the batch that was `packed`; one that was not stays as it is."""
    if isinstance(sent, Parcel):
        sent = replace(
            sent.batch,
            ids=tuple(sent.ids.split(_ZERO)) if sent.ids else (),
            merged=tuple(np.frombuffer(sent.seconds, np.float64).tolist()),
        )
    return _changed(sent, _unpacked)


def _changed(batch: Batch, change: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Batch:
    return replace(batch, tensors={name: change(values) for name, values in batch.tensors.items()})


def _packed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype is not _OBJECT or len(values) < 2:
        return values
    try:
        text = _ZERO.join(values.tolist())
        if text.count(_ZERO) == len(values) - 1:
            return np.frombuffer(text.encode(), np.uint8)
    except (TypeError, UnicodeEncodeError):  # None among them, or half a character
        pass
    return values


def _unpacked(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype != np.uint8:  # which no column's values are
        return values
    return np.array(values.tobytes().decode().split(_ZERO), _OBJECT)


def _joined(group: Sequence[Batch]) -> Batch:
    first = group[0]
    if len(group) == 1:
        return first
    seconds = tuple(one for batch in group for one in (batch.merged or (batch.seconds,)))
    return Batch(
        rows=sum(batch.rows for batch in group),
        version=first.version,
        seconds=sum(seconds),
        tensors={
            name: np.concatenate([batch.tensors[name] for batch in group]) for name in first.tensors
        },
        predictions=np.concatenate([batch.predictions for batch in group]),
        error=first.error,
        merged=seconds,
        ids=tuple(one for batch in group for one in batch.ids),
        thinned=first.thinned,
    )
