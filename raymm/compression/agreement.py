"""Proof that the trees of a compressed graph add up as the reference adds them."""

from __future__ import annotations

import numpy as np

from raymm.artifacts import Tensors
from raymm.bundle.packed import Bundle
from raymm.compression.tap import tapped, tree_nodes
from raymm.errors import ParityError

_STEP = float(np.finfo(np.float32).eps)


def require_agreement(bundle: Bundle, tensors: Tensors) -> float:
    """Hold every node of trees in a graph against `TreeEnsemble.margins`, row by row.

    The reference takes the same branches and adds in float64. A float32 sum of k numbers is off by
    at most about k / 2 steps of the sum of their sizes, where a step is 1.2e-7; that is the bound,
    and one row on a wrong side of a split nearly always goes beyond it.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        Rows, at least one; `raymm.bundle.parity.adversarial` makes hard ones.

    Returns
    -------
    float
        The largest difference as a share of its bound; 0 for a graph without trees.

    Raises
    ------
    ParityError
        When it is above 1, or a margin is not finite.
    """
    from raymm.models.trees import TreeEnsemble

    worst = 0.0
    for node in tree_nodes(bundle)[1]:
        trees = TreeEnsemble.from_node(node)
        expected = trees.margins(tapped(bundle, node.input[0], tensors))
        found = tapped(bundle, node.output[0], tensors)
        largest = np.zeros(len(trees.roots))
        owner = np.searchsorted(trees.roots, trees.leaf, side="right") - 1
        np.maximum.at(largest, owner, np.abs(trees.value.astype(np.float64)))
        size = largest.sum() + np.abs(trees.base).max()
        bound = max(len(trees.roots), 2) / 2 * _STEP * size + float(np.finfo(np.float32).tiny)
        apart = float(np.abs(found - expected).max()) / bound
        if not apart <= 1:
            raise ParityError(
                f"the compressed trees must add up to the reference within {bound:g}, but differ "
                f"by {apart * bound:g}. Set compression.techniques to [] and report it."
            )
        worst = max(worst, apart)
    return worst
