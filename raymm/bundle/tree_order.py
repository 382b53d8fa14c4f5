"""In which order a tree's nodes are numbered, and how that is written.

The coder goes through trees level by level. How the nodes are numbered in the ensemble follows
from the tree for most libraries: parents first and the left side before the right (scikit-learn;
see `in_preorder`), or level by level (XGBoost, CatBoost). LightGBM numbers splits in the order in
which they were made, which is told by naming, split after split, one of the open ones; leaves go
by the number that their part of the rows had. Any other order is written out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import Coder, adaptive, uniform
from raymm.bundle.parts import DAMAGED
from raymm.errors import BundleError
from raymm.models.trees import TreeEnsemble

PREORDER, LEVELS, SPLITS, OTHER = range(4)
DEEPEST = 256
"""Levels of a tree at most."""
_SPLITS = 255
"""Splits of a tree at most, for the order of splits."""
_WAITING = 1 << 24
"""Trees times splits of the largest at most, for the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The trees without what they compare, nodes in the coder's order.

    Attributes
    ----------
    tree : int64, shape (nodes,)
    left : int64, shape (nodes,)
        The left child, whose sibling comes next; -1 at a leaf. Children come after parents.
    levels : sequence of slice
        Parts of nodes, one level of some trees each.
    """

    tree: Ints
    left: Ints
    levels: Sequence[slice]

    @property
    def roots(self) -> Ints:
        """Where each tree's nodes begin in the ensemble, shape (trees,)."""
        sizes = np.bincount(self.tree)
        return np.concatenate([[0], np.cumsum(sizes)[:-1]])


def arranged(trees: TreeEnsemble, bunch: int) -> tuple[Shape, Ints]:
    """Put nodes in the coder's order: ``bunch`` trees at a time, level by level.

    Returns
    -------
    Shape
    int64, shape (nodes,)
        The ensemble's number of each node.

    Raises
    ------
    ValueError
        When the nodes are no trees, or trees do not lie one after another or are too deep.
    """
    nodes = len(trees.feature)
    inner = trees.feature >= 0
    tree = np.searchsorted(trees.roots, np.arange(nodes), side="right") - 1
    order, left, levels = [], [], []
    count = 0
    for first in range(0, len(trees.roots), bunch):
        level, depth = trees.roots[first : first + bunch], 0
        while len(level):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"the trees of an ensemble must have at most {DEEPEST} levels")
            levels.append(slice(count, count + len(level)))
            count += len(level)
            if count > nodes or level.min() < 0 or level.max() >= nodes:
                raise ValueError("the nodes of the ensemble are no trees")
            split = inner[level]
            order.append(level)
            left.append(np.where(split, count + 2 * (np.cumsum(split) - 1), -1))
            parents = level[split]
            level = np.stack([trees.left[parents], trees.right[parents]], axis=1).ravel()
    original = np.concatenate([np.empty(0, np.int64), *order])
    below = np.concatenate([np.empty(0, np.int64), *left])
    whose = tree[original]
    split = below >= 0
    alike = np.array_equal(whose[split], whose[below[split]])
    if len(original) != nodes or (np.bincount(original, minlength=nodes) != 1).any() or not alike:
        raise ValueError("the nodes of the ensemble are no trees")
    return Shape(tree=whose, left=below, levels=levels), original


def numbered(shape: Shape, order: int) -> Ints:
    """Return each node's number in the ensemble, in preorder or level by level."""
    if order == LEVELS:
        number = np.empty(len(shape.tree), np.int64)
        number[np.argsort(shape.tree, kind="stable")] = np.arange(len(number))
        return number
    size = np.ones(len(shape.tree), np.int64)
    parents = [_inner(shape, level) for level in shape.levels]
    for part in reversed(parents):
        left = shape.left[part]
        size[part] += size[left] + size[left + 1]
    number = shape.roots[shape.tree]
    for part in parents:
        left = shape.left[part]
        number[left] = number[part] + 1
        number[left + 1] = number[left] + size[left]
    return number


def order_of(shape: Shape, number: Ints) -> int:
    """Return the first of the orders that gives these numbers."""
    for order in (PREORDER, LEVELS):
        if np.array_equal(numbered(shape, order), number):
            return order
    step = _steps(shape, number)
    fits = step is not None and np.array_equal(_by_splits(shape, step), number)
    return SPLITS if fits else OTHER


def code_order(coder: Coder, shape: Shape, order: int, number: Ints | None) -> Ints:
    """Code the nodes' numbers; a reader is given None.

    Raises
    ------
    BundleError
        When what is read numbers no nodes, or two alike.
    """
    if order in (PREORDER, LEVELS):
        return numbered(shape, order)
    if order == SPLITS:
        step = None if number is None else _steps(shape, number)
        return _by_splits(shape, _code_steps(coder, shape, step))
    first = shape.roots[shape.tree]
    sizes = np.bincount(shape.tree)[shape.tree]
    number = first + uniform(coder, sizes, None if number is None else number - first)
    if (np.bincount(number, minlength=len(number)) != 1).any():
        raise BundleError(f"the bundle file is damaged: two of its nodes are one. {DAMAGED}")
    return number


def _inner(shape: Shape, level: slice) -> Ints:
    inner: Ints = level.start + np.flatnonzero(shape.left[level] >= 0)
    return inner


def _splits(shape: Shape) -> Ints:
    """Return how many splits each tree has."""
    return np.bincount(shape.tree[shape.left >= 0], minlength=int(shape.tree.max()) + 1)


def _too_wide(splits: Ints) -> bool:
    most = int(splits.max(initial=0))
    return most > _SPLITS or len(splits) * most > _WAITING


def _steps(shape: Shape, number: Ints) -> Ints | None:
    """Return each split's number in its tree; None where numbers are not those of splits."""
    step = np.where(shape.left >= 0, number - shape.roots[shape.tree], -1)
    inner = np.flatnonzero(step >= 0)
    left = shape.left[inner]
    above = np.concatenate([step[inner], step[inner]])
    below = np.concatenate([step[left], step[left + 1]])
    wrong = (step >= _splits(shape)[shape.tree]).any() or ((below >= 0) & (below <= above)).any()
    return None if wrong or _too_wide(_splits(shape)) else step


def _by_splits(shape: Shape, step: Ints) -> Ints:
    """Return the numbers of nodes from those of splits: splits first, then leaves.

    The part of the rows that a split divides keeps its number on the left and gets the next new
    one on the right; the root's is 0.
    """
    part = np.zeros(len(step), np.int64)
    for level in shape.levels:
        inner = _inner(shape, level)
        left = shape.left[inner]
        part[left] = part[inner]
        part[left + 1] = step[inner] + 1
    place: Ints = np.where(shape.left >= 0, step, _splits(shape)[shape.tree] + part)
    return shape.roots[shape.tree] + place


def _code_steps(coder: Coder, shape: Shape, step: Ints | None) -> Ints:
    """Code which of a tree's open splits is next, by how lately it was opened, in all trees."""
    splits = _splits(shape)
    most = int(splits.max(initial=0))
    if _too_wide(splits):
        raise BundleError(f"the bundle file is damaged: a tree has too many splits. {DAMAGED}")
    found = np.full(len(shape.tree), -1, np.int64)
    # Each tree's open splits, the latest first.
    waiting = np.full((len(splits), most + 2), -1, np.int64)
    waiting[:, 0] = _roots(shape)
    count = (splits > 0).astype(np.int64)
    seen = Counts(32, max(most, 1))
    for number in range(most):
        trees = np.flatnonzero(splits > number)
        rows = waiting[trees]
        told = None if step is None else (step[rows] == number).argmax(axis=1)
        limits = (np.zeros(len(trees), np.int64), count[trees])
        rank = adaptive(coder, [(seen, np.minimum(count[trees], 31))], told, within=limits)
        if (rank >= count[trees]).any():
            raise BundleError(f"the bundle file is damaged: it names no split. {DAMAGED}")
        node = rows[np.arange(len(trees)), rank]
        found[node] = number
        waiting[trees], change = _replaced(shape, rows, rank, node)
        count[trees] += change
    return found


def _roots(shape: Shape) -> Ints:
    """Return the roots, in the order of trees."""
    child = np.zeros(len(shape.tree), bool)
    left = shape.left[shape.left >= 0]
    child[left] = child[left + 1] = True
    return np.flatnonzero(~child)


def _replaced(shape: Shape, rows: Ints, rank: Ints, node: Ints) -> tuple[Ints, Ints]:
    """Take the node at ``rank`` out of each row and put its children that split in front."""
    left = shape.left[node]
    opens = np.stack([shape.left[left] >= 0, shape.left[left + 1] >= 0], axis=1)
    new = opens.sum(axis=1)
    places = np.arange(rows.shape[1])[None, :] - new[:, None]
    kept = np.take_along_axis(
        rows, np.clip(places + (places >= rank[:, None]), 0, rows.shape[1] - 1), axis=1
    )
    front = np.where(opens[:, :1], np.stack([left, left + 1], axis=1), (left + 1)[:, None])
    kept[:, :2] = np.where(places[:, :2] < 0, front, kept[:, :2])
    return kept, new - 1


def in_preorder(trees: TreeEnsemble) -> TreeEnsemble:
    """Return the same trees with nodes numbered parents first, left side before right.

    Predictions keep every bit. The order costs nothing in a file, where that of LightGBM's splits
    costs two bits a node.

    Raises
    ------
    ValueError
        When the nodes are no trees.
    """
    shape, original = arranged(trees, len(trees.roots))
    number = np.empty(len(original), np.int64)
    number[original] = numbered(shape, PREORDER)
    back = np.argsort(number)
    inner = trees.feature[back] >= 0

    def moved(children: Ints) -> Ints:
        return np.where(inner, number[children[back]], -1)

    place = np.argsort(number[trees.leaf], kind="stable")
    return replace(
        trees,
        feature=trees.feature[back],
        threshold=trees.threshold[back],
        missing_left=trees.missing_left[back],
        left=moved(trees.left),
        right=moved(trees.right),
        roots=shape.roots,
        leaf=number[trees.leaf][place],
        output=trees.output[place],
        value=trees.value[place],
    )
