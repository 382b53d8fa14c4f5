"""What the nodes of trees are and compare, coded level by level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import ALPHABET, Coder, adaptive, uniform
from raymm.bundle.parts import DAMAGED
from raymm.bundle.tree_order import DEEPEST, Shape
from raymm.errors import BundleError

_DEPTHS = 25
_ANCESTORS = 32
"""How far up thresholds of the same feature are looked for."""
_NONE = 2
"""The context of a node without the neighbour asked for; else 0 or 1."""


LARGEST_NODES = 1 << 21
LEVELS, NODES_A_LEVEL, MOST_LEVELS = 1024, 16, 3072
"""Levels of all trees of a file, each some 0.6 ms to read: so many in any case, one more for so
many nodes, and at most. 300 trees of 31 to 255 leaves have 160 to 310."""
MOST_MIXED = 1 << 18
"""Nodes of a file at most that mixtures tell what to expect of; see `raymm.bundle.mixed_nodes`."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """What may still be read of a file."""

    nodes: int = LARGEST_NODES
    mixed: int = MOST_MIXED
    levels: int = LEVELS
    given: int = LEVELS

    def take_nodes(self, count: int) -> None:
        """Take an ensemble's nodes, which bring levels; raises BundleError where they are many."""
        self.nodes -= count
        if self.nodes < 0:
            raise BundleError(
                "the bundle file is damaged: its trees must have at most "
                f"{LARGEST_NODES} nodes. {DAMAGED}"
            )
        more = min(count // NODES_A_LEVEL, MOST_LEVELS - self.given)
        self.given += more
        self.levels += more

    def take_mixed(self, count: int) -> None:
        """Take nodes that take long; raises BundleError where they are many."""
        self.mixed -= count
        if self.mixed < 0:
            raise damaged(f"more than {MOST_MIXED} that mixtures tell")

    def take_level(self) -> None:
        """Take a level; raises BundleError where there were too many."""
        self.levels -= 1
        if self.levels < 0:
            raise damaged("on too many levels")


@dataclass(slots=True, kw_only=True)
class Nodes:
    """Nodes in the coder's order; see `raymm.bundle.tree_order.Shape`.

    Attributes
    ----------
    tree, parent, left, twin : int64, shape (nodes,)
        Twin: the node at the same place of the tree a bunch earlier. -1 where there is none.
    right : bool, shape (nodes,)
        Whether the node is a right child.
    inner : bool, shape (nodes,)
    feature, place : int64, shape (nodes,)
        Number of the feature among those in use (-1 at a leaf), and of the threshold in its table.
    missing : bool, shape (nodes,)
        Whether missing values go left.
    depth, rows : int64, shape (nodes,)
        How deep the node lies, and a context of how many rows it is likely to hold; known where
        nodes are expected by mixtures (`raymm.bundle.mixed_nodes`).
    levels : list of slice
    bunch : int
        Trees that are coded together.
    """

    tree: Ints
    parent: Ints
    left: Ints
    twin: Ints
    right: npt.NDArray[np.bool_]
    inner: npt.NDArray[np.bool_]
    feature: Ints
    place: Ints
    missing: npt.NDArray[np.bool_]
    depth: Ints
    rows: Ints
    levels: list[slice] = field(default_factory=list)
    bunch: int = 1

    @classmethod
    def blank(cls, count: int) -> Nodes:
        """Return so many nodes of which nothing is known."""

        def numbers() -> Ints:
            return np.full(count, -1, np.int64)

        def bits() -> npt.NDArray[np.bool_]:
            return np.zeros(count, bool)

        return cls(
            tree=numbers(),
            parent=numbers(),
            left=numbers(),
            twin=numbers(),
            right=bits(),
            inner=bits(),
            feature=numbers(),
            place=np.zeros(count, np.int64),
            missing=bits(),
            depth=np.zeros(count, np.int64),
            rows=np.zeros(count, np.int64),
        )

    @property
    def shape(self) -> Shape:
        """The trees without what they compare."""
        return Shape(tree=self.tree, left=self.left, levels=self.levels)


def code_nodes(
    coder: Coder,
    trees: int,
    bunch: int,
    sizes: Ints,
    known: Nodes | int,
    *,
    budget: Budget | None = None,
    by: Growing | None = None,
) -> Nodes:
    """Code the nodes of trees, ``bunch`` trees at a time, level by level.

    Parameters
    ----------
    coder : Coder
    trees, bunch : int
    sizes : int64, shape (features,)
        Thresholds in each feature's table.
    known : Nodes, or how many there are for a reader
        Of these, ``inner``, ``feature``, ``place`` and ``missing`` are looked at.
    budget : Budget, optional
        Of a reader.
    by : callable, optional
        Makes what goes through levels; a `Grower`.

    Raises
    ------
    BundleError
        When what is read has another number of nodes, or thresholds outside their tables.
    """
    count = known if isinstance(known, int) else len(known.inner)
    told = None if isinstance(known, int) else known
    grower = (by or Grower)(coder, sizes, count, told)
    grower.budget = budget
    for first in range(0, trees, bunch):
        grower.grow(np.arange(first, min(trees, first + bunch)), bunch)
    if grower.end != count:
        raise damaged("too few")
    grower.nodes.bunch = bunch
    return grower.nodes


class Grower:
    """Goes through levels; its counts are what the coder has seen of each kind."""

    def __init__(self, coder: Coder, sizes: Ints, count: int, known: Nodes | None) -> None:
        features = len(sizes)
        self.budget: Budget | None = None
        self.coder, self.sizes, self.known = coder, sizes, known
        self.nodes = Nodes.blank(count)
        self.end = self.roots = 0
        self.wide = -(-features // ALPHABET)
        self.shift = np.zeros(features, np.int64)
        while (over := (sizes - 1) >> self.shift >= ALPHABET).any():
            self.shift += over
        self.most = int(((sizes - 1) >> self.shift).max(initial=0)) + 1
        self.prepare()

    def prepare(self) -> None:
        """Make what learns what to expect."""
        features, count = len(self.sizes), len(self.nodes.tree)
        # Whether a node's threshold is that of its twin; trees that begin alike go on alike.
        self.alike = np.zeros(count + 1, bool)
        self.near, self.far = Counts(_DEPTHS * 3, 2), Counts(_DEPTHS * 9, 2, 4)
        self.same = [(Counts(1, 2), Counts(2 * _DEPTHS, 2, 8)) for _ in range(2)]
        self.all_features = Counts(1, max(features, 1))
        self.high = Counts(1, max(self.wide, 1))
        narrow = (features + 1, max(features, 1))
        self.below = Counts(*(narrow if self.wide <= 1 else (self.wide, ALPHABET)), 32)
        self.places = Counts(features, self.most, 2)

    def told(self, name: str, ids: Ints) -> Ints | None:
        """Return what a writer knows of nodes; None for a reader."""
        if self.known is None:
            return None
        values: Ints = getattr(self.known, name)[ids]
        return values.astype(np.int64)

    def grow(self, trees: Ints, bunch: int) -> None:
        """Code a bunch of trees, level by level."""
        nodes, level = self.nodes, slice(self.end, self.end + len(trees))
        self._take(level.stop)
        nodes.tree[level] = trees
        if trees[0] >= bunch:
            start = self.roots
            nodes.twin[level] = start + np.arange(len(trees))
        self.roots = level.start
        depth = 0
        while level.stop > level.start:
            nodes.levels.append(level)
            if self.budget is not None:
                self.budget.take_level()
            self.split(level, depth)
            ids = level.start + np.flatnonzero(nodes.inner[level])
            self.features(ids, depth)
            self.thresholds(ids, depth)
            level = self.descend(ids)
            depth += 1
            if depth > DEEPEST:
                raise damaged("too deep")

    def _take(self, end: int) -> None:
        if end > len(self.nodes.tree):
            raise damaged("too many")
        self.end = end

    def split(self, level: slice, depth: int) -> None:
        """Code which nodes split, those on the left (and roots) first."""
        nodes, ids = self.nodes, np.arange(level.start, level.stop)
        for side in (False, True):
            part = ids[nodes.right[level] == side]
            beside = nodes.inner[part - 1].astype(np.int64) if side else np.full(len(part), _NONE)
            near = 3 * min(depth, _DEPTHS - 1) + beside
            far = 3 * near + self._of_twin(part, nodes.inner)
            seen = [(self.near, near), (self.far, far)]
            nodes.inner[part] = adaptive(self.coder, seen, self.told("inner", part)) > 0

    def _of_twin(self, ids: Ints, bits: npt.NDArray[np.bool_]) -> Ints:
        twin = self.nodes.twin[ids]
        return np.where(twin >= 0, bits[np.maximum(twin, 0)], _NONE)

    def _hits(self, kind: int, ids: Ints, depth: int, told: Ints | None) -> npt.NDArray[np.bool_]:
        """Code which of the nodes are as their twins."""
        often, where = self.same[kind]
        context = 2 * min(depth, _DEPTHS - 1) + self.alike[self.nodes.parent[ids]]
        seen = [(often, np.zeros(len(ids), np.int64)), (where, context)]
        return adaptive(self.coder, seen, told) > 0

    def features(self, ids: Ints, depth: int) -> None:
        """Code what nodes that split compare, those that are as their twins first."""
        nodes = self.nodes
        twin = nodes.twin[ids]
        expected = np.where(twin >= 0, nodes.feature[np.maximum(twin, 0)], -1)
        some = ids[expected >= 0]
        told = self.told("feature", some)
        told = None if told is None else (told == expected[expected >= 0]).astype(np.int64)
        hit = self._hits(0, some, depth, told)
        nodes.feature[some[hit]] = expected[expected >= 0][hit]
        rest = ids[nodes.feature[ids] < 0]
        found = self._rest(rest, self.told("feature", rest))
        if (found >= len(self.sizes)).any():
            raise damaged("of features that it does not name")
        nodes.feature[rest] = found

    def _rest(self, ids: Ints, told: Ints | None) -> Ints:
        """Code features that are not those of twins."""
        nodes, zero = self.nodes, np.zeros(len(ids), np.int64)
        if self.wide <= 1:
            parent = nodes.parent[ids]
            above = np.where(parent >= 0, nodes.feature[np.maximum(parent, 0)], len(self.sizes))
            seen = [(self.all_features, zero), (self.below, above)]
            return adaptive(self.coder, seen, told, base=8)
        high = None if told is None else told // ALPHABET
        high = adaptive(self.coder, [(self.high, zero)], high)
        low = None if told is None else told % ALPHABET
        return high * ALPHABET + adaptive(self.coder, [(self.below, high)], low, base=8)

    def open_places(self, ids: Ints) -> tuple[Ints, Ints]:
        """Return between which places thresholds are that the ones above leave open."""
        nodes, feature = self.nodes, self.nodes.feature[ids]
        low, high = np.zeros(len(ids), np.int64), self.sizes[feature]
        node = ids
        for _ in range(_ANCESTORS):
            above = nodes.parent[node]
            if (above < 0).all():
                break
            alike = (above >= 0) & (nodes.feature[above] == feature)
            place, right = nodes.place[above], nodes.right[node]
            high = np.where(alike & ~right, np.minimum(high, place), high)
            low = np.where(alike & right, np.maximum(low, place + 1), low)
            node = np.where(above >= 0, above, node)
        return low, high

    def thresholds(self, ids: Ints, depth: int) -> None:
        """Code thresholds of nodes that split, those that are as their twins first."""
        nodes = self.nodes
        low, high = self.open_places(ids)
        twin = np.maximum(nodes.twin[ids], 0)
        place = nodes.place[twin]
        able = (nodes.twin[ids] >= 0) & (nodes.feature[twin] == nodes.feature[ids])
        some, told = ids[able], self.told("place", ids[able])
        told = None if told is None else (told == place[able]).astype(np.int64)
        hit = self._hits(1, some, depth, told)
        nodes.place[some[hit]] = place[able][hit]
        self.alike[some[hit]] = True
        left = ~self.alike[ids]
        rest, feature = ids[left], nodes.feature[ids[left]]
        self.placed(
            rest,
            (low[left], high[left]),
            lambda told, limits: adaptive(
                self.coder, [(self.places, feature)], told, base=3, within=limits
            ),
        )

    def placed(
        self, ids: Ints, limits: tuple[Ints, Ints], code: Callable[[Ints | None, Any], Ints]
    ) -> None:
        """Code places of thresholds between limits: their upper bits by ``code``, then the rest."""
        nodes, feature = self.nodes, self.nodes.feature[ids]
        shift, told = self.shift[feature], self.told("place", ids)
        upper = None if told is None else told >> shift
        start = code(upper, (limits[0] >> shift, (limits[1] - 1 >> shift) + 1)) << shift
        sizes = np.minimum(self.sizes[feature] - start, 1 << shift)
        if (sizes < 1).any():
            raise damaged("with thresholds outside their tables")
        lower = uniform(self.coder, sizes, None if told is None else told - start)
        nodes.place[ids] = start + lower

    def descend(self, ids: Ints) -> slice:
        """Make the children, left and right in turn, and find their twins."""
        nodes = self.nodes
        level = slice(self.end, self.end + 2 * len(ids))
        self._take(level.stop)
        left = level.start + 2 * np.arange(len(ids))
        nodes.left[ids] = left
        twin = nodes.twin[ids]
        follow = (twin >= 0) & (nodes.feature[np.maximum(twin, 0)] == nodes.feature[ids])
        child = np.where(follow, nodes.left[np.maximum(twin, 0)], -1)
        for side, number in enumerate((left, left + 1)):
            nodes.tree[number] = nodes.tree[ids]
            nodes.parent[number] = ids
            nodes.twin[number] = np.where(child >= 0, child + side, -1)
        nodes.right[left + 1] = True
        return level


def code_missing(
    coder: Coder, nodes: Nodes, positive: npt.NDArray[np.bool_], known: Nodes | None
) -> None:
    """Code where missing values go, into ``nodes``.

    ``positive``, shape (splits,), says whether the threshold is at least 0: where no value was
    missing, LightGBM takes missing ones for 0.
    """
    ids = np.flatnonzero(nodes.inner)
    sign = positive.astype(np.int64)
    feature = nodes.feature[ids]
    by_sign, by_feature = Counts(2, 2), Counts(2 * int(feature.max(initial=0)) + 2, 2, 32)
    seen = [(by_sign, sign), (by_feature, 2 * feature + sign)]
    told = None if known is None else known.missing[ids].astype(np.int64)
    nodes.missing[ids] = adaptive(coder, seen, told) > 0


Growing = Callable[[Coder, Ints, int, "Nodes | None"], "Grower"]
"""Given a coder, tables' sizes, the number of nodes, and for a writer the nodes."""


def damaged(how: str) -> BundleError:
    """Return the error for nodes that no writer leaves."""
    return BundleError(f"the bundle file is damaged: its trees have nodes {how}. {DAMAGED}")
