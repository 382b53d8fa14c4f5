"""Columns of numbers as small whole numbers: a table of a column's values, and places in it.

Columns of few values keep them all, and columns that another one tells (the same feature bent in
another way, as features for networks have it) share its places and have a table alone. What is
left is rounded to a grid between the least and the largest number, and each value of the table is
then the mean of those that it stands for, which lies nearest to them (Lloyd 1982, "Least squares
quantization in PCM", condition 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]
BITS = range(1, 9)
MOST_PAIRS = 256
"""Columns up to which each is compared with those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codebook:
    """Columns by their tables.

    Attributes
    ----------
    codes : uint8, shape (k, n)
        Places in tables.
    which : int64, shape (d,)
        The row of ``codes`` of each column, below k.
    starts : int64, shape (d,)
        Where each column's table begins.
    table : float32, shape (values,)
    """

    codes: npt.NDArray[np.uint8]
    which: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    table: Floats32

    def values(self) -> Floats32:
        """Return the columns, shape (d, n)."""
        return np.asarray(self.table[self.codes[self.which] + self.starts[:, None]])


def coded(columns: Floats32, bits: int) -> Codebook:
    """Return columns, shape (d, n), with at most 2**bits values each.

    Raises
    ------
    ValueError
        When a number is not finite, there is none, or ``bits`` is none of `BITS`.
    """
    if bits not in BITS or not columns.size or not np.isfinite(columns).all():
        raise ValueError(f"numbers must be finite, some, and of 1 to 8 bits, but got {bits} bits")
    codes, which, tables = list[npt.NDArray[np.uint8]](), list[int](), list[Floats32]()
    for column in columns.astype(np.float64):
        step = float(np.ptp(column)) / (2**bits - 1)
        table = None
        for place, known in enumerate(codes if len(columns) <= MOST_PAIRS else ()):
            table = _told(column, known, step)
            if table is not None:
                which.append(place)
                break
        if table is None:
            made = _places(column, bits, step)
            table = _means(column, made)
            which.append(len(codes))
            codes.append(made)
        tables.append(table.astype(np.float32))
    ends = np.cumsum([len(table) for table in tables])
    return Codebook(
        codes=np.stack(codes),
        which=np.array(which, np.int64),
        starts=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        table=np.concatenate(tables),
    )


def _places(column: npt.NDArray[np.float64], bits: int, step: float) -> npt.NDArray[np.uint8]:
    """Return each number's place among the values of its column, or of a grid that are used."""
    found, places = np.unique(column, return_inverse=True)
    if len(found) > 2**bits:
        grid = np.rint((column - column.min()) / step)
        places = np.unique(grid, return_inverse=True)[1]
    return places.astype(np.uint8)


def _means(
    column: npt.NDArray[np.float64], places: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    counts = np.bincount(places)
    low = float(column.min())
    # Sums from the least number on, so that equal numbers have themselves as their mean.
    means: npt.NDArray[np.float64] = low + np.bincount(places, column - low) / counts
    return means


def _told(
    column: npt.NDArray[np.float64], places: npt.NDArray[np.uint8], step: float
) -> npt.NDArray[np.float64] | None:
    """Return a table for another column's places; None where that moves a number by a step."""
    table = _means(column, places)
    apart = float(np.abs(table[places] - column).max())
    return table if apart <= max(step / 2, 1e-6 * float(np.abs(column).max())) else None
