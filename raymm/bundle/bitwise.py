"""Yes and no, each written with about as many bits as it surprises: for files of a few thousand.

What is expected of an answer is what each of several contexts saw, mixed by weights that are
learnt (logistic mixing: Mahoney 2005, "Adaptive weighing of context models for lossless data
compression"), and is then coded by an arithmetic coder with 32 bits of range. All numbers are
integers, so that a reader on any machine expects the same. It is Python, at some ten microseconds
an answer: `raymm.bundle.entropy` is for what is large.

A `Coder` writes where it is told the answers, and tells them where it reads. So a model is one
function that goes the same way in both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence

from raymm.bundle.parts import DAMAGED
from raymm.errors import BundleError

LONGEST = 64
"""Bits of a number at most."""
_FULL = (1 << 32) - 1
_CURVE = (1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047)
"""The logistic curve at -8, -7.5, … 0, of 4096."""
_STEEPEST = 2047
"""Of logarithms of odds, which have 8 bits behind the point."""
_CLASSES = (0, 1, 2, 3, 3, *[4] * 5, *[5] * 241)
"""A context's weight depends on how often it was seen."""
_KINDS = 6
_ONE, _MOST = 1 << 16, (1 << 16) - 1
_PATIENCE = 250
_UNSEEN = (_ONE // 2, 0)
_ZEROS = 8
"""Bytes that a reader may be ahead of what it was given."""


def _squash(odds: int) -> int:
    """Return the probability, of 2^16, whose odds have this logarithm.

    >>> _squash(0), _squash(-2047), _squash(2047)
    (32752, 16, 65520)
    """
    if odds > 0:
        return _ONE - max(_squash(-odds), 16)
    place, rest = divmod(odds + 2048, 128)
    return (_CURVE[place] * 16 * (128 - rest) + _CURVE[min(place + 1, 16)] * 16 * rest) >> 7


_SQUASHED = [_squash(odds) for odds in range(-_STEEPEST, _STEEPEST + 1)]
_STRETCHED = [
    min(bisect_left(_SQUASHED, 16 * p + 8), 2 * _STEEPEST) - _STEEPEST for p in range(4096)
]
_RATES = [655360 // (10 * seen + 16) for seen in range(_PATIENCE + 1)]
_FIRST = {1: (0, 1.0, 1.0, 1.0, 1.0, 1.0), 2: (0, 0.6, 0.6, 0.65, 0.7, 0.7)}
_MORE = (0, 0.45, 0.45, 0.5, 0.55, 0.6)


class Coder:
    """Codes answers; told them it writes, else it reads them from ``data``.

    Parameters
    ----------
    data : bytes, optional
        What a coder wrote that went the same way.
    most : int
        Answers it codes at most, so that a file of few bytes does not take a reader long.
    like : Coder, optional
        One whose experience it begins with.
    """

    def __init__(
        self, data: bytes | None = None, *, most: int = 1 << 20, like: Coder | None = None
    ) -> None:
        self._table: dict[Hashable, list[int]] = {}
        self._weights: dict[Hashable, list[int]] = {}
        # Copied as it is needed: most of what was seen is not asked for again.
        self._known: dict[Hashable, list[int]] = {}
        if like is not None:
            self._known = {**like._known, **like._table}
            self._weights = {key: [*held] for key, held in like._weights.items()}
        self.trains = False
        self.go_on(data, most=most)

    def go_on(self, data: bytes | None = None, *, most: int = 1 << 20) -> None:
        """Begin a new stream with the experience of the one before."""
        self.reads = data is not None
        self._low, self._high, self._left = 0, _FULL, most
        self._written = bytearray()
        self._data, self._place, self._code = data or b"", 4, 0
        if data is not None:
            self._code = int.from_bytes(data[:4].ljust(4, b"\0"), "big")

    def bit(self, contexts: Sequence[Hashable], told: int | None = None) -> int:
        """Code 0 or 1; the first context names the place in the model, and is one itself."""
        self._left -= 1
        if self._left < 0:
            raise damaged("takes longer than anything a writer leaves")
        weights = self._weights.get(contexts[0])
        if weights is None:
            first = _FIRST.get(len(contexts), _MORE)
            weights = [int(_ONE * one) for one in first] * len(contexts)
            self._weights[contexts[0]] = weights
        table, known = self._table, self._known
        seen, total, at = [], 0, 0
        for context in contexts:
            slot = table.get(context)
            if slot is None:
                slot = table[context] = [*known.get(context, _UNSEEN)]
            share, count = slot
            odds = _STRETCHED[share >> 4]
            place = at + _CLASSES[count]
            total += weights[place] * odds
            seen.append((slot, place, odds))
            at += _KINDS
        total >>= 16
        if not -_STEEPEST <= total <= _STEEPEST:
            total = _STEEPEST if total > 0 else -_STEEPEST
        share = _SQUASHED[total + _STEEPEST]
        answer = self._coded(share, told)
        aim = _MOST if answer else 0
        error = (_ONE if answer else 0) - share
        for slot, place, odds in seen:
            weights[place] += (odds * error) >> 13
            slot[0] += ((aim - slot[0]) * _RATES[slot[1]]) >> 16
            if slot[1] < _PATIENCE:
                slot[1] += 1
        return answer

    def even(self, bits: int, told: int | None = None) -> int:
        """Code a number of so many bits, all equally likely."""
        found = 0
        for place in reversed(range(bits)):
            self._left -= 1
            found = 2 * found + self._coded(_ONE // 2, None if told is None else told >> place & 1)
        return found

    def number(self, context: Sequence[Hashable], told: int | None = None) -> int:
        """Code a number of at least 0 and `LONGEST` bits: their count, then those that matter."""
        length = None if told is None else told.bit_length()
        count = 0
        while self.bit(
            [(one, "length", count) for one in context], None if length is None else length > count
        ):
            count += 1
            if count > LONGEST:
                raise damaged("has a number that is too large")
        found = min(count, 1)
        for place in reversed(range(count - 1)):
            bit = None if told is None else told >> place & 1
            if count - place <= _FINE:
                known = count, found
                found = 2 * found + self.bit([(one, known) for one in context], bit)
            else:
                return found << place + 1 | self.even(
                    place + 1, None if told is None else told & (2 << place) - 1
                )
        return found

    def signed(self, context: Sequence[Hashable], told: int | None = None) -> int:
        """Code a number that may be below 0."""
        size = self.number(context, None if told is None else abs(told))
        if not size:
            return 0
        sign = [(one, "sign") for one in context]
        return -size if self.bit(sign, None if told is None else told < 0) else size

    def among(self, context: Sequence[Hashable], bits: int, told: int | None = None) -> int:
        """Code one of 2^bits symbols."""
        found = 1
        for place in reversed(range(bits)):
            bit = None if told is None else told >> place & 1
            found = 2 * found + self.bit([(one, found) for one in context], bit)
        return found - (1 << bits)

    def _coded(self, share: int, told: int | None) -> int:
        if self.trains:
            return int(told or 0)
        middle = self._low + ((self._high - self._low) * share >> 16)
        answer = told if told is not None else int(self._code <= middle)
        if answer:
            self._high = middle
        else:
            self._low = middle + 1
        while not (self._low ^ self._high) & 0xFF000000:
            if self.reads:
                self._pull()
            else:
                self._written.append(self._high >> 24)
            self._low = self._low << 8 & _FULL
            self._high = (self._high << 8 & _FULL) | 255
        return int(answer)

    def _pull(self) -> None:
        if self._place >= len(self._data) + _ZEROS:
            raise damaged("ends too early")
        byte = self._data[self._place] if self._place < len(self._data) else 0
        self._code = (self._code << 8 & _FULL) | byte
        self._place += 1

    def finish(self) -> bytes:
        """Return what was written, less up to four zeros; check that all of it was read."""
        if self.reads:
            if self._place < len(self._data):
                raise damaged("goes on after its end")
            return b""
        for kept in range(5):
            mask = _FULL >> 8 * kept
            last = self._high & ~mask & _FULL
            if last >= self._low:
                self._written += last.to_bytes(4, "big")[:kept]
                break
        zeros = len(self._written) - len(self._written.rstrip(b"\0"))
        return bytes(self._written[: len(self._written) - min(zeros, _ZEROS // 2)])


_FINE = 4
"""Bits of a number, from the highest on, that contexts know; the others are even."""


def damaged(reason: str) -> BundleError:
    """Return what a reader raises whose bytes no writer left."""
    return BundleError(f"the bundle file is damaged: a part of it {reason}. {DAMAGED}")
