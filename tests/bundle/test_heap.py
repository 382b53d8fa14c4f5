from __future__ import annotations

import ctypes

import numpy as np
import pytest

from raymm.bundle import heap


@pytest.mark.skipif(heap.held() is None, reason="the C library tells nothing of its heap")
@pytest.mark.parametrize("size", [100_000, 50_000_000])
def test_what_is_allocated_is_held_until_it_is_freed(size: int) -> None:
    before = heap.held()
    kept = np.zeros(size, np.uint8)
    more = heap.grown(before)
    assert more is not None
    assert kept.nbytes <= more <= 1.1 * kept.nbytes + 20_000
    del kept
    assert (heap.grown(before) or 0) < 20_000


def test_elsewhere_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    heap._mallinfo2.cache_clear()
    assert heap.held() is None
    assert heap.grown(None) is heap.grown(7) is None
    monkeypatch.undo()
    heap._mallinfo2.cache_clear()
