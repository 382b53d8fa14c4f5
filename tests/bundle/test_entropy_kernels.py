"""Machine code codes what `raymm.bundle.entropy` codes, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numba")

from raymm.bundle import entropy_kernels
from raymm.bundle.counts import FEW, Counts
from raymm.bundle.entropy import Reader, Writer, adaptive, quantities, uniform
from raymm.errors import BundleError


def _model(coder, seed, told):
    """Code numbers as trees are: by several counts, within bounds, and some all alike."""
    random = np.random.default_rng(seed)
    symbols, length = int(random.integers(2, 257)), int(random.integers(0, 700))
    low = random.integers(0, symbols, length)
    within = (low, low + random.integers(0, symbols + 1, length)) if seed % 2 else None
    found = []
    for number in range(1, FEW + 1):
        seen = [
            (
                Counts(3, symbols, int(random.integers(1, 30)), int(random.integers(0, 3))),
                random.integers(-3, 3, length),
            )
            for _ in range(number)
        ]
        base = int(random.integers(0, 9))
        given = random.integers(0, symbols, length)
        found.append(adaptive(coder, seen, told(given), base=base, within=within))
    sizes = random.integers(1, 1 << 20, length)
    found.append(uniform(coder, sizes, told(random.integers(0, 1 << 20, length) % sizes)))
    many = random.integers(0, 1 << 30, length)
    found.append(quantities(coder, Counts(1, 33), many * 0, told(many)))
    return np.concatenate(found)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 7, 64, 256]))
@settings(max_examples=20, deadline=None)
def test_the_bytes_are_the_same_and_come_back_either_way(seed, lanes):
    slow, fast = Writer(lanes), Writer(lanes, fast=True)
    assert fast.kernels is entropy_kernels
    expected = _model(slow, seed, lambda given: given)
    assert np.array_equal(_model(fast, seed, lambda given: given), expected)
    data = slow.finish()
    assert fast.finish() == data
    for made in (False, True):
        reader = Reader(data, lanes, fast=made)
        assert np.array_equal(_model(reader, seed, lambda _: None), expected)
        reader.finish()


@pytest.mark.parametrize("fast", [False, True])
def test_bytes_that_end_too_early_are_refused(fast):
    told = np.random.default_rng(0).integers(0, 200, 500)
    writer = Writer(4, fast=True)
    adaptive(writer, [(Counts(1, 200), told * 0)], told)
    reader = Reader(writer.finish()[:-40], 4, fast=fast)
    with pytest.raises(BundleError, match="end too early"):
        adaptive(reader, [(Counts(1, 200), told * 0)], None)


@pytest.mark.parametrize("symbol", [5, 300, -1])
def test_a_symbol_that_there_is_not_is_refused(symbol):
    with pytest.raises(IndexError, match="from 0 to 4"):
        adaptive(Writer(4, fast=True), [(Counts(1, 5), np.array([0]))], np.array([symbol]))
