"""What one column seems to hold: by its distinct words, or by its cells where they have a type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Kind, Written


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What one column seems to hold.

    Attributes
    ----------
    codes : int64, shape (n,)
        Each row's position in ``words``, -1 where missing.
    words : list of str, length d
        Distinct values without surrounding blanks, missing words left out.
    rows : int64, shape (d,)
        Rows that hold each word.
    values : float64, shape (d,), or None
        The words as numbers, or as seconds since 1970 UTC for dates.
    pair : tuple of str
        The words for false and true of a boolean column, as they are written.
    """

    kind: Kind
    codes: npt.NDArray[np.int64]
    words: list[str]
    rows: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64] | None = None
    missing: tuple[str, ...] = ()
    format: str | None = None
    pair: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Rows of the column."""
        return len(self.codes)

    @property
    def known(self) -> int:
        """Rows that are not missing."""
        return int(self.rows.sum())

    @property
    def distinct(self) -> int:
        """Different values, missing ones left out."""
        return len(self.words)

    @property
    def word(self) -> str:
        """The first word, the empty text where there is none."""
        return self.words[0] if self.words else ""

    @property
    def numeric(self) -> bool:
        """Whether the words have values."""
        return self.values is not None

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        values = np.empty(0) if self.values is None else self.values
        return self.kind == "number" and bool(np.all(np.mod(values, 1.0) == 0))

    @property
    def first(self) -> float:
        """The first value, NaN where there is none."""
        return float(self.values[0]) if self.values is not None and len(self.values) else np.nan

    @property
    def cells(self) -> npt.NDArray[np.float64]:
        """The values of the rows that are not missing, shape (known,)."""
        values = np.empty(0) if self.values is None else self.values
        return values[self.codes[self.codes >= 0]]

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest value, None where there are none."""
        if self.values is None or not len(self.values):
            return None
        return float(self.values.min()), float(self.values.max())


class Typed(Guess):
    """What a column of numbers or moments holds, whose words are made only when they are asked for.

    A column of ten million measurements has nearly as many words, which nobody reads.

    Parameters
    ----------
    cells : float64, shape (n,)
        The values, or seconds since 1970 UTC; NaN where missing.
    full : function of no arguments
        Returns the same guess by its words.
    written : Written
        How the cells are written.
    spelled : function of int
        Returns a row's cell as text.
    """

    def __init__(
        self,
        kind: Kind,
        cells: npt.NDArray[np.float64],
        full: Callable[[], Guess],
        *,
        written: Written,
        spelled: Callable[[int], str],
    ) -> None:
        keep = np.isfinite(cells)
        known = cells if keep.all() else cells[keep]
        held: dict[str, Any] = {"kind": kind, "missing": written.missing, "pair": ()}
        held |= {"format": written.format, "_first": int(np.argmax(keep)), "_spelled": spelled}
        held |= {"_known": known, "_make": full, "_length": len(cells)}
        for name, value in held.items():
            object.__setattr__(self, name, value)

    _known: npt.NDArray[np.float64]
    _make: Callable[[], Guess]
    _length: int
    _first: int
    _spelled: Callable[[int], str]

    @property
    def word(self) -> str:
        """The first value as text."""
        return self._spelled(self._first) if len(self._known) else ""

    @cached_property
    def _full(self) -> Guess:
        return self._make()

    @property
    def codes(self) -> Any:
        """Each row's position in ``words``, -1 where missing."""
        return self._full.codes

    @property
    def words(self) -> Any:
        """Distinct values as text."""
        return self._full.words

    @property
    def rows(self) -> Any:
        """Rows that hold each word."""
        return self._full.rows

    @property
    def values(self) -> Any:
        """The words as numbers or seconds."""
        return self._full.values

    @property
    def length(self) -> int:
        """Rows of the column."""
        return self._length

    @property
    def known(self) -> int:
        """Rows that are not missing."""
        return len(self._known)

    @cached_property
    def distinct(self) -> int:
        """Different values, missing ones left out."""
        ordered = np.sort(self._known)
        return int(np.count_nonzero(np.diff(ordered)) + (len(ordered) > 0))

    @property
    def numeric(self) -> bool:
        """Return True."""
        return True

    @cached_property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        head = self._known[:1000]
        if self.kind != "number" or not np.array_equal(head, np.floor(head)):
            return False
        return bool(np.array_equal(self._known, np.floor(self._known)))

    @property
    def first(self) -> float:
        """The first value, NaN where there is none."""
        return float(self._known[0]) if len(self._known) else np.nan

    @property
    def cells(self) -> npt.NDArray[np.float64]:
        """The values of the rows that are not missing, shape (known,)."""
        return self._known

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest value, None where there are none."""
        if not len(self._known):
            return None
        return float(self._known.min()), float(self._known.max())
