"""Places of leaves' values that mixtures tell what to expect of."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle import mixed_values
from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.mixed_values import MixedPlaces
from raymm.bundle.tree_nodes import Nodes, code_nodes
from raymm.bundle.tree_tables import keys_of
from raymm.bundle.tree_values import code_places
from raymm.errors import BundleError

SIZES = np.array([8, 8], np.int64)


def trees(count: int) -> Nodes:
    """Return so many trees of three splits and four leaves, by one."""
    told = Nodes.blank(7 * count)
    told.inner = np.tile([True] * 3 + [False] * 4, count)
    told.feature = np.where(told.inner, np.arange(7 * count) % 2, -1)
    told.place = np.where(told.inner, 3, 0)
    return code_nodes(Writer(4), count, 1, SIZES, told)


def places(values: np.ndarray, count: int, outputs: int = 1):
    """Return where values are, their table, and their places in it."""
    nodes = trees(count)
    leaf = np.repeat(np.flatnonzero(~nodes.inner), outputs)
    output = np.tile(np.arange(outputs), len(leaf) // outputs)
    table, told = np.unique(keys_of(values.astype(np.float32)), return_inverse=True)
    return nodes, (leaf, output), table, told


@pytest.mark.slow
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("distinct", [1, 5, 40, 3000])
def test_places_come_back(outputs, distinct):
    random = np.random.default_rng(distinct)
    values = random.integers(0, distinct, 4 * 400 * outputs) - distinct // 3
    nodes, where, table, told = places(values, 400, outputs)
    writer = Writer(4)
    MixedPlaces(SIZES)(writer, nodes, where, table, told)
    reader = Reader(writer.finish(), 4)
    assert np.array_equal(MixedPlaces(SIZES)(reader, nodes, where, table, None), told)
    reader.finish()


@pytest.mark.slow
def test_leaves_that_resemble_those_around_take_fewer_bytes():
    random = np.random.default_rng(0)
    # The right leaf has what the left one has, with the other sign, and 1 more in one of five.
    left = random.integers(1, 60, 2000) // (1 + np.arange(2000) // 250)
    right = -left - (random.uniform(size=2000) < 0.2)
    nodes, where, table, told = places(np.stack([left, right], 1).ravel(), 1000)
    sizes = []
    for by in (MixedPlaces(SIZES), code_places):
        writer = Writer(4)
        by(writer, nodes, where, table, told)
        sizes.append(len(writer.finish()))
    assert sizes[0] < 0.95 * sizes[1]


@pytest.mark.slow
def test_places_outside_their_table_are_an_error():
    nodes, where, table, told = places(np.arange(1600) % 50, 400)
    writer = Writer(4)
    MixedPlaces(SIZES)(writer, nodes, where, table, told)
    reader = Reader(writer.finish(), 4)
    with pytest.raises(BundleError, match=r"outside their table"):
        MixedPlaces(SIZES)(reader, nodes, where, table[:33], None)


@pytest.mark.slow
def test_too_many_values_are_an_error(monkeypatch):
    monkeypatch.setattr(mixed_values, "MOST", 1599)
    nodes, where, table, told = places(np.arange(1600) % 50, 400)
    with pytest.raises(BundleError, match="too many values"):
        MixedPlaces(SIZES)(Writer(4), nodes, where, table, told)
