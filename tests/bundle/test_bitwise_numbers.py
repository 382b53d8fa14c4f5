from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raymm.bundle.bitwise import Coder
from raymm.bundle.bitwise_numbers import Numbers, slopes, widths

DTYPES = [np.dtype(one) for one in ("f2", "f4", "f8", "i1", "u1", "i4", "i8", "?")]


def write(arrays):
    numbers = Numbers(Coder(most=1 << 24))
    for one in arrays:
        assert numbers.code("c", one.dtype, len(one), one).tobytes() == one.tobytes()
    return numbers.coder.finish()


def read(data, like):
    numbers = Numbers(Coder(data, most=1 << 24))
    found = [numbers.code("c", one.dtype, len(one), None) for one in like]
    numbers.coder.finish()
    return found


def require_back(arrays):
    data = write(arrays)
    for one, other in zip(read(data, arrays), arrays, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    return len(data)


@given(st.data())
def test_numbers_come_back_bit_for_bit(data):
    arrays = st.sampled_from(DTYPES).flatmap(lambda one: hnp.arrays(one, st.integers(0, 12)))
    require_back(data.draw(st.lists(arrays, max_size=3)))


def test_short_numbers_take_few_bytes():
    drawn = np.random.default_rng(0)
    decimals = np.sort(drawn.integers(0, 80, 30) / 10).astype(np.float32)
    steps = (drawn.integers(-200, 200, 30) / 256).astype(np.float32)
    assert require_back([decimals]) < 20
    assert require_back([decimals.astype(np.float64)]) < 20
    assert require_back([steps]) < 50
    assert require_back([drawn.normal(size=30).astype(np.float32)]) < 4 * 30


def test_a_broken_line_is_told_by_its_ends_and_rises():
    drawn = np.random.default_rng(1)
    ends = np.cumsum(drawn.integers(1, 5, 25) / 10).astype(np.float32).astype(np.float64)
    wide = widths(ends)
    steep = slopes([int(one) for one in drawn.integers(1, 40, 24)], 8, wide)
    knots = require_back([ends[:-1]])
    assert require_back([ends[:-1], wide]) <= knots + 4
    assert require_back([ends[:-1], wide, steep]) <= knots + 4 + 24
    uneven = np.random.default_rng(2).normal(size=24)
    require_back([ends[:-1], uneven, uneven])


def test_numbers_of_other_types_are_refused():
    for kind in ("c8", "u8", "U3"):
        with pytest.raises(ValueError, match="must be whole or float"):
            write([np.zeros(2, kind)])
