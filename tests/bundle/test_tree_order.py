from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.bundle.tree_order import LEVELS, OTHER, PREORDER, SPLITS, arranged, in_preorder, order_of
from raymm.models import trees
from raymm.models.trees import Tree


def ensemble(left, right, count=2):
    left, right = np.array(left), np.array(right)
    random = np.random.default_rng(0)
    inner = left >= 0
    made = [
        Tree(
            feature=np.where(inner, random.integers(0, 3, len(left)), -1),
            threshold=np.where(inner, random.normal(size=len(left)), 0).astype(np.float32),
            missing_left=inner & (random.random(len(left)) < 0.5),
            left=left,
            right=right,
            value=random.normal(size=(len(left), 1)).astype(np.float32),
        )
        for _ in range(count)
    ]
    return trees.join(made, np.zeros(1))


# The root's left child splits first, then its left child, then the root's right child.
ORDERS = {
    PREORDER: ([1, 2, 3, -1, -1, -1, 7, -1, -1], [6, 5, 4, -1, -1, -1, 8, -1, -1]),
    LEVELS: ([1, 3, 5, 7, -1, -1, -1, -1, -1], [2, 4, 6, 8, -1, -1, -1, -1, -1]),
    SPLITS: ([1, 2, 4, 5, -1, -1, -1, -1, -1], [3, 6, 7, 8, -1, -1, -1, -1, -1]),
    OTHER: ([8, -1, -1, -1, -1, 4, 3, -1, 6], [5, -1, -1, -1, -1, 2, 1, -1, 7]),
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_are_told_apart(order):
    made = ensemble(*ORDERS[order])
    assert order_of(*arranged(made, 1)) == order


@pytest.mark.parametrize("order", ORDERS)
def test_another_order_predicts_the_same_bits(order):
    made = ensemble(*ORDERS[order])
    other = in_preorder(made)
    assert order_of(*arranged(other, 2)) == PREORDER
    x = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    x[::7, 1] = np.nan
    assert np.array_equal(other.margins(x), made.margins(x))
    assert (np.diff(other.leaf) > 0).all()
    again = in_preorder(other)
    assert np.array_equal(again.left, other.left)
    assert np.array_equal(again.value, other.value)


@pytest.mark.parametrize("child", [0, 1, 10, -2, 99])
def test_what_is_no_tree_is_an_error(child):
    made = ensemble(*ORDERS[LEVELS])
    left = made.left.copy()
    left[3] = child
    with pytest.raises(ValueError, match="no trees"):
        arranged(replace(made, left=left), 1)
