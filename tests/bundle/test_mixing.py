"""Several contexts together tell a symbol in fewer bits, and a reader expects the very same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle import mixing
from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.mixing import Context, Mixture


def told(seed: int, symbols: int, count: int):
    """Return symbols that two contexts tell in part, and the contexts."""
    random = np.random.default_rng(seed)
    one, two = random.integers(0, 7, count), random.integers(0, 5, count)
    noise = random.integers(0, symbols, count)
    kept = random.uniform(size=count)
    found = np.where(kept < 0.4, one, np.where(kept < 0.8, two, noise)) % symbols
    return found, [one, two, one * 5 + two]


def mixture(coder, symbols, count=3, **how):
    contexts = [Context(rows=7), Context(rows=5, trust=2), Context(rows=35, lately=20)]
    return Mixture(coder, symbols, 3, contexts[:count], **how)


def written(found, contexts, symbols, lanes, within=None, **how) -> bytes:
    coder = Writer(lanes)
    base = np.arange(len(found)) % 3
    mixture(coder, symbols, len(contexts), **how).code(base, contexts, found, within=within)
    return coder.finish()


@pytest.mark.slow
@given(
    seed=st.integers(0, 99),
    symbols=st.sampled_from([1, 2, 9, 256]),
    count=st.integers(0, 300),
    lanes=st.sampled_from([1, 4, 64]),
    spread=st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=40, deadline=None)
def test_symbols_come_back(seed, symbols, count, lanes, spread):
    found, contexts = told(seed, symbols, count)
    within = np.maximum(found - 3, 0), np.minimum(found + 2, symbols)
    data = written(found, contexts, symbols, lanes, within, prior=4.0, spread=spread)
    coder = Reader(data, lanes)
    made = mixture(coder, symbols, prior=4.0, spread=spread)
    back = made.code(np.arange(count) % 3, contexts, None, within=within)
    coder.finish()
    assert np.array_equal(back, found)


@pytest.mark.slow
def test_contexts_that_tell_make_fewer_bytes():
    found, contexts = told(0, 40, 8000)
    noise = [np.random.default_rng(1).permutation(one) for one in contexts]
    share = np.bincount(found) / len(found)
    alone = -(share @ np.log2(share, where=share > 0, out=np.zeros(len(share)))) * len(found) / 8
    assert len(written(found, contexts, 40, 4)) < 0.85 * alone
    # Contexts that tell nothing cost little, as their weights are learnt.
    assert len(written(found, noise, 40, 4)) < 1.06 * alone


def test_one_symbol_takes_nothing():
    assert written(np.zeros(50, np.int64), told(0, 1, 50)[1], 1, 1) == Writer(1).finish()


def test_rows_are_shared_where_there_are_many():
    made = Mixture(Writer(1), 256, 1, [Context(rows=1 << 40)])
    assert made.table.shape == (mixing.ENTRIES // 256, 256)
    found = np.arange(200) % 256
    made.code(0 * found, [found * (1 << 30)], found)


@pytest.mark.parametrize("lately", [0, 30])
def test_what_was_seen_lately_counts_where_the_rest_is_forgotten(lately):
    coder = Writer(1)
    made = Mixture(coder, 4, 1, [Context(rows=1, lately=lately)])
    found = np.repeat([0, 3], 400)
    made.code(0 * found, [0 * found], found)
    zero, three = made.table[0, [0, 3]]
    assert (zero < three / 50) == (lately > 0)
    assert made.sights[0] == made.table[0].sum()
