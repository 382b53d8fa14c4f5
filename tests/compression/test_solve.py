from __future__ import annotations

from dataclasses import replace

import numpy as np

from raymm.compression.grove import Grove, reach
from raymm.compression.solve import solved
from raymm.compression.sums import margins


def grown(random_trees, width):
    grove = Grove.of(random_trees(0, count=10, width=width))
    x = np.random.default_rng(1).uniform(-1, 6, (500, 3)).astype(np.float32)
    return grove, reach(grove, x)


def test_one_tree_moves_as_far_as_the_ridge_lets_it(random_trees):
    """Of one tree, the ridge regression is known leaf by leaf: its sum over rows plus ridge."""
    grove, reached = grown(random_trees, 1)
    grove, _ = grove.rebuilt(keep=np.arange(10) == np.argmax(grove.ends - grove.roots))
    x = np.random.default_rng(1).uniform(-1, 6, (500, 3)).astype(np.float32)
    reached = reach(grove, x)
    target = margins(grove, reached) + np.random.default_rng(2).normal(size=500)
    missing = (target - margins(grove, reached))[0]
    weight = np.where(np.arange(500) < 250, 0.5, 1.5)[None]
    made = solved(grove, reached, target, weight, ridge=5.0)
    for leaf in np.unique(reached):
        inside = reached[0] == leaf
        expected = (weight[0] * missing)[inside].sum() / (weight[0, inside].sum() + 5.0)
        assert np.isclose((made.value - grove.value)[leaf, 0], expected, atol=1e-4)


def test_leaves_find_back_what_they_were_moved_from(random_trees):
    for width in (1, 2):
        grove, reached = grown(random_trees, width)
        target = margins(grove, reached)
        noise = np.random.default_rng(2).normal(size=grove.value.shape)
        even = np.ones_like(target)
        noise *= (grove.left < 0)[:, None]
        moved = replace(grove, value=grove.value + noise, base=grove.base + 1.0)
        before = np.mean((margins(moved, reached) - target) ** 2)
        after = [
            np.mean((margins(solved(moved, reached, target, even, ridge=r), reached) - target) ** 2)
            for r in (0.01, 10.0, 1e9)
        ]
        assert after[0] < 0.02 * before
        assert after[0] < after[1] < after[2] < before


def test_where_nothing_is_missing_nothing_moves(random_trees):
    grove, reached = grown(random_trees, 2)
    target = margins(grove, reached)
    same = solved(grove, reached, target, np.ones_like(target))
    assert np.array_equal(same.value, grove.value)
    assert not same.value[grove.left >= 0].any()
