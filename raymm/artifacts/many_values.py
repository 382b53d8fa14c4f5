"""A column of more values than its statistics list: what is kept of all of them.

Which values are listed is decided by how often they were seen; compared with those counts, later
rows of the same kind would seem to have changed. What is kept here is chosen by no count: rows by
a hash of their value, and a Bloom filter that tells whether training had a value.

Sources: Bloom 1970, Space/time trade-offs in hash coding with allowable errors, CACM 13(7);
Kirsch & Mitzenmacher 2006, Less hashing, same performance, for its places.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

CELLS = 64
BITS_A_VALUE = 10
"""Of the filter: it takes 0.8 % of other values for known ones."""
LEAST_BITS, MOST_BITS = 1 << 9, 1 << 17
"""16 kB; beyond 13,107 values the filter errs oftener, which `Filter.error` tells."""
_MOST_PLACES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyValues:
    """What is kept of all values of one column.

    Attributes
    ----------
    name : str
        Of the column.
    cells : tuple of int
        Rows by `cell_of` their value, `CELLS` of them; missing ones are in none.
    distinct, once, twice : int
        Values that occur at all, in one row, and in two.
    members : str
        The bits of a `Filter`, in base 64.

    Raises
    ------
    ValueError
        When there are other than `CELLS` cells, a number is no count, or the bits cannot be read.
    """

    name: str
    cells: tuple[int, ...]
    distinct: int
    once: int
    twice: int
    members: str

    def __post_init__(self) -> None:
        counts = (*self.cells, self.distinct, self.once, self.twice)
        if len(self.cells) != CELLS or not all(type(one) is int and one >= 0 for one in counts):
            raise ValueError(
                f'what is kept of the values of "{self.name}" must be {CELLS} cells and three '
                "numbers, counts of at least 0 all of them"
            )
        if type(self.members) is not str:
            raise ValueError(f'the filter of the values of "{self.name}" must be text')
        base64.b64decode(self.members, validate=True)

    @classmethod
    def of(cls, name: str, rows: Mapping[str, int]) -> Self:
        """Return what is kept of a column whose values occur in so many ``rows``."""
        cells = [0] * CELLS
        for value, count in rows.items():
            cells[cell_of(digest(value))] += count
        counts = list(rows.values())
        return cls(
            name=name,
            cells=tuple(cells),
            distinct=len(rows),
            once=counts.count(1),
            twice=counts.count(2),
            members=base64.b64encode(_bits(map(digest, rows), len(rows)).tobytes()).decode(),
        )


def digest(value: str) -> int:
    """Return a hash of 64 bits, the same in every process."""
    made = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(made.digest(), "little")


def cell_of(hashed: int) -> int:
    """Return the cell of a `digest`, 0 to `CELLS` - 1."""
    return hashed % CELLS


class Filter:
    """Tells of a value whether training had it; now and then it takes another for one of them.

    Parameters
    ----------
    members : str
        As in `ManyValues`.
    distinct : int
        Values that it was made of.

    Attributes
    ----------
    error : float
        Share of the values that training had not, which it takes for known ones; 0 to 1.
    """

    def __init__(self, members: str, distinct: int) -> None:
        self._bits = base64.b64decode(members)
        self._places = _places(8 * len(self._bits), distinct)
        filled = sum(byte.bit_count() for byte in self._bits) / max(8 * len(self._bits), 1)
        self.error = filled**self._places if self._bits else 1.0

    def __contains__(self, hashed: int) -> bool:
        """Return whether training had the value of a `digest`, as far as is known."""
        bits = self._bits
        return all(
            bits[place >> 3] >> (place & 7) & 1
            for place in _spots(hashed, 8 * len(bits), self._places)
        )


def _bits(digests: Iterable[int], distinct: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    size = min(MOST_BITS, max(LEAST_BITS, -(-BITS_A_VALUE * distinct // 8) * 8))
    places = _places(size, distinct)
    made = np.zeros(size, np.uint8)
    for hashed in digests:
        made[_spots(hashed, size, places)] = 1
    return np.packbits(made, bitorder="little")


def _places(size: int, distinct: int) -> int:
    """Return how many bits stand for a value: as many as let a filter err least, or nearly."""
    return min(max(round(size / max(distinct, 1) * math.log(2)), 1), _MOST_PLACES)


def _spots(hashed: int, size: int, places: int) -> list[int]:
    if not size:
        return []
    first, step = (hashed >> 6) & 0xFFFFFFF, (hashed >> 34) | 1
    return [(first + nth * step) % size for nth in range(places)]
