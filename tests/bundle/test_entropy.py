from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle.counts import Counts
from raymm.bundle.entropy import Reader, Writer, adaptive, lengths, quantities, uniform
from raymm.errors import BundleError

LANES = st.sampled_from([1, 2, 7, 64])


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), LANES, st.integers(1, 256), st.integers(0, 300))
@settings(max_examples=60)
def test_symbols_come_back_whatever_is_expected(seed, lanes, symbols, length):
    random = np.random.default_rng(seed)
    told = random.integers(0, symbols, length)
    contexts = random.integers(0, 3, length)
    low = random.integers(0, symbols, length)
    high = low + random.integers(0, symbols + 1, length)

    def model(coder, told):
        seen = [(Counts(3, symbols, 5, 2), contexts), (Counts(1, symbols), contexts * 0)]
        return adaptive(coder, seen, told, within=(low, high))

    writer = Writer(lanes)
    assert np.array_equal(model(writer, told), told)
    reader = Reader(writer.finish(), lanes)
    assert np.array_equal(model(reader, None), told)
    reader.finish()


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, 2**32), st.integers(0, 2**32))), LANES)
def test_even_numbers_and_quantities_come_back(pairs, lanes):
    sizes = np.array([size for size, _ in pairs], np.int64)
    told = np.array([number % size for size, number in pairs], np.int64)
    writer = Writer(lanes)
    uniform(writer, sizes, told)
    quantities(writer, Counts(1, 33), told * 0, told)
    reader = Reader(writer.finish(), lanes)
    assert np.array_equal(uniform(reader, sizes, None), told)
    assert np.array_equal(quantities(reader, Counts(1, 33), told * 0, None), told)
    reader.finish()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_bytes_are_close_to_the_entropy(share):
    told = (np.random.default_rng(0).random(40_000) > share).astype(np.int64)
    writer = Writer(8)
    adaptive(writer, [(Counts(1, 2), told * 0)], told)
    p = told.mean()
    entropy = -len(told) * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) / 8
    # Counting from nothing costs log2(n) / 2 bits a parameter (Rissanen 1984); the lanes' states
    # cost 32 bytes, of which half hold symbols.
    assert entropy - 1 <= len(writer.finish()) <= entropy * 1.005 + 40


def test_sixteen_even_bits_take_sixteen_bits():
    told = np.random.default_rng(0).integers(0, 1 << 16, 1000)
    writer = Writer(1)
    uniform(writer, np.full(1000, 1 << 16), told)
    assert len(writer.finish()) == 4 + 2000 - 2


def test_the_documented_step_is_enough_to_read():
    writer = Writer(1)
    writer.code(np.array([[1, 3]]), np.array([1]))
    writer.code(np.array([[1, 0, 1]]), np.array([0]))
    data = writer.finish()
    state, words = int.from_bytes(data[:4], "little"), data[4:]
    for weights, symbol in (([1, 3], 1), ([1, 0, 1], 0)):
        share = ((65536 - len(weights)) << 32) // sum(weights)
        bounds = [(sum(weights[:s]) * share >> 32) + s for s in range(len(weights))] + [65536]
        slot = state & 0xFFFF
        (found,) = (s for s in range(len(weights)) if bounds[s] <= slot < bounds[s + 1])
        assert found == symbol
        state = (bounds[symbol + 1] - bounds[symbol]) * (state >> 16) + slot - bounds[symbol]
        if state < 65536:
            state, words = state << 16 | int.from_bytes(words[:2], "little"), words[2:]
    assert (state, words) == (65536, b"")


def test_words_of_zero_at_the_end_are_left_out_and_read():
    told = np.full(8, 5, np.int64)
    writer = Writer(8)
    uniform(writer, np.full(8, 1 << 16), told)
    data = writer.finish()
    assert len(data) == 4 * 8
    reader = Reader(data, 8)
    assert np.array_equal(uniform(reader, np.full(8, 1 << 16), None), told)
    reader.finish()


@given(st.binary(max_size=60), LANES)
def test_other_bytes_give_symbols_within_bounds_or_an_error(data, lanes):
    with contextlib.suppress(BundleError):
        reader = Reader(data, lanes)
        found = adaptive(reader, [(Counts(1, 5), np.zeros(50, np.int64))], None)
        assert ((found >= 0) & (found < 5)).all()
        assert (uniform(reader, np.full(9, 70_000), None) < 70_000).all()
        reader.finish()


def test_what_is_left_over_is_an_error():
    writer = Writer(1)
    uniform(writer, np.full(4, 65536), np.arange(4))
    reader = Reader(writer.finish(), 1)
    uniform(reader, np.full(3, 65536), None)
    with pytest.raises(BundleError, match="must end with the last"):
        reader.finish()


@given(st.lists(st.integers(0, 2**52)))
def test_lengths_are_those_of_python(numbers):
    found = lengths(np.array(numbers, np.int64)).tolist()
    assert found == [number.bit_length() for number in numbers]
