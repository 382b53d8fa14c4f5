from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.compression.grove import Grove
from raymm.compression.simplify import simplify, unreached
from raymm.models import trees as models


def tree(*nodes):
    """A tree from its nodes in preorder: (feature, threshold, missing left) or a leaf's value."""
    left, right = [-1] * len(nodes), [-1] * len(nodes)

    def grow(at):
        if not isinstance(nodes[at], tuple):
            return at + 1
        left[at] = at + 1
        right[at] = grow(at + 1)
        return grow(right[at])

    assert grow(0) == len(nodes)
    splits = [node if isinstance(node, tuple) else (-1, 0.0, False) for node in nodes]
    value = [0.0 if isinstance(node, tuple) else node for node in nodes]
    return models.Tree(
        feature=np.array([s[0] for s in splits]),
        threshold=np.array([s[1] for s in splits], np.float32),
        missing_left=np.array([s[2] for s in splits]),
        left=np.array(left),
        right=np.array(right),
        value=np.array(value, np.float32)[:, None],
    )


def grove(*trees, **how):
    return Grove.of(models.join(trees, [0.5], **how))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_no_answer_changes_and_nothing_is_left_to_take(random_trees, around, seed, strict):
    trees = replace(random_trees(seed, features=2, grid=3), strict=strict)
    simple = simplify(Grove.of(trees))
    x = around(trees)
    # Whole values and a base of halves: sums are exact.
    assert np.array_equal(simple.ensemble().margins(x), trees.margins(x))
    again = simplify(simple)
    assert len(again.feature) == len(simple.feature)
    assert not any(side.any() for side in unreached(simple))


@pytest.mark.parametrize(
    ("missing_left", "left"),
    [(False, [1.0, 3.0]), (True, [1.0, 2.0, 3.0])],
)
def test_a_side_is_kept_where_missing_values_alone_reach_it(missing_left, left):
    # Below x <= 0, x <= 1 holds for every number; NaN comes along and goes right if told so.
    found = simplify(grove(tree((0, 0.0, True), (0, 1.0, not missing_left), 1.0, 2.0, 3.0)))
    assert sorted(found.value[found.left < 0].ravel().tolist()) == left


def test_equal_subtrees_are_one():
    same = ((1, 5.0, False), 1.0, 2.0)
    found = simplify(grove(tree((0, 0.0, False), *same, *same)))
    assert found.feature.tolist() == [1, -1, -1]


def test_trees_of_the_same_splits_add_up():
    one = tree((0, 0.0, False), 1.0, 2.0)
    other = tree((0, 0.0, False), 10.0, 20.0)
    unlike = tree((0, 0.0, True), 10.0, 20.0)
    found = simplify(grove(one, other, unlike))
    assert len(found.roots) == 2
    assert found.value[found.left < 0].ravel().tolist() == [11.0, 22.0, 10.0, 20.0]


def test_trees_of_one_leaf_go_to_the_base_but_the_last_of_an_output():
    constants = simplify(grove(tree(1.0), tree(2.0)))
    assert constants.base.tolist() == [3.5]
    assert len(constants.feature) == 1
    found = simplify(grove(tree(1.0), tree((0, 0.0, False), 1.0, 2.0)))
    assert found.base.tolist() == [1.5]
    assert len(found.roots) == 1


def test_a_deep_chain_keeps_only_what_is_ahead():
    chain = tree((0, 3.0, True), (0, 4.0, True), (0, 1.0, True), 1.0, 2.0, 3.0, 4.0)
    found = simplify(grove(chain))
    assert found.threshold[found.left >= 0].tolist() == [3.0, 1.0]
