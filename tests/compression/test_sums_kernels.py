"""Machine code adds up what `raymm.compression.sums` adds up, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from raymm.compression import sums, sums_kernels
from raymm.compression.grove import Grove, reach
from raymm.compression.solve import solved


@pytest.fixture(params=[1, 2])
def grown(random_trees, request):
    grove = Grove.of(random_trees(0, count=20, width=request.param))
    x = np.random.default_rng(1).uniform(-1, 6, (700, 3)).astype(np.float32)
    reached = reach(grove, x)
    weight = np.random.default_rng(2).uniform(0, 2, (len(grove.base), 700))
    return grove, reached, weight


def _both(monkeypatch, made):
    """Return what is made without and with machine code."""
    slow = made()
    monkeypatch.setattr(sums, "MANY", 0)
    return slow, made()


def test_margins_and_weights_are_the_same(monkeypatch, grown):
    grove, reached, weight = grown
    for one in (
        lambda: sums.margins(grove, reached),
        lambda: sums.weigh(grove, reached, weight),
    ):
        with monkeypatch.context() as patch:
            slow, fast = _both(patch, one)
        assert slow.tobytes() == fast.tobytes()


def test_solved_leaves_are_the_same(monkeypatch, grown):
    grove, reached, weight = grown
    target = sums.margins(grove, reached)
    target = target + np.random.default_rng(3).normal(size=target.shape)
    slow, fast = _both(monkeypatch, lambda: solved(grove, reached, target, weight))
    assert slow.value.tobytes() == fast.value.tobytes()
    assert slow.base.tobytes() == fast.base.tobytes()
    assert not np.array_equal(slow.value, grove.value)


def test_sums_of_float32_are_those_of_sparse_matrices():
    random = np.random.default_rng(0)
    places = random.integers(0, 40, (900, 7)).astype(np.int32)
    leaves = random.normal(size=40).astype(np.float32)
    rows = random.normal(size=900).astype(np.float32)
    added, gathered = sums.sums(None, places, 40)
    fast_added, fast_gathered = sums.sums(sums_kernels, places, 40)
    assert added(leaves).tobytes() == fast_added(leaves).tobytes()
    assert gathered(rows).tobytes() == fast_gathered(rows).tobytes()
