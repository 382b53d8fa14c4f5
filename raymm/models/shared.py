"""What the models of a process share: binned rows, predictions carried on, and trees once read.

A booster bins its training rows before it grows a tree, and the same rows are binned the same way
in every trial; `derived` keeps what was made of a matrix. A trial scores the same validation rows
after each step of its training; `Margins` adds the new trees' outputs to those of the last step.
Both hold on to nothing that is gone, and trust only memory that is read-only: other arrays may
have changed since.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.models.family import Matrix

BYTES = 512 * 2**20
"""Bytes of derived forms that are kept, the newest whatever its size. A form counts as large as the
features that it is made of, an array as large as it is."""

_kept: OrderedDict[Hashable, tuple[weakref.ref[Any], weakref.ref[Any], int, Any]] = OrderedDict()
_lock = threading.Lock()


def derived(train: Matrix, key: Hashable, make: Callable[[], Any]) -> Any:
    """Return what ``make`` makes of a matrix, made once in this process as long as it is kept.

    Parameters
    ----------
    train : Matrix
        Told by the identity of its arrays. Unless both are read-only, ``make`` is called anew.
    key : hashable
        Who asks, and everything besides the matrix that decides what is made.
    make : callable
        Its result must hold no reference to the matrix, or the matrix would never be let go.
        Threads that ask for the same at once may each make it.
    """
    if train.x.flags.writeable or train.y.flags.writeable:
        return make()
    place = (id(train.x), id(train.y), key)
    with _lock:
        held = _kept.get(place)
        if held is not None and held[0]() is train.x and held[1]() is train.y:
            _kept.move_to_end(place)
            return held[3]
    made = make()
    size = made.nbytes if isinstance(made, np.ndarray) else train.x.nbytes
    with _lock:
        _kept.pop(place, None)
        _kept[place] = (weakref.ref(train.x), weakref.ref(train.y), size, made)
        _trim()
    return made


_read: weakref.WeakKeyDictionary[Any, tuple[int, Any]] = weakref.WeakKeyDictionary()


def reading(booster: Any, rounds: int, read: Callable[[], Any]) -> Any:
    """Return what ``read`` reads of a booster of so many rounds, read once while it lives.

    A mix is put into a graph when its size is weighed, when it is compressed and when it is
    proven; the trees of 3,000 rounds take a second to read each time. The result must not be
    changed.
    """
    known = _read.get(booster)
    if known is None or known[0] != rounds:
        known = rounds, read()
        _read[booster] = known
    return known[1]


def _trim() -> None:
    """Let go of what was made of matrices that are no more, and then of the longest unused.

    An array no larger than the target stays as long as its rows: where a bent target went, all that
    was made of its rows would be made anew in every trial.
    """
    total = 0
    for place, (x, y, size, _) in list(_kept.items()):
        if x() is None or y() is None:
            del _kept[place]
        else:
            total += size
    for place, (_, y, size, made) in list(_kept.items())[:-1]:
        if total <= BYTES:
            return
        target = y()
        if not (isinstance(made, np.ndarray) and target is not None and size <= target.nbytes):
            del _kept[place]
            total -= size


class Margins:
    """Raw outputs of the rows that a growing model predicted last.

    Pickled, it forgets them.
    """

    def __init__(self) -> None:
        self._rows: weakref.ref[Any] | None = None
        self._rounds = 0
        self._raw: Any = None

    def __reduce__(self) -> tuple[type[Margins], tuple[()]]:
        return Margins, ()

    def at(
        self,
        x: npt.NDArray[np.float32],
        rounds: int,
        grow: Callable[[int, int, Any], npt.NDArray[Any]],
    ) -> npt.NDArray[Any]:
        """Return the raw outputs of ``x`` after ``rounds`` rounds, shape (n, outputs).

        Parameters
        ----------
        x : float32, shape (n, d)
            Where it is the array of the last call and read-only, only new rounds are evaluated.
        grow : callable of (start, stop, raw)
            Returns a fresh array: ``raw`` (None for nothing yet) and the outputs of the rounds
            from ``start`` to before ``stop``.
        """
        start, raw = 0, None
        if self._rows is not None and self._rows() is x and self._rounds <= rounds:
            start, raw = self._rounds, self._raw
        if raw is None or start < rounds:
            raw = grow(start, rounds, raw)
        if not x.flags.writeable:
            self._rows, self._rounds, self._raw = weakref.ref(x), rounds, raw
        return raw
