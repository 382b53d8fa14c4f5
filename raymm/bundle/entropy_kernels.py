"""The steps of `raymm.bundle.entropy` in machine code, by numba; needs the extra ``fast``.

What is expected of a symbol takes a pass over as many numbers as there are symbols, for each node
of an ensemble several times: numpy makes arrays of 256 by 256 of them for each step. In machine
code an ensemble of 230,000 nodes is coded in a fifth of the time, to the same bytes.

Nothing is checked here; see `raymm.bundle.jit`.
"""

from __future__ import annotations

import numpy as np

from raymm.bundle.jit import Arrays, compiled, inlined

TOTAL = 1 << 16
"""What the frequencies of a step add up to."""
NEVER = 1 << 62
"""Beyond all slots, so that the symbol alone that is sought ends the way to it."""
_BITS = 16
_SEEN = "i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[:,::1], i8[::1], i8[::1]"


@inlined
def _expected(
    t0: Arrays,
    t1: Arrays,
    t2: Arrays,
    t3: Arrays,
    contexts: Arrays,
    at: int,
    ends: tuple[int, int, int],
    weights: Arrays,
) -> int:
    """Write the weights of a symbol's step, and return what cumulative ones are multiplied by."""
    base, low, high = ends
    a, b, c, d = contexts[0, at], contexts[1, at], contexts[2, at], contexts[3, at]
    total = 0
    for symbol in range(len(weights)):
        weight = 0
        if low <= symbol < high:
            weight = base + t0[a, symbol] + t1[b, symbol] + t2[c, symbol] + t3[d, symbol]
        weights[symbol] = weight
        total += weight
    return ((TOTAL - len(weights)) << 32) // max(total, 1)


@inlined
def _see(table: Arrays, context: int, symbol: int, weight: int, spread: int) -> None:
    table[context, symbol] += weight
    if spread != 0:
        if symbol > 0:
            table[context, symbol - 1] += spread
        if symbol < table.shape[1] - 1:
            table[context, symbol + 1] += spread


@inlined
def _count(
    t0: Arrays,
    t1: Arrays,
    t2: Arrays,
    t3: Arrays,
    contexts: Arrays,
    at: int,
    symbol: int,
    added: tuple[Arrays, Arrays],
) -> None:
    weight, spread = added
    _see(t0, contexts[0, at], symbol, weight[0], spread[0])
    _see(t1, contexts[1, at], symbol, weight[1], spread[1])
    _see(t2, contexts[2, at], symbol, weight[2], spread[2])
    _see(t3, contexts[3, at], symbol, weight[3], spread[3])


@inlined
def found(weights: Arrays, share: int, sought: int, slot: int) -> tuple[int, int, int]:
    """Return the first symbol that ends beyond a slot, or ``sought``; where it begins, and ends."""
    symbol, bound, before = 0, 0, weights[0]
    end = (before * share >> 32) + 1
    while symbol < sought and end <= slot:
        symbol += 1
        bound = end
        before += weights[symbol]
        end = (before * share >> 32) + symbol + 1
    if symbol == len(weights) - 1:
        end = TOTAL
    return symbol, bound, end


@inlined
def taken(
    states: Arrays, lane: int, place: tuple[int, int, int], words: Arrays, following: int
) -> int:
    """Take a symbol from a lane; return the place of the next word, -1 where there is none."""
    slot, bound, end = place
    state = (end - bound) * (states[lane] >> _BITS) + slot - bound
    if state < TOTAL:
        if following == len(words):
            return -1
        state = (state << _BITS) | words[following]
        following += 1
    states[lane] = state
    return following


@compiled(
    f"i8({_SEEN}, i8, i8[::1], i8[::1],i8, b1, i8[::1], i8[::1], i8, i8[::1], u8[::1], u8[::1])"
)
def code(  # noqa: PLR0913, PLR0917  (what counts, what is told, where a reader stands: an array each)
    t0: Arrays,
    t1: Arrays,
    t2: Arrays,
    t3: Arrays,
    contexts: Arrays,
    weight: Arrays,
    spread: Arrays,
    base: int,
    low: Arrays,
    high: Arrays,
    lanes: int,
    reading: bool,
    states: Arrays,
    words: Arrays,
    following: int,
    symbols: Arrays,
    bounds: Arrays,
    sizes: Arrays,
) -> int:
    """Write where each symbol begins among `TOTAL`, and its size, or read symbols; see `adaptive`.

    Parameters
    ----------
    t0, t1, t2, t3 : int64, shape (contexts, s)
        What was seen; symbols are added a step later.
    contexts : int64, shape (4, n)
        Rows of the tables.
    weight, spread : int64, shape (4,)
        What a symbol adds to its own place, and to the two beside it.
    base : int
    low, high : int64, shape (n,)
        Between which symbols are expected.
    lanes : int
        Symbols in a step.
    reading : bool
    states : int64, shape (lanes,)
        A reader's, written to.
    words : int64, shape (m,)
        A reader's.
    following : int
        The place of the word that a reader takes next.
    symbols : int64, shape (n,)
        Written to by a reader.
    bounds, sizes : uint64, shape (n,)
        Written to by a writer.

    Returns
    -------
    int
        The place of the word after the last that a reader took, -1 where there are too few.
    """
    count = t0.shape[1]
    weights = np.empty(count, np.int64)
    for start in range(0, len(symbols), lanes):
        stop = min(len(symbols), start + lanes)
        for at in range(start, stop):
            ends = (base, low[at], high[at])
            share = _expected(t0, t1, t2, t3, contexts, at, ends, weights)
            lane = at - start
            slot = states[lane] & (TOTAL - 1) if reading else 0
            sought = count - 1 if reading else symbols[at]
            symbol, bound, end = found(weights, share, sought, slot if reading else NEVER)
            if reading:
                following = taken(states, lane, (slot, bound, end), words, following)
                if following < 0:
                    return -1
                symbols[at] = symbol
            else:
                bounds[at] = bound
                sizes[at] = end - bound
        for at in range(start, stop):
            _count(t0, t1, t2, t3, contexts, at, symbols[at], (weight, spread))
    return following


@compiled("i8(u8[::1], u8[::1], i8[::1], u8[::1], u8[::1])")
def finish(bounds: Arrays, sizes: Arrays, starts: Arrays, states: Arrays, words: Arrays) -> int:
    """Turn steps into states and words, from the last to the first; return how many words.

    Parameters
    ----------
    bounds, sizes : uint64, shape (n,)
        See `code`.
    starts : int64, shape (steps + 1,)
        Where steps begin, and the last one ends.
    states, words : uint64, shapes (lanes,), (n,)
        Written to; the words in the order in which they are taken off.
    """
    found = 0
    bits = np.uint64(_BITS)
    for step in range(len(starts) - 2, -1, -1):
        for at in range(starts[step + 1] - 1, starts[step] - 1, -1):
            lane = at - starts[step]
            state = states[lane]
            if state >= sizes[at] << bits:
                words[found] = state & np.uint64(TOTAL - 1)
                found += 1
                state >>= bits
            whole = state // sizes[at]
            states[lane] = (whole << bits) + (state - whole * sizes[at]) + bounds[at]
    return found
