from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.tree_tables import NEAR_ZERO, code_tables, keys_of, steps_of, values_of
from raymm.errors import BundleError

FLOATS = st.floats(width=32) | st.sampled_from([*NEAR_ZERO.tolist(), -0.0, 0.5, 1.5, 2.5])


def coded(tables):
    writer = Writer(2)
    code_tables(writer, tables, len(tables), sum(map(len, tables)))
    return writer.finish()


def table(values):
    return np.unique(keys_of(np.array(values, np.float32)))


@pytest.mark.slow
@given(st.lists(st.lists(FLOATS, max_size=20), max_size=5))
def test_tables_come_back_with_every_bit(values):
    tables = [table(some) for some in values]
    reader = Reader(coded(tables), 2)
    found = code_tables(reader, None, len(tables), sum(map(len, tables)))
    reader.finish()
    assert [some.tolist() for some in found] == [some.tolist() for some in tables]


@pytest.mark.slow
@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_keys_keep_order_and_bits(values):
    numbers = np.array(values, np.float32)
    keys = keys_of(numbers)
    assert np.array_equal(values_of(keys).view(np.uint32), numbers.view(np.uint32))
    less = numbers[:-1] < numbers[1:]
    assert (np.diff(keys)[less] > 0).all()


@pytest.mark.slow
@given(st.lists(st.integers(-(2**15), 2**15), min_size=1), st.integers(1, 255), st.integers(-30, 9))
def test_multiples_of_a_step_are_found(multiples, odd, exponent):
    values = np.ldexp(np.array(multiples, np.float64) * odd, exponent).astype(np.float32)
    found = steps_of(values)
    if not values.any():
        assert found is None
        return
    numbers, step, power = found
    assert np.array_equal(np.ldexp(numbers.astype(np.float64) * step, power), values)
    assert np.gcd.reduce(numbers) == 1 or len(set(multiples)) == 1


def test_round_numbers_take_few_bits_also_beside_those_next_to_zero():
    rounds = np.arange(0.5, 200)
    small = len(coded([table(rounds)]))
    assert small < 40
    assert len(coded([table([*rounds, *NEAR_ZERO.tolist()])])) < small + 4
    random = np.random.default_rng(0).normal(size=200)
    assert len(coded([table(random)])) > 300


def test_tables_that_are_longer_than_allowed_are_an_error():
    data = coded([table(range(9))])
    with pytest.raises(BundleError, match="too long"):
        code_tables(Reader(data, 2), None, 1, 8)


@pytest.mark.slow
@given(st.binary(min_size=8, max_size=120))
@settings(max_examples=200)
def test_hostile_bytes_are_an_error_or_tables(data):
    with contextlib.suppress(BundleError):
        found = code_tables(Reader(data[: len(data) // 2 * 2], 2), None, 3, 50)
        assert sum(map(len, found)) <= 50
        for some in found:
            assert (np.diff(some) >= 0).all()
            assert ((some >= 0) & (some < 2**32)).all()
