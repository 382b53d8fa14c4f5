from __future__ import annotations

import threading

import pytest

from raymm.compression.spread import spread


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
