"""Sorted tables of float32 numbers: the distinct thresholds of each feature, or leaf values.

A number is known by its key, an integer that grows with it, so that tables keep every bit, also
of NaN and of the zeros. A table whose numbers are multiples of one step is coded as the multiples,
others as the gaps between their keys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import Coder, adaptive, lengths, quantities
from raymm.bundle.parts import DAMAGED
from raymm.errors import BundleError

SIGN = 1 << 31
NEAR_ZERO = np.array([-0.0, 1e-35, np.nextafter(np.float32(-1e-35), np.float32(-1))], np.float32)
"""Numbers that spoil the steps of tables of round ones; LightGBM has thresholds beside 0."""
_KEYS = 1 << 32
_LARGEST = float(np.finfo(np.float32).max)
_EXPONENT = 160
"""Steps are between 2**-160 and 2**160."""


def keys_of(values: npt.NDArray[np.float32]) -> Ints:
    """Return the keys of float32 numbers: from 0 to 2**32 - 1, in the numbers' order.

    >>> keys_of(np.array([-1, -0.0, 0, 1], np.float32)).tolist()
    [1082130431, 2147483647, 2147483648, 3212836864]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    keys: Ints = np.where(bits >= SIGN, _KEYS - 1 - bits, bits + SIGN)
    return keys


def values_of(keys: Ints) -> npt.NDArray[np.float32]:
    """Return the float32 numbers of keys."""
    bits = np.where(keys >= SIGN, keys - SIGN, _KEYS - 1 - keys)
    return bits.astype(np.uint32).view(np.float32)


def steps_of(values: npt.NDArray[np.float32]) -> tuple[Ints, int, int] | None:
    """Return integers k, an odd number m and an exponent e with k * m * 2**e = values, exactly.

    None where there are no such numbers of reasonable size.

    >>> steps_of(np.array([-1.5, 0, 4.5], np.float32))
    (array([-1,  0,  3]), 3, -1)
    """
    if not np.isfinite(values).all() or not values.any():
        return None
    exact = values.astype(np.float64)
    mantissa, exponent = np.frexp(exact)
    whole = (mantissa * (1 << 24)).astype(np.int64)
    zeros = lengths(whole & -whole) - 1
    least = int((exponent - 24 + zeros)[values != 0].min())
    scaled = np.ldexp(exact, -least)
    if np.abs(scaled).max() >= 1 << 52:
        return None
    whole = scaled.astype(np.int64)
    odd = int(np.gcd.reduce(whole))
    multiples = whole // odd
    if odd >= _KEYS or np.abs(multiples).max() >= SIGN:
        return None
    return multiples, odd, least


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How one table is written: multiples of a step, or keys.

    Attributes
    ----------
    negative, above, below : int
        Whether the numbers of `NEAR_ZERO` are in the table besides what follows.
    stepped, odd, exponent : int
        Whether the rest are multiples of odd * 2**exponent; the exponent's sign is its last bit.
    size, first : int
        How many there are, and the first multiple (its sign is the last bit) or key.
    gaps : int64, shape (size - 1,)
        By how much more than 1 each is above the one before.
    usual : int
        How many bits a gap has on average, rounded.
    """

    negative: int = 0
    above: int = 0
    below: int = 0
    stepped: int = 0
    odd: int = 0
    exponent: int = 0
    size: int
    first: int
    gaps: Ints
    usual: int


def _plan(table: Ints) -> _Plan:
    near = keys_of(NEAR_ZERO)
    plain = _gaps(table, int(table[0]) if len(table) else 0)
    apart = np.isin(table, near)
    steps = steps_of(values_of(table[~apart]))
    if steps is None:
        return plain
    multiples, odd, exponent = steps
    if (np.diff(multiples) < 1).any() or (_multiplied(*steps) != table[~apart]).any():
        return plain
    negative, above, below = np.isin(near, table).astype(int).tolist()
    made = replace(
        _gaps(multiples, _signed(int(multiples[0]))),
        negative=negative,
        above=above,
        below=below,
        stepped=1,
        odd=odd,
        exponent=_signed(exponent),
    )
    return min(plain, made, key=_bits)


def _plans(tables: Sequence[Ints]) -> list[_Plan]:
    """Return how tables are written; of sets of categories thousands are the same."""
    known: dict[bytes, _Plan] = {}
    found = []
    for table in tables:
        key = table.tobytes()
        if key not in known:
            known[key] = _plan(table)
        found.append(known[key])
    return found


def _gaps(numbers: Ints, first: int) -> _Plan:
    gaps = np.diff(numbers) - 1
    usual = round(float(lengths(gaps).mean())) if len(gaps) else 0
    return _Plan(size=len(numbers), first=first, gaps=gaps, usual=usual)


def _bits(plan: _Plan) -> int:
    parts = np.array([plan.odd, plan.exponent, plan.first])
    return int(lengths(plan.gaps).sum() + lengths(parts).sum())


def _signed(number: int) -> int:
    return 2 * number if number >= 0 else -2 * number - 1


def _unsigned(number: int) -> int:
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def _multiplied(multiples: Ints, odd: int, exponent: int) -> Ints:
    """Return the keys of multiples of a step."""
    exact = np.ldexp(multiples.astype(np.float64) * odd, exponent)
    return keys_of(exact.astype(np.float32))


def code_tables(coder: Coder, tables: Sequence[Ints] | None, count: int, most: int) -> list[Ints]:
    """Code ``count`` tables of distinct keys, each increasing; a reader is given None.

    Raises
    ------
    BundleError
        When tables that are read have more than ``most`` keys in all, or numbers that no
        float32 has.
    """
    plans = None if tables is None else _plans(tables)

    def told(name: str, which: Ints | slice = slice(None)) -> Ints | None:
        if plans is None:
            return None
        return np.array([getattr(plan, name) for plan in plans], np.int64)[which]

    one = np.zeros(count, np.int64)
    size = quantities(coder, Counts(1, 33), one, told("size"))
    beside = np.stack(
        [
            adaptive(coder, [(Counts(1, 2), one)], told(name))
            for name in ("negative", "above", "below")
        ],
        axis=1,
    )
    kind = adaptive(coder, [(Counts(1, 2), one)], told("stepped"))
    if size.sum() + beside.sum() > most:
        raise _damaged("are too long")
    which = np.flatnonzero(kind)
    odd = quantities(coder, Counts(1, 33), one[which], told("odd", which))
    exponent = quantities(coder, Counts(1, 33), one[which], told("exponent", which))
    filled = np.flatnonzero(size)
    first = quantities(coder, Counts(2, 33, 4), kind[filled], told("first", filled))
    usual = adaptive(coder, [(Counts(2, 33, 4), kind[filled])], told("usual", filled))
    inner = size[filled] - 1
    gaps = None if plans is None else np.concatenate([one[:0], *(p.gaps for p in plans)])
    gaps = quantities(coder, Counts(33, 33, 4), np.repeat(usual, inner), gaps)
    if tables is not None:
        return list(tables)
    parts = dict(zip(filled.tolist(), np.split(gaps, np.cumsum(inner)[:-1]), strict=False))
    starts = dict(zip(filled.tolist(), first.tolist(), strict=True))
    steps = dict(
        zip(which.tolist(), zip(odd.tolist(), exponent.tolist(), strict=True), strict=True)
    )
    near = keys_of(NEAR_ZERO)
    return [
        np.sort(
            np.concatenate(
                [
                    _read(starts.get(i), parts.get(i), steps.get(i)),
                    near[beside[i] > 0],
                ]
            )
        )
        for i in range(count)
    ]


def _read(start: int | None, gaps: Ints | None, step: tuple[int, int] | None) -> Ints:
    """Return a table's keys from what a file says of it; hostile numbers are an error."""
    if start is None or gaps is None:
        return np.empty(0, np.int64)
    start = start if step is None else _unsigned(start)
    numbers = np.cumsum(np.concatenate([[start], gaps + 1]))
    if step is None:
        if numbers[-1] >= _KEYS:
            raise _damaged("leave float32")
        return numbers
    odd, exponent = step[0], _unsigned(step[1])
    ends = [abs(int(numbers[0])), abs(int(numbers[-1]))]
    if abs(exponent) > _EXPONENT or max(ends) * odd >= 1 << 53:
        raise _damaged("leave float32")
    if math.ldexp(max(ends) * odd, exponent) > _LARGEST:
        raise _damaged("leave float32")
    return _multiplied(numbers, odd, exponent)


def _damaged(how: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: its tables of numbers {how}. {DAMAGED}")
