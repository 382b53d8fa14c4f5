"""Predictions of one version that wait for their labels, a column of numbers each.

Kept so, a row takes some 50 bytes and an entry of a dictionary, and choosing which of 50,000 give
way takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from raymm.monitoring.arrays import from_text, to_text

KEY_BYTES = 16
_LEAST_ROOM = 256

Mask = npt.NDArray[np.bool_]


class Prediction(NamedTuple):
    """One that waits: its number, when it was told (seconds since 1970 UTC), and its bytes."""

    number: int
    told_at: float
    row: bytes


class Waiting:
    """Predictions by key, in the order in which they were told; each key once."""

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self._count = 0  # rows held, those that were taken out too
        self._keys = np.empty((0, KEY_BYTES), np.uint8)
        self._numbers = np.empty(0, np.int64)  # rising
        self._told_at = np.empty(0, np.float64)
        self._widths = np.empty(0, np.int32)
        self._rows = np.empty((0, 0), np.uint8)  # each as wide as the widest
        self._here = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return len(self._number)

    def __contains__(self, key: bytes) -> bool:
        return key in self._number

    def shares_any(self, keys: Mapping[bytes, Any]) -> bool:
        """Return whether one of the keys waits."""
        return not self._number.keys().isdisjoint(keys.keys())

    def add(
        self,
        keys: Sequence[bytes],
        numbers: npt.NDArray[np.int64],
        told_at: float,
        rows: npt.NDArray[np.uint8],
    ) -> None:
        """Let predictions wait.

        Parameters
        ----------
        keys : sequence of bytes
            `KEY_BYTES` each, none of which waits.
        numbers : int64, shape (n,)
            Rising, and above those of all that wait.
        told_at : float
            Seconds since 1970 UTC.
        rows : uint8, shape (n, width)
        """
        more, width = rows.shape
        if not more:
            return
        self._make_room(more, width)
        place = slice(self._count, self._count + more)
        self._keys[place] = np.frombuffer(b"".join(keys), np.uint8).reshape(more, KEY_BYTES)
        self._numbers[place] = numbers
        self._told_at[place] = told_at
        self._widths[place] = width
        self._rows[place, :width] = rows
        self._here[place] = True
        self._number.update(zip(keys, numbers.tolist(), strict=True))
        self._count += more

    def pop(self, key: bytes) -> Prediction:
        """Take out a prediction; raises KeyError where it does not wait."""
        number = self._number.pop(key)
        place = int(np.searchsorted(self._numbers[: self._count], number))
        self._here[place] = False
        row = self._rows[place, : self._widths[place]].tobytes()
        return Prediction(number, float(self._told_at[place]), row)

    def keys(self) -> npt.NDArray[np.uint64]:
        """Return the keys of all that wait, shape (n, 2), in their order."""
        self._close_up()
        return self._keys[: self._count].view("<u8")

    def numbers(self) -> npt.NDArray[np.int64]:
        """Return the numbers of all that wait, shape (n,), in their order."""
        self._close_up()
        return self._numbers[: self._count]

    def keep(self, chosen: Mask) -> None:
        """Drop what is not chosen of all that wait, shape (n,), in their order."""
        self._close_up()
        for key in _split(self._keys[: self._count][~chosen].tobytes()):
            del self._number[key]
        self._select(chosen)

    def _make_room(self, more: int, width: int) -> None:
        if self._count > 2 * len(self._number):
            self._close_up()
        need, wide = self._count + more, self._rows.shape[1]
        room = len(self._numbers)
        if need > room:
            room = max(need, room + room // 4, _LEAST_ROOM)
            for name in ("_keys", "_numbers", "_told_at", "_widths", "_here"):
                old = getattr(self, name)
                grown = np.zeros((room, *old.shape[1:]), old.dtype)
                grown[: self._count] = old[: self._count]
                setattr(self, name, grown)
        if room > len(self._rows) or width > wide:
            rows = np.zeros((room, max(width, wide)), np.uint8)
            rows[: self._count, :wide] = self._rows[: self._count]
            self._rows = rows

    def _close_up(self) -> None:
        """Let nothing that was taken out stand between what waits."""
        if self._count > len(self._number):
            self._select(self._here[: self._count])

    def _select(self, chosen: Mask) -> None:
        count = int(chosen.sum())
        for name in ("_keys", "_numbers", "_told_at", "_widths", "_rows", "_here"):
            held = getattr(self, name)
            held[:count] = held[: self._count][chosen]
        self._count = count

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on after a restart, as plain JSON values."""
        self._close_up()
        held = slice(self._count)
        rows, widths = self._rows[held], self._widths[held]
        own = rows[np.arange(rows.shape[1]) < widths[:, None]]
        return {
            "keys": to_text(self._keys[held]),
            "numbers": to_text(self._numbers[held]),
            "told_at": to_text(self._told_at[held]),
            "widths": to_text(widths),
            "rows": to_text(own),
        }

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Go on from a state, and return self; raises ValueError where it does not add up."""
        keys = from_text(state["keys"], np.uint8).reshape(-1, KEY_BYTES)
        numbers = from_text(state["numbers"], np.int64)
        told_at = from_text(state["told_at"], np.float64)
        widths = from_text(state["widths"], np.int32)
        data = from_text(state["rows"], np.uint8)
        count = len(keys)
        fitting = count == len(numbers) == len(told_at) == len(widths)
        sound = widths.min(initial=0) >= 0 and (np.diff(numbers) > 0).all()
        if not fitting or not sound or int(widths.sum(dtype=np.int64)) != len(data):
            raise ValueError("its predictions do not add up")
        self._number = dict(zip(_split(keys.tobytes()), numbers.tolist(), strict=True))
        if len(self._number) != count:
            raise ValueError("a prediction of it waits twice")
        self._rows = np.zeros((count, int(widths.max(initial=0))), np.uint8)
        self._rows[np.arange(self._rows.shape[1]) < widths[:, None]] = data
        self._keys, self._numbers, self._told_at = keys, numbers, told_at
        self._widths, self._here, self._count = widths, np.ones(count, np.bool_), count
        return self


def _split(data: bytes) -> list[bytes]:
    return [data[start : start + KEY_BYTES] for start in range(0, len(data), KEY_BYTES)]
