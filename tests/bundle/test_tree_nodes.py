from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle import tree_nodes
from raymm.bundle.entropy import Reader, Writer
from raymm.bundle.tree_nodes import Nodes, code_missing, code_nodes
from raymm.errors import BundleError

SIZES = np.array([4, 600], np.int64)


def made():
    """Return three trees, each coded after the one before."""
    nodes = Nodes.blank(19)
    nodes.inner = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0], bool)
    nodes.feature = np.where(nodes.inner, np.arange(19) % 2, -1)
    nodes.place = np.where(nodes.inner, np.where(nodes.feature == 1, 599, 3), 0)
    nodes.missing = nodes.inner & (np.arange(19) % 3 == 0)
    return nodes


def written():
    writer, told = Writer(4), made()
    nodes = code_nodes(writer, 3, 1, SIZES, told)
    code_missing(writer, nodes, nodes.place[nodes.inner] > 3, told)
    return writer.finish()


def test_nodes_come_back_with_their_shape():
    reader, told = Reader(written(), 4), made()
    nodes = code_nodes(reader, 3, 1, SIZES, 19)
    code_missing(reader, nodes, nodes.place[nodes.inner] > 3, None)
    reader.finish()
    for name in ("inner", "feature", "place", "missing"):
        assert np.array_equal(getattr(nodes, name), getattr(told, name)), name
    assert nodes.tree.tolist() == [0] * 7 + [1] * 7 + [2] * 5
    assert nodes.left[nodes.inner].tolist() == [1, 3, 5, 8, 10, 12, 15, 17]
    assert nodes.parent.tolist()[14:] == [-1, 14, 14, 16, 16]
    assert nodes.right.tolist()[14:] == [False, False, True, False, True]
    # The second tree's root compares the other feature than the first's, so that ways part.
    assert nodes.twin.tolist()[7:14] == [0] + [-1] * 6


@pytest.mark.parametrize("count", [7, 18, 20, 100])
def test_another_number_of_nodes_is_an_error(count):
    with pytest.raises(BundleError, match=r"nodes too|end too early"):
        code_nodes(Reader(written(), 4), 3, 1, SIZES, count)


def test_a_file_has_so_many_levels_and_nodes_and_no_more():
    budget = tree_nodes.Budget()
    budget.take_nodes(1600)
    given = tree_nodes.LEVELS + 1600 // tree_nodes.NODES_A_LEVEL
    for _ in range(given):
        budget.take_level()
    with pytest.raises(BundleError, match="too many levels"):
        budget.take_level()
    with pytest.raises(BundleError, match="at most"):
        budget.take_nodes(tree_nodes.LARGEST_NODES)
    large = tree_nodes.Budget()
    large.take_nodes(tree_nodes.LARGEST_NODES)
    assert large.levels == tree_nodes.MOST_LEVELS
