"""Machine code codes what `raymm.bundle.mixing` codes, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from raymm.bundle import mixing_kernels
from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.mixing import Context, Mixture
from raymm.errors import BundleError


def _model(coder, seed, told):
    """Code symbols in two calls, by contexts of which some forget, within bounds or without."""
    random = np.random.default_rng(seed)
    symbols, lately = int(random.integers(2, 257)), int(random.integers(0, 40))
    contexts = [Context(rows=7), Context(rows=5, trust=2.0, lately=lately)]
    contexts += [Context(rows=10_000, trust=32.0, lately=8)] * int(random.integers(0, 3))
    prior, spread = random.integers(1, 9) / 2, random.integers(0, 3) / 2
    mixture = Mixture(coder, symbols, 3, contexts, prior=prior, spread=spread)
    found = []
    for bounded in (False, True):
        length = int(random.integers(0, 700))
        low = random.integers(0, symbols, length)
        within = (low, low + random.integers(0, symbols + 1, length)) if bounded else None
        places = [random.integers(0, one.rows, length) for one in contexts]
        given = (places[0] + random.integers(0, 2, length)) % symbols
        base = random.integers(0, 3, length)
        found.append(mixture.code(base, places, told(given), within=within))
    assert (mixture.kernels is not None) == (coder.kernels is not None)
    return np.concatenate(found)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 64, 256]))
@settings(max_examples=5, deadline=None)
def test_the_bytes_are_the_same_and_come_back_either_way(seed, lanes):
    slow, fast = Writer(lanes), Writer(lanes, fast=True)
    expected = _model(slow, seed, lambda given: given)
    assert np.array_equal(_model(fast, seed, lambda given: given), expected)
    data = slow.finish()
    assert fast.finish() == data
    for made in (False, True):
        reader = Reader(data, lanes, fast=made)
        assert np.array_equal(_model(reader, seed, lambda _: None), expected)
        reader.finish()


def test_bytes_that_end_too_early_are_refused():
    told = np.random.default_rng(0).integers(0, 200, 500)
    given = (told * 0, [told * 0], told)
    writer = Writer(4, fast=True)
    Mixture(writer, 200, 1, [Context(rows=1)]).code(*given)
    reader = Reader(writer.finish()[:-40], 4, fast=True)
    mixture = Mixture(reader, 200, 1, [Context(rows=1)])
    assert mixture.kernels is mixing_kernels
    with pytest.raises(BundleError, match="end too early"):
        mixture.code(*given[:2], None)


def test_a_base_context_that_there_is_not_is_refused():
    mixture = Mixture(Writer(4, fast=True), 9, 2, [Context(rows=1)])
    some = np.array([0, 2])
    with pytest.raises(IndexError, match="from 0 to 1"):
        mixture.code(some, [some * 0], some)


def test_bounds_of_fewer_symbols_are_refused():
    mixture = Mixture(Writer(4, fast=True), 9, 1, [Context(rows=1)])
    some = np.zeros(3, np.int64)
    with pytest.raises(IndexError, match="as many symbols"):
        mixture.code(some, [some], some, within=(some[:2], some[:2]))
