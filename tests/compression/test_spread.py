from __future__ import annotations

import threading

import numpy as np
import pytest

from raymm.compression.spread import ROWS, by_rows, spread


def test_parts_come_back_in_order_whatever_finishes_first():
    last = threading.Event()

    def call(part):
        if part == 0 and len(parts) > 1:
            last.wait(0.01)
        last.set()
        return part * part

    for parts in (range(0), range(1), range(9)):
        assert spread(call, parts) == [part * part for part in parts]


def test_an_error_is_told():
    with pytest.raises(ZeroDivisionError):
        spread(lambda part: 1 // part, [1, 0, 1])


@pytest.mark.parametrize("count", [0, 1, ROWS, 3 * ROWS + 5])
def test_rows_come_back_in_order_from_calls_of_as_many_on_any_machine(count):
    asked = []

    def call(tensors):
        asked.append(len(tensors["a"]))
        return np.stack([tensors["a"], tensors["b"]], axis=1)

    given = {"a": np.arange(count), "b": -np.arange(count)}
    found = by_rows(call, given)
    assert found.tolist() == [[row, -row] for row in range(count)]
    rest = [count % ROWS] if count % ROWS or not count else []
    assert sorted(asked) == sorted([ROWS] * (count // ROWS) + rest)
