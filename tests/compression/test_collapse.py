from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from raymm.compression.collapse import collapsed, weigh
from raymm.compression.grove import Grove, reach
from raymm.compression.sums import margins


@pytest.fixture
def grown(random_trees):
    grove = Grove.of(random_trees(0, count=30))
    x = np.random.default_rng(1).uniform(-1, 6, (300, 3)).astype(np.float32)
    return grove, reach(grove, x), np.ones((2, 300)), x


def test_leaves_weigh_what_their_rows_weigh(grown):
    grove, reached, weight, _ = grown
    weight = weight * [[1.0], [3.0]]
    found = weigh(grove, reached, weight)
    for tree, (start, end) in enumerate(zip(grove.roots, grove.ends, strict=True)):
        assert found[start:end].sum(axis=0).tolist() == [300, 900], tree
    assert (found[grove.left >= 0] == 0).all()


def test_the_change_grows_as_nodes_go_and_never_more_are_left_than_asked(grown):
    grove, reached, weight, _ = grown
    whole = margins(grove, reached)
    changes = []
    for nodes in (len(grove.feature), 150, 80, 30, 10):
        cut, moved = collapsed(grove, reached, weight, nodes)
        assert len(cut.feature) <= nodes
        changes.append(float(np.sum((margins(cut, moved) - whole) ** 2)))
    # Nothing has to go at first, but leaves that no row reached: these may.
    assert changes[0] < 1e-6
    assert all(less < more for less, more in pairwise(changes[1:]))


def test_rows_reach_in_what_is_left_what_they_are_said_to_reach(grown):
    grove, reached, weight, x = grown
    cut, moved = collapsed(grove, reached, weight, 60)
    assert np.array_equal(moved, reach(cut, x))


def test_a_subtree_whose_leaves_hardly_differ_goes_before_one_whose_leaves_do(grown):
    grove, reached, weight, _ = grown
    # The first tree matters a hundred times as much as any other.
    grove.value[: grove.ends[0]] *= 100
    assert grove.left[grove.roots[0]] >= 0
    whole = margins(grove, reached)
    cut, moved = collapsed(grove, reached, weight, int(grove.ends[0]))
    # 29 trees of leaves from -2 to 2 add at most a variance of 29 * 4, against 200 ** 2.
    assert np.var(margins(cut, moved) - whole) < 29 * 4 < 0.01 * np.var(whole)


def test_a_replaced_tree_answers_the_mean_over_its_rows(grown):
    grove, reached, weight, _ = grown
    whole = margins(grove, reached)
    cut, moved = collapsed(grove, reached, weight, 1)
    left = margins(cut, moved)
    assert np.allclose(left, whole.mean(axis=1, keepdims=True), atol=1e-3)


@pytest.mark.parametrize("unit", [2.0**-100, 2.0**-50, 2.0**50, 2.0**100])
def test_the_unit_of_the_answers_does_not_matter(grown, unit):
    grove, reached, weight, _ = grown
    whole = margins(grove, reached)
    scaled = replace(grove, value=grove.value * unit, base=grove.base * unit)
    for nodes in (150, 80, 30, 10):
        cut, moved = collapsed(grove, reached, weight, nodes)
        other, there = collapsed(scaled, reached, weight, nodes)
        assert 0.8 * len(cut.feature) <= len(other.feature) <= nodes
        change = np.sum((margins(cut, moved) - whole) ** 2)
        assert np.sum((margins(other, there) / unit - whole) ** 2) < 1.3 * change
