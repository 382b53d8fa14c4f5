"""Nodes that mixtures tell what to expect of come back, and take fewer bytes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.mixed_nodes import MASSES, MixedGrower, halves
from raymm.bundle.tree_nodes import Nodes, code_nodes
from raymm.errors import BundleError

SIZES = np.array([4, 600], np.int64)


def made(sizes=SIZES):
    """Return three trees, each coded after the one before."""
    nodes = Nodes.blank(19)
    nodes.inner = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0], bool)
    nodes.feature = np.where(nodes.inner, (np.arange(19) % 2) * (len(sizes) - 1), -1)
    nodes.place = np.where(nodes.inner, sizes[nodes.feature] - 1, 0)
    return nodes


def written(sizes=SIZES, outputs=1) -> bytes:
    writer = Writer(4)
    code_nodes(writer, 3, 1, sizes, made(sizes), by=partial(MixedGrower, outputs=outputs))
    return writer.finish()


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("features", [2, 300])
def test_nodes_come_back(outputs, features):
    sizes = np.full(features, 4, np.int64)
    sizes[-1] = 600
    reader = Reader(written(sizes, outputs), 4)
    by = partial(MixedGrower, outputs=outputs)
    nodes, told = code_nodes(reader, 3, 1, sizes, 19, by=by), made(sizes)
    reader.finish()
    for name in ("inner", "feature", "place"):
        assert np.array_equal(getattr(nodes, name), getattr(told, name)), name
    assert nodes.depth.tolist() == [0, 1, 1, *[2] * 4] * 2 + [0, 1, 1, 2, 2]


def test_a_side_that_little_of_the_table_leads_to_holds_few_rows():
    reader = Reader(written(), 4)
    nodes = code_nodes(reader, 3, 1, SIZES, 19, by=partial(MixedGrower, outputs=1))
    # The root's threshold is the last of four: four of five parts are up to it.
    assert nodes.rows[1:3].tolist() == (-halves(np.array([0.8, 0.2]), 2)).tolist()
    assert ((nodes.rows >= 0) & (nodes.rows < MASSES)).all()


@pytest.mark.parametrize("count", [7, 18, 20, 100])
def test_another_number_of_nodes_is_an_error(count):
    reader = Reader(written(), 4)
    with pytest.raises(BundleError, match=r"nodes too|end too early"):
        code_nodes(reader, 3, 1, SIZES, count, by=partial(MixedGrower, outputs=1))


def test_logarithms_grow_with_numbers_and_are_exact_at_powers_of_two():
    numbers = np.sort(np.random.default_rng(0).uniform(1e-9, 1e9, 1000))
    for parts in (2, 4):
        assert (np.diff(halves(numbers, parts)) >= 0).all()
        assert np.abs(halves(numbers, parts) - parts * np.log2(numbers)).max() < 1.4
        powers = np.exp2(np.arange(-20.0, 20.0))
        assert np.array_equal(halves(powers, parts), parts * np.arange(-20, 20))
