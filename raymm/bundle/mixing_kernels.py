"""The steps of `raymm.bundle.mixing` in machine code, by numba; needs the extra ``fast``.

Each does what `Mixture` does in numpy, in the same integers and the same roundings of float32, so
the bytes are the same. Names are those of its methods and attributes.

Nothing is checked here; see `raymm.bundle.jit`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from raymm.bundle.entropy_kernels import NEVER, TOTAL, found, taken
from raymm.bundle.jit import Arrays, compiled, inlined

_SIGHTS = 6
_WEIGHT = 12
_DEEP = 20
_SHIFT = 15
_POINT = 23 - _SHIFT
_ONE = 0x3F800000
_RATE = 4
_LEAP = 160
_STEEP = 8 << _POINT
_SHARE = 12
_LARGEST = 1 << 13


class Said(NamedTuple):
    """What contexts say of a symbol: room that each symbol writes anew.

    Attributes
    ----------
    seen, more : float32, shape (s,)
        How often the base saw each symbol, and all of them for each.
    shares : float32, shape (k, s)
    total : int32, shape (s,)
    weights : int64, shape (s,)
        What the symbols' cumulative bounds are made of.
    slots : int64, shape (k,)
        The place of each context's weight.
    """

    seen: Arrays
    more: Arrays
    shares: Arrays
    total: Arrays
    weights: Arrays
    slots: Arrays


class Held(NamedTuple):
    """What a mixture learnt; all but ``doubt``, ``late`` and ``bits`` is written to.

    Attributes
    ----------
    base, table : float32, shapes (rows, s) and (all contexts' rows, s)
    sights, mark : int64, shape (all contexts' rows,)
        ``mark`` is the step in which a row was last halved.
    doubt : float32, shape (k,)
    weights : int32, shape (6 k,)
    own : int64, shape (3,)
        The base's weight, how many steps were made, and the pace.
    late : int64, shape (k,)
        Sights after which all are halved, 0 where none are.
    bits : int64
        The slot of each number of sights.
    """

    base: Arrays
    table: Arrays
    sights: Arrays
    mark: Arrays
    doubt: Arrays
    weights: Arrays
    own: Arrays
    late: Arrays
    bits: Arrays


_HELD = "f4[:,::1], f4[:,::1], i8[::1], i8[::1], f4[::1], i4[::1], i8[::1], i8[::1], i8[::1]"
_GIVEN = "f4[::1], i8[::1], i8[:,::1], i8[:,::1], i8"


@inlined
def _room(contexts: int, symbols: int) -> Said:
    return Said(
        np.empty(symbols, np.float32),
        np.empty(symbols, np.float32),
        np.empty((contexts, symbols), np.float32),
        np.empty(symbols, np.int32),
        np.empty(symbols, np.int64),
        np.empty(contexts, np.int64),
    )


@inlined
def _between(bound: int, least: int, most: int) -> int:
    return min(max(bound, least), most)


@inlined
def _expected(
    held: Held, said: Said, prior: float, row: int, places: Arrays, ends: tuple[int, int]
) -> int:
    """Write the weights of a symbol, and return what cumulative ones are multiplied by."""
    symbols, own = len(said.seen), held.own[0]
    low, high = ends
    whole = np.float32(0)
    for symbol in range(symbols):
        said.seen[symbol] = held.base[row, symbol] + prior
        whole += said.seen[symbol]
    usual = said.seen.view(np.int32)
    for symbol in range(symbols):
        said.more[symbol] = whole / said.seen[symbol]
        usual[symbol] = (usual[symbol] - _ONE) >> _SHIFT
        said.total[symbol] = np.int32(usual[symbol] * own)
    logarithms = said.shares.view(np.int32)
    for context in range(len(places)):
        place = places[context]
        slot = context * _SIGHTS + held.bits[min(held.sights[place], len(held.bits) - 1)]
        said.slots[context] = slot
        scale, doubt = held.weights[slot], held.doubt[context]
        for symbol in range(symbols):
            share = held.table[place, symbol] * doubt
            share *= said.more[symbol]
            said.shares[context, symbol] = share + np.float32(1)
        for symbol in range(symbols):
            logarithm = (logarithms[context, symbol] - _ONE) >> _SHIFT
            logarithms[context, symbol] = logarithm
            said.total[symbol] += np.int32(scale * logarithm)
    highest = -(1 << 31)
    for symbol in range(symbols):
        said.total[symbol] >>= _WEIGHT
        if symbol < low or symbol >= high:
            said.total[symbol] = -(1 << 24)
        highest = max(highest, said.total[symbol])
    for symbol in range(symbols):
        near = max(said.total[symbol] - highest, -(_DEEP << _POINT))
        said.total[symbol] = (near + ((127 + _DEEP) << _POINT)) << _SHIFT
    told = said.total.view(np.float32)
    total = 0
    for symbol in range(symbols):
        said.weights[symbol] = np.int64(told[symbol])
        if symbol < low or symbol >= high:
            said.weights[symbol] = 0
        total += said.weights[symbol]
    return total


@inlined
def _learn(held: Held, said: Said, total: int, symbol: int, slope: Arrays) -> int:
    """Add what would have told the symbol to the weights' slopes; return the base's."""
    ratio = (1 << _SHARE) / max(total, 1)
    symbols = len(said.seen)
    usual, logarithms = said.seen.view(np.int32), said.shares.view(np.int32)
    mean = 0
    for other in range(symbols):
        said.total[other] = np.int32(said.weights[other] * ratio)
        mean += said.total[other] * usual[other]
    least: int = _between(usual[symbol] - (mean >> _SHARE), -_STEEP, _STEEP)
    for context in range(len(said.slots)):
        mean = 0
        for other in range(symbols):
            mean += said.total[other] * logarithms[context, other]
        steep = logarithms[context, symbol] - (mean >> _SHARE)
        slope[said.slots[context]] += _between(steep, -_STEEP, _STEEP)
    return least


@inlined
def _move(held: Held, slope: Arrays, least: int) -> None:
    """Move the weights as the slopes of a step say, and empty these."""
    pace = held.own[2]
    for slot in range(len(slope)):
        change = _between(slope[slot] * _RATE // pace, -_LEAP, _LEAP)
        held.weights[slot] = _between(held.weights[slot] + change, -_LARGEST, _LARGEST)
        slope[slot] = 0
    change = _between(least * _RATE // pace, -_LEAP, _LEAP)
    held.own[0] = _between(held.own[0] + change, 0, _LARGEST)
    held.own[1] += 1


@inlined
def _see(held: Held, spread: float, row: int, places: Arrays, symbol: int) -> None:
    """Count a symbol."""
    held.base[row, symbol] += np.float32(1)
    if spread != 0:
        if symbol > 0:
            held.base[row, symbol - 1] += spread
        if symbol < held.base.shape[1] - 1:
            held.base[row, symbol + 1] += spread
    for context in range(len(places)):
        held.table[places[context], symbol] += np.float32(1)
        held.sights[places[context]] += 1


@inlined
def _forget(held: Held, places: Arrays) -> None:
    """Halve what rows of a step saw that saw more than they may, each once."""
    for context in range(len(held.late)):
        most = held.late[context]
        if most == 0:
            continue
        for at in range(len(places)):
            place = places[at, context]
            if held.sights[place] <= most or held.mark[place] == held.own[1]:
                continue
            held.mark[place] = held.own[1]
            held.sights[place] = 0
            for symbol in range(held.table.shape[1]):
                halved = np.floor(held.table[place, symbol] * np.float32(0.5))
                held.table[place, symbol] = halved
                held.sights[place] += np.int64(halved)


@compiled(f"i8({_HELD}, {_GIVEN}, b1, i8[::1], i8[::1], i8, i8[::1], u8[::1], u8[::1])")
def code(  # noqa: PLR0913, PLR0917  (what is held, what is told, where a reader stands: an array each)
    base: Arrays,
    table: Arrays,
    sights: Arrays,
    mark: Arrays,
    doubt: Arrays,
    weights: Arrays,
    own: Arrays,
    late: Arrays,
    bits: Arrays,
    added: Arrays,
    rows: Arrays,
    places: Arrays,
    between: Arrays,
    lanes: int,
    reading: bool,
    states: Arrays,
    words: Arrays,
    following: int,
    symbols: Arrays,
    bounds: Arrays,
    sizes: Arrays,
) -> int:
    """Do what `Mixture.code` does; return what `raymm.bundle.entropy_kernels.code` returns.

    Parameters
    ----------
    base to bits
        See `Held`.
    added : float32, shape (2,)
        The prior and the spread.
    rows : int64, shape (n,)
        Of the base.
    places : int64, shape (n, k)
        Rows of the contexts' table.
    between : int64, shape (n, 2)
        From which symbol on, and before which one; of shape (0, 2) where there are no bounds.
    lanes to sizes
        As `raymm.bundle.entropy_kernels.code` takes them.
    """
    held = Held(base, table, sights, mark, doubt, weights, own, late, bits)
    count = base.shape[1]
    said, slope = _room(places.shape[1], count), np.zeros(len(weights), np.int64)
    for start in range(0, len(symbols), lanes):
        stop, least = min(len(symbols), start + lanes), 0
        for at in range(start, stop):
            ends = (between[at, 0], between[at, 1]) if len(between) else (0, count)
            total = _expected(held, said, added[0], rows[at], places[at], ends)
            share = ((TOTAL - count) << 32) // max(total, 1)
            lane = at - start
            slot = states[lane] & (TOTAL - 1) if reading else 0
            sought = count - 1 if reading else symbols[at]
            symbol, bound, end = found(said.weights, share, sought, slot if reading else NEVER)
            if reading:
                following = taken(states, lane, (slot, bound, end), words, following)
                if following < 0:
                    return -1
                symbols[at] = symbol
            else:
                bounds[at] = bound
                sizes[at] = end - bound
            least += _learn(held, said, total, symbol, slope)
        _move(held, slope, least)
        for at in range(start, stop):
            _see(held, added[1], rows[at], places[at], symbols[at])
        _forget(held, places[start:stop])
    return following
