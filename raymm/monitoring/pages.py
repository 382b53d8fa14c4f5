"""Answers to one row, written one after another into few buffers until they are told.

Of a row that is kept as it came, thirty small objects or so live on among those of the requests
after it, which then find no place beside each other: of 6,000 rows a second, a fifth of them kept,
each request took 5 µs longer. Written into buffers a row leaves nothing behind but the texts that
no row before it had.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Batch, OneRow, Tensors
from raymm.monitoring.merging import Parcel, Told

_OBJECT, _NUMBER, _TIME = np.dtype(object), np.dtype(np.intc), np.dtype(np.float64)
EMPTY, _ENTRY = 2048, 100
"""Bytes of a page without rows, and of a text's place in its table."""


class Alike:
    """What answers to one row have in common.

    Parameters
    ----------
    version : int
    tensors, prediction
        Of the first of them.

    Attributes
    ----------
    version : int
    names : list of str
        All columns.
    layout : sequence of sequence of str
        The columns of each part of a row: of a `OneRow` those that lie beside each other, else each
        column for itself.
    dtypes : list of dtype
        Of each part.
    dtype, shape
        The prediction's.
    size : int
        The bytes that a row takes in a page, without its id and its texts.
    page : Page or None
        The one that rows are written to now.
    """

    __slots__ = ("dtype", "dtypes", "layout", "names", "page", "shape", "size", "version")

    def __init__(self, version: int, tensors: Tensors, prediction: npt.NDArray[Any]) -> None:
        self.version, self.names = version, list(tensors)
        self.layout: Sequence[Sequence[str]] = [(name,) for name in tensors]
        if type(tensors) is OneRow:
            self.layout = tensors.layout
        self.dtypes = [part.dtype for part in parts_of(tensors)]
        self.dtype, self.shape = prediction.dtype, prediction.shape
        columns = zip(self.layout, self.dtypes, strict=True)
        numbers = sum(len(names) * _number(dtype).itemsize for names, dtype in columns)
        self.size = numbers + prediction.nbytes + _TIME.itemsize + 1
        self.page: Page | None = None

    def holds(self, tensors: Tensors, prediction: npt.NDArray[Any]) -> bool:
        """Return whether an answer has the same columns, and predictions of the same kind."""
        if prediction.dtype != self.dtype or prediction.shape != self.shape:
            return False
        if type(tensors) is OneRow:  # of the same reader, whose rows are all of the same kinds
            return tensors.layout is self.layout
        return self.names == [*tensors] and self.dtypes == [v.dtype for v in tensors.values()]


def parts_of(tensors: Tensors) -> Sequence[npt.NDArray[Any]]:
    """Return the arrays that hold a row: few where it was cut from these, else one a column."""
    return tensors.parts if type(tensors) is OneRow else [*tensors.values()]


def _number(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what values are written as: texts by their numbers, all others as they are."""
    return _NUMBER if dtype == _OBJECT else dtype


class Page:
    """Rows that are alike; not safe to use from several threads at once.

    Attributes
    ----------
    alike : Alike
    rows : int
    """

    __slots__ = ("_ids", "_known", "_parts", "_predictions", "_seconds", "alike", "rows")

    def __init__(self, alike: Alike) -> None:
        self.alike, self.rows = alike, 0
        self._parts: list[Any] = [
            array("i") if dtype == _OBJECT else bytearray() for dtype in alike.dtypes
        ]
        self._known = _Numbered()
        self._predictions, self._ids = bytearray(), bytearray()
        self._seconds = array("d")

    def add(
        self,
        seconds: float,
        tensors: Tensors,
        prediction: npt.NDArray[Any],
        key: str,
        room: float = math.inf,
    ) -> int:
        """Write down a row, which `Alike.holds` and whose id has no zero character.

        Returns
        -------
        int
            The bytes that it takes; 0 where they are more than ``room``, and it is not written.
        """
        known, held, texts = self._known, self._known.bytes, len(self._known)
        # All that may fail comes first, that the buffers stay equally long.
        made = [
            [known[text] for text in part.tolist()] if type(written) is array else part.tobytes()
            for part, written in zip(parts_of(tensors), self._parts, strict=True)
        ]
        name, time = key.encode("utf-8", "surrogatepass"), float(seconds)
        more = self.alike.size + len(name) + known.bytes - held
        if more > room:
            known.forget(texts, held)
            return 0
        for one, written in zip(made, self._parts, strict=True):
            written.extend(one)
        self._predictions += prediction.tobytes()
        self._ids += name
        self._ids.append(0)
        self._seconds.append(time)
        self.rows += 1
        return more

    def told(self) -> Told:
        """Return the rows, at least one, as one parcel; one alone as a batch."""
        shape = self.rows, *self.alike.shape[1:]
        ids = self._ids[:-1].decode("utf-8", "surrogatepass")
        made = Batch(
            rows=self.rows,
            version=self.alike.version,
            seconds=sum(self._seconds),
            tensors=self._tensors(),
            predictions=np.frombuffer(self._predictions, self.alike.dtype).reshape(shape),
            ids=(ids,) if self.rows == 1 else (),
        )
        if self.rows == 1:
            return made
        return Parcel(batch=made, ids=ids, seconds=self._seconds.tobytes())

    def _tensors(self) -> Tensors:
        texts = np.empty(len(self._known), object)
        texts[:] = [*self._known]
        made: dict[str, npt.NDArray[Any]] = {}
        alike = self.alike
        for names, dtype, written in zip(alike.layout, alike.dtypes, self._parts, strict=True):
            rows = np.frombuffer(written, _number(dtype)).reshape(self.rows, len(names))
            values = np.ascontiguousarray(rows.T)
            columns = texts[values] if dtype == _OBJECT else values
            made.update(zip(names, columns, strict=True))
        return {name: made[name] for name in alike.names}


class _Numbered(dict[Any, int]):
    """Texts by the order in which they were asked for first, and the ``bytes`` that they take."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __missing__(self, text: Any) -> int:
        number = self[text] = len(self)
        self.bytes += sys.getsizeof(text) + _ENTRY
        return number

    def forget(self, count: int, held: int) -> None:
        """Forget all texts after so many, which take so many bytes."""
        while len(self) > count:
            self.popitem()
        self.bytes = held
