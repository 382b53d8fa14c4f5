"""What the nodes of trees are and compare, expected by several contexts together.

Beside those of `raymm.bundle.tree_nodes` these tell

- how many rows a node is likely to hold: thresholds lie about evenly among the rows, so a node
  holds the part of its parent's that the part of the table tells, which is what decides whether
  it was worth a split;
- how many splits the tree still needs to have as many as the one before, or the largest, for each
  node that is open;
- the class whose tree it is, the side of the parent, what the two nodes above compare.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import ALPHABET, Coder, adaptive
from raymm.bundle.mixing import Context, Mixture
from raymm.bundle.tree_nodes import Grower, Nodes, damaged

_DEPTHS = 25
_SHARES, _RATIOS, MASSES = 9, 32, 41
_LEAST_SHARE = 0.01
_SHALLOW = 9
_ONE = int(np.float64(1).view(np.int64))


def halves(ratio: npt.NDArray[np.float64], parts: int) -> Ints:
    """Return logarithms of positive numbers, base 2, times ``parts`` (2 or 4), rounded down.

    As exact as the bits of a float64 are: straight between powers of two.

    >>> halves(np.array([0.5, 1, 1.5, 2]), 2).tolist()
    [-2, 0, 1, 2]
    """
    found: Ints = (ratio.view(np.int64) - _ONE) >> (53 - parts.bit_length())
    return found


class MixedGrower(Grower):
    """Goes through levels as `Grower` does, and expects by mixtures.

    Parameters
    ----------
    coder, sizes, count, known
        See `raymm.bundle.tree_nodes.code_nodes`.
    outputs : int
        Trees take turns with them.
    """

    def __init__(
        self, coder: Coder, sizes: Ints, count: int, known: Nodes | None, *, outputs: int
    ) -> None:
        self.outputs = outputs
        super().__init__(coder, sizes, count, known)

    def prepare(self) -> None:
        """Make the mixtures."""
        features, count, outputs = len(self.sizes), len(self.nodes.tree), self.outputs
        # What compares nothing is one more feature: above the root, or a leaf.
        self.other = other = features + 1
        self.table = int(self.sizes.max(initial=0)) + 1
        self.share = np.zeros(count, np.int64)
        self.mass = np.ones(count)
        self.lower, self.upper = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.splits = np.zeros(count, np.int64)
        several = outputs > 1
        sides = 2 * other
        rows = [9 * _DEPTHS, 3 * _RATIOS, 3 * _RATIOS, 3 * sides, sides * self.table]
        rows += [3 * _DEPTHS * outputs, 6 * _SHARES, 3 * MASSES, MASSES * _RATIOS]
        contexts = [Context(rows=one) for one in rows]
        self.splitting = Mixture(self.coder, 2, 3 * _DEPTHS, contexts)
        self.high = Counts(1, max(self.wide, 1))
        rows = [sides, outputs * MASSES, other**2, sides * self.table, other**3]
        contexts = [Context(rows=one * max(self.wide, 1)) for one in rows]
        contexts += [Context(rows=other * max(self.wide, 1), trust=4)]
        symbols = min(max(features, 1), ALPHABET)
        contexts += [Context(rows=outputs * max(self.wide, 1), lately=2 * max(symbols, 32))]
        contexts += [Context(rows=sides * outputs * max(self.wide, 1))] * several
        self.comparing = Mixture(self.coder, symbols, max(self.wide, 1), contexts)
        rows = [MASSES, 2 * other, _SHALLOW, self.table**2]
        rows += [outputs, outputs * _SHALLOW, outputs * other] * several
        contexts = [Context(rows=features * one) for one in rows]
        contexts += [Context(rows=features * (self.most + 1), trust=2)]
        self.placing = Mixture(
            self.coder, self.most, max(features, 1), contexts, prior=4.0, spread=0.5
        )

    def grow(self, trees: Ints, bunch: int) -> None:
        """Code a bunch of trees; see `Grower.grow`."""
        self.before = self.splits[trees - bunch] if trees[0] >= bunch else 0 * trees
        self.largest = int(self.splits[: trees[0]].max(initial=0))
        self.first = int(trees[0])
        super().grow(trees, bunch)

    def _above(self, ids: Ints) -> tuple[Ints, Ints]:
        """Return what parents compare (one past the last at roots), and that with the side."""
        parent = self.nodes.parent[ids]
        feature = np.where(parent >= 0, self.nodes.feature[np.maximum(parent, 0)], self.other - 1)
        return feature, 2 * feature + self.nodes.right[ids]

    def _beyond(self, ids: Ints, feature: Ints) -> Ints:
        """Return the context of the parent's threshold, given its feature and the side."""
        place = self.nodes.place[np.maximum(self.nodes.parent[ids], 0)]
        return feature * self.table + np.where(self.nodes.parent[ids] >= 0, place, 0)

    def split(self, level: slice, depth: int) -> None:
        """Code which nodes split, those on the left (and roots) first."""
        nodes, ids = self.nodes, np.arange(level.start, level.stop)
        trees = nodes.tree[ids] - self.first
        nodes.depth[level] = depth
        left = np.bincount(trees, minlength=len(self.before))
        for side in (False, True):
            part = ids[nodes.right[level] == side]
            tree = nodes.tree[part]
            base, contexts = self._split_contexts(part, min(depth, _DEPTHS - 1), side, left)
            found = self.splitting.code(base, contexts, self.told("inner", part))
            nodes.inner[part] = found > 0
            np.add.at(self.splits, tree, found)
            left -= np.bincount(tree - self.first, minlength=len(left))

    def _split_contexts(
        self, ids: Ints, depth: int, side: bool, left: Ints
    ) -> tuple[Ints, list[Ints]]:
        """Return the base and the other contexts of whether nodes split.

        ``left`` is how many nodes of the level each tree has yet to tell of.
        """
        nodes = self.nodes
        beside = nodes.inner[ids - 1].astype(np.int64) if side else np.full(len(ids), 2)
        twin = np.where(nodes.twin[ids] >= 0, nodes.inner[np.maximum(nodes.twin[ids], 0)], 2)
        tree = nodes.tree[ids]
        sided = self._above(ids)[1]
        near = 3 * depth + beside
        mass = self.nodes.rows[ids]
        ratios = [
            self._ratio(most - self.splits[tree], left[tree - self.first])
            for most in (self.largest, self.before[tree - self.first])
        ]
        return near, [
            3 * near + twin,
            3 * ratios[0] + beside,
            3 * ratios[1] + beside,
            3 * sided + beside,
            self._beyond(ids, sided),
            3 * (tree % self.outputs * _DEPTHS + depth) + beside,
            3 * (2 * self.share[ids] + side) + beside,
            3 * mass + beside,
            mass * _RATIOS + ratios[0],
        ]

    @staticmethod
    def _ratio(wanted: Ints, nodes: Ints) -> Ints:
        """Return a context of how many splits a tree still wants for each node: 0 for none."""
        ratio = np.maximum(wanted, 1) / np.maximum(nodes, 1)
        return np.where(wanted <= 0, 0, 1 + np.clip(halves(ratio, 4) + 16, 0, _RATIOS - 2))

    def features(self, ids: Ints, depth: int) -> None:
        """Code what nodes that split compare."""
        nodes, told = self.nodes, self.told("feature", ids)
        feature, sided = self._above(ids)
        parent = np.maximum(nodes.parent[ids], 0)
        further = np.where(nodes.parent[ids] >= 0, self._above(parent)[0], self.other - 1)
        third = np.maximum(nodes.parent[parent], 0)
        third = np.where(nodes.parent[parent] >= 0, self._above(third)[0], self.other - 1)
        twin = np.where(nodes.twin[ids] >= 0, nodes.feature[np.maximum(nodes.twin[ids], 0)], -1)
        output = nodes.tree[ids] % self.outputs
        three = np.sort([feature, further, third], axis=0)
        contexts = [
            sided,
            output * MASSES + self.nodes.rows[ids],
            further * self.other + feature,
            self._beyond(ids, sided),
            (three[0] * self.other + three[1]) * self.other + three[2],
            twin + 1,
            output,
            *[sided * self.outputs + output] * (self.outputs > 1),
        ]
        high = 0 * ids
        if self.wide > 1:
            upper = None if told is None else told // ALPHABET
            high = adaptive(self.coder, [(self.high, high)], upper)
            contexts = [one * self.wide + high for one in contexts]
        lower = None if told is None else told % ALPHABET
        found = high * ALPHABET + self.comparing.code(high, contexts, lower)
        if (found >= len(self.sizes)).any():
            raise damaged("of features that it does not name")
        nodes.feature[ids] = found

    def thresholds(self, ids: Ints, depth: int) -> None:
        """Code the thresholds of nodes, whose features are known."""
        nodes = self.nodes
        low, high = self.open_places(ids)
        self.lower[ids], self.upper[ids] = low, high
        feature = nodes.feature[ids]
        above, sided = self._above(ids)
        twin = np.maximum(nodes.twin[ids], 0)
        able = (nodes.twin[ids] >= 0) & (nodes.feature[twin] == feature)
        shallow = min(depth, _SHALLOW - 1)
        output = nodes.tree[ids] % self.outputs
        contexts = [
            feature * MASSES + self.nodes.rows[ids],
            feature * 2 * self.other + sided,
            feature * _SHALLOW + shallow,
            (feature * self.table + low) * self.table + high,
        ]
        if self.outputs > 1:
            contexts += [
                feature * self.outputs + output,
                (feature * self.outputs + output) * _SHALLOW + shallow,
                (feature * self.other + above) * self.outputs + output,
            ]
        place = np.where(able, (nodes.place[twin] >> self.shift[feature]) + 1, 0)
        contexts += [feature * (self.most + 1) + place]

        def code(told: Ints | None, limits: Any) -> Ints:
            return self.placing.code(feature, contexts, told, within=limits)

        self.placed(ids, (low, high), code)

    def descend(self, ids: Ints) -> slice:
        """Make the children, and foresee how many rows they hold."""
        level = super().descend(ids)
        place, low, high = self.nodes.place[ids], self.lower[ids], self.upper[ids]
        wide = np.maximum(high - low, 1) + 1
        left = self.nodes.left[ids]
        for child, part in ((left, place - low + 1), (left + 1, high - place)):
            self.share[child] = np.clip(8 * part // wide, 0, _SHARES - 1)
            self.mass[child] = self.mass[ids] * np.clip(part / wide, _LEAST_SHARE, 1.0)
            self.nodes.rows[child] = np.clip(-halves(self.mass[child], 2), 0, MASSES - 1)
        return level
