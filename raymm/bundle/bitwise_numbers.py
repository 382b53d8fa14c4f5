"""The numbers of a small tensor, told by the shortest of a few forms.

*Short*: whole numbers times a power of two or ten, by their differences where they rise. *Bits*:
exponents, and as many bits of the fraction as the longest takes. Two are of broken lines
(`raymm.features.normal_score`): widths of pieces whose ends are known but for the last, and slopes,
which are whole numbers times a power of two by the widths. Which one is tried out by what it would
take; what is read back has the same bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.bitwise import Coder, damaged

Array = npt.NDArray[Any]
_BITS, _TWOS, _TENS, _WIDTHS, _SLOPES, _WHOLE = range(6)
_LARGEST = 1 << 40
"""Of whole numbers that a power stands beside."""
_TWO, _TEN = range(-30, 31), range(10)
_PARTS = {2: (np.uint16, 5, 10), 4: (np.uint32, 8, 23), 8: (np.uint64, 11, 52)}
"""Of a float: unsigned numbers of its width, bits of its exponent, and of its fraction."""


class Numbers:
    """Codes tensors' numbers; those of a broken line are told by those before."""

    def __init__(self, coder: Coder) -> None:
        self.coder = coder
        self._before: list[Array] = []

    def code(self, context: Hashable, dtype: Any, count: int, told: Array | None) -> Array:
        """Code an array of one side.

        Raises
        ------
        ValueError
            When the numbers are of a type that is not coded.
        """
        if dtype.kind == "f" and dtype.itemsize in _PARTS:
            alike = [one for one in self._before if len(one) == count and one.dtype == dtype][-2:]
            found = self._floats(context, dtype, count, told, alike)
            self._before = [*self._before[-3:], found]
            return found
        if dtype.kind not in "iub" or dtype.itemsize > 8 or dtype == np.uint64:
            raise ValueError(f"numbers must be whole or float32 or float64, but are {dtype}")
        whole = None if told is None else [int(one) for one in told]
        return _held(self._whole((context, "whole"), count, whole), dtype)

    def _floats(
        self,
        context: Hashable,
        dtype: Any,
        count: int,
        told: Array | None,
        alike: Sequence[Array],
    ) -> Array:
        form, parts = (None, None) if told is None else _best(told, alike)
        form = self.coder.among([("numbers", context), ("numbers", dtype.str, count > 1)], 3, form)
        here = context, form
        if form in (_TWOS, _TENS):
            return self._powers(here, dtype, count, form, parts)
        if form == _WIDTHS and alike:
            end = None if parts is None else parts[0]
            last = self._floats((context, "end"), dtype, 1, end, ())
            return widths(np.append(alike[-1], last))
        if form == _SLOPES and len(alike) > 1:
            power, rises = parts or (None, None)
            power = self.coder.number([("power", here)], power)
            found = self._whole(here, count, rises)
            if power > _TWO[-1]:
                raise damaged("has a power that is too large")
            return slopes(found, power, alike[-1])
        if form != _BITS:
            raise damaged("has numbers in no form")
        return self._bits(here, dtype, count, told)

    def _powers(self, here: Hashable, dtype: Any, count: int, form: int, told: Any) -> Array:
        power, whole = told or (None, None)
        power = self.coder.signed([("power", here), ("power", form)], power)
        found = self._whole(here, count, whole)
        if abs(power) > _TWO[-1] or (form == _TENS and power not in _TEN):
            raise damaged("has a power that is too large")
        return _from_whole(found, power, form, dtype)

    def _whole(self, here: Hashable, count: int, told: Sequence[int] | None) -> list[int]:
        """Code whole numbers, by their differences where none is below the one before."""
        rising = None if told is None else int(count > 1 and _rises(told))
        if count > 1:
            rising = self.coder.bit([("rising", here)], rising)
        found = list[int]()
        for place in range(count):
            given = None if told is None else told[place]
            if rising and place:
                more = self.coder.number(
                    [("more", here), ("more", here, min(place, 2))],
                    None if given is None else given - found[-1],
                )
                found.append(found[-1] + more)
            else:
                size = found[-1].bit_length() if found else -1
                contexts = [("size", here), ("size", here, size)]
                found.append(self.coder.signed(contexts, given))
            if abs(found[-1]) >= 1 << 64:
                raise damaged("has a number that is too large")
        return found

    def _bits(self, here: Hashable, dtype: Any, count: int, told: Array | None) -> Array:
        kind, exponents, fraction = _PARTS[dtype.itemsize]
        whole = None if told is None else [int(one) for one in told.view(kind)]
        kept = None if whole is None else max((_kept(one, fraction) for one in whole), default=0)
        kept = self.coder.among([("kept", here)], 6, kept)
        if kept > fraction:
            raise damaged("has a fraction that is too long")
        found, last = list[int](), 0
        for place in range(count):
            given = None if whole is None else whole[place]
            sign = self.coder.bit(
                [("minus", here)], None if given is None else given >> 8 * dtype.itemsize - 1
            )
            power = self.coder.among(
                [("exponent", here), ("exponent", here, last)],
                exponents,
                None if given is None else given >> fraction & (1 << exponents) - 1,
            )
            rest = self.coder.even(
                kept, None if given is None else (given & (1 << fraction) - 1) >> fraction - kept
            )
            last = power
            found.append(((sign << exponents | power) << kept | rest) << fraction - kept)
        return np.array(found, kind).view(dtype)


def widths(ends: Array) -> Array:
    """Return how far apart numbers of shape (k + 1,) are."""
    with np.errstate(all="ignore"):
        return ends[1:] - ends[:-1]


def slopes(rises: Sequence[int], power: int, wide: Array) -> Array:
    """Return rises, whole numbers by 2^power, a width each."""
    with np.errstate(all="ignore"):
        found: Array = np.array(rises, np.float64) / 2.0**power / wide
        return found.astype(wide.dtype)


def _best(told: Array, alike: Sequence[Array]) -> tuple[int, Any]:
    """Return the form that takes least, as far as that is seen, and what it holds."""
    made: list[tuple[int, int, Any]] = [(_size_of_bits(told), _BITS, None)]
    for form, powers in ((_TENS, _TEN), (_TWOS, _TWO)):
        for power in powers:
            whole = _as_whole(told, power, form)
            if whole is not None:
                made.append((_size(whole), form, (power, whole)))
                break
    if alike and (end := _end_of(told, alike[-1])) is not None:
        made.append((_best_size(end), _WIDTHS, (end,)))
    if len(alike) > 1 and (rises := _rises_of(told, alike[-1])) is not None:
        made.append((_size(rises[1]), _SLOPES, rises))
    _, form, parts = min(made, key=lambda one: one[:2])
    return form, parts


def _best_size(told: Array) -> int:
    whole = (_as_whole(told, power, _TENS) for power in _TEN)
    return min((_size(one) for one in whole if one is not None), default=_size_of_bits(told))


def _as_whole(told: Array, power: int, form: int) -> list[int] | None:
    """Return whole numbers that a power makes these; None where it does not."""
    with np.errstate(all="ignore"):
        scaled = told.astype(np.float64) * (2.0**power if form == _TWOS else 10.0**power)
        whole = np.rint(scaled)
        if not (np.abs(whole) < _LARGEST).all():
            return None
        found = [int(one) for one in whole]
        made = _from_whole(found, power, form, told.dtype)
    return found if made.tobytes() == told.tobytes() else None


def _from_whole(whole: Sequence[int], power: int, form: int, dtype: Any) -> Array:
    """Return whole numbers by a power; by one of ten rounded to float32, as tables hold them."""
    with np.errstate(all="ignore"):
        if form == _TWOS:
            return (np.array(whole, np.float64) / 2.0**power).astype(dtype)
        return (np.array(whole, np.float64) / 10.0**power).astype(np.float32).astype(dtype)


def _held(whole: Sequence[int], dtype: Any) -> Array:
    try:
        return np.array(whole, np.int64).astype(dtype)
    except OverflowError as error:
        raise damaged("has a number that is too large") from error


def _end_of(told: Array, knots: Array) -> Array | None:
    """Return where the last piece ends of which these are the widths; None where they are not."""
    with np.errstate(all="ignore"):
        end = (knots[-1:] + told[-1:]).astype(np.float32).astype(told.dtype)
        for one in (end, knots[-1:] + told[-1:]):
            if widths(np.append(knots, one)).tobytes() == told.tobytes():
                return one
    return None


def _rises_of(told: Array, wide: Array) -> tuple[int, list[int]] | None:
    """Return the power and the whole numbers by which pieces of such widths have these slopes."""
    for power in range(4, 17):
        with np.errstate(all="ignore"):
            whole = np.rint(told.astype(np.float64) * wide.astype(np.float64) * 2.0**power)
        if not (np.abs(whole) < _LARGEST).all():
            return None
        rises = [int(one) for one in whole]
        if slopes(rises, power, wide).tobytes() == told.tobytes():
            return power, rises
    return None


def _rises(whole: Sequence[int]) -> bool:
    return all(a <= b for a, b in pairwise(whole))


def _size(whole: Sequence[int]) -> int:
    """Return about how many bits whole numbers take."""
    if len(whole) > 1 and _rises(whole):
        whole = [whole[0], *(b - a for a, b in pairwise(whole))]
    return sum(2 + abs(one).bit_length() for one in whole)


def _size_of_bits(told: Array) -> int:
    kind, _, fraction = _PARTS[told.dtype.itemsize]
    kept = max((_kept(int(one), fraction) for one in told.view(kind)), default=0)
    return len(told) * (5 + kept)


def _kept(number: int, fraction: int) -> int:
    """Return how many bits of a float's fraction are not 0 at its end."""
    rest = number & (1 << fraction) - 1
    return fraction - ((rest & -rest).bit_length() - 1) if rest else 0
