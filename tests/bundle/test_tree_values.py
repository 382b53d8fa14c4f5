from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.tree_nodes import Nodes
from raymm.bundle.tree_tables import keys_of
from raymm.bundle.tree_values import OUTPUTS, Leaves, code_leaves


def stumps(count):
    """Return trees of one split each, coded one after another."""
    nodes = Nodes.blank(3 * count)
    nodes.tree = np.repeat(np.arange(count), 3)
    nodes.inner = np.arange(3 * count) % 3 == 0
    nodes.right = np.arange(3 * count) % 3 == 2
    nodes.twin = np.arange(3 * count) - 3
    nodes.twin[:3] = -1
    return nodes


def back(nodes, outputs, told):
    writer = Writer(2)
    code_leaves(writer, nodes, outputs, told)
    data = writer.finish()
    reader = Reader(data, 2)
    found = code_leaves(reader, nodes, outputs, None)
    reader.finish()
    for name in ("leaf", "output", "key"):
        assert np.array_equal(getattr(found, name), getattr(told, name)), name
    return len(data)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.floats(0, 1), st.booleans())
@settings(max_examples=25)
def test_any_outputs_of_leaves_come_back(seed, outputs, share, few):
    random = np.random.default_rng(seed)
    nodes = stumps(20)
    used = random.random((60, outputs)) < share
    used[nodes.inner] = False
    leaf, output = np.nonzero(used)
    value = random.normal(size=len(leaf)).astype(np.float32)
    key = keys_of(np.round(value) if few else value)
    back(nodes, outputs, Leaves(leaf=leaf, output=output, key=key))


@pytest.mark.slow
def test_values_that_repeat_or_follow_their_neighbours_cost_less():
    random = np.random.default_rng(0)
    nodes = stumps(500)
    leaf = np.flatnonzero(~nodes.inner)
    output = leaf * 0

    def size(values):
        return back(nodes, 1, Leaves(leaf=leaf, output=output, key=keys_of(values)))

    values = random.normal(size=1000).astype(np.float32)
    full = size(values)
    # A normal number has its sign, some 2 bits of exponent and 23 of mantissa.
    assert full < 1000 * 28 / 8
    coarse = (np.round(values * 32) / 32).astype(np.float32)
    small = size(coarse)
    assert small < 1000 * 8 / 8
    opposite = np.repeat(coarse[::2], 2) * np.tile(np.array([1, -1], np.float32), 500)
    assert size(opposite) < 0.95 * small


def test_too_many_outputs_of_a_leaf_are_refused():
    nodes = stumps(1)
    count = OUTPUTS + 1
    told = Leaves(
        leaf=np.repeat([1, 2], count),
        output=np.tile(np.arange(count), 2),
        key=np.zeros(2 * count, np.int64),
    )
    with pytest.raises(ValueError, match="at most 255 outputs"):
        code_leaves(Writer(1), nodes, count, told)
