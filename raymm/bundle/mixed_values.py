"""Where leaves' values are in a table, expected by several contexts together.

A place is told by the sign and the length of its distance from zero's, then by the distance. What
is expected comes from the leaf beside, the leaf's twin, and beside those of
`raymm.bundle.tree_values` from the leaf beside the parent, what the parent compares, how many rows
the leaf is likely to hold, and what was seen lately, as later trees add less.
"""

from __future__ import annotations

import numpy as np

from raymm.bundle.counts import Ints
from raymm.bundle.entropy import Coder, lengths, uniform
from raymm.bundle.mixed_nodes import MASSES
from raymm.bundle.mixing import Context, Mixture
from raymm.bundle.tree_nodes import Nodes
from raymm.bundle.tree_tables import SIGN
from raymm.bundle.tree_values import LEARNT, damaged, neighbour, turns

MOST = 1 << 20
"""Values at most: what a context saw is then exact in float32, in whatever order it is summed."""
_DEPTHS = 16
_SAME_OUTPUTS = 64
_LATELY = 200, 100


class MixedPlaces:
    """Codes places of values; see `raymm.bundle.tree_values.code_places`.

    Parameters
    ----------
    sizes : int64, shape (features,)
        Thresholds in each feature's table.
    """

    def __init__(self, sizes: Ints) -> None:
        self.features, self.table = len(sizes), int(sizes.max(initial=0)) + 1

    def __call__(
        self,
        coder: Coder,
        nodes: Nodes,
        where: tuple[Ints, Ints],
        table: Ints,
        told: Ints | None,
    ) -> Ints:
        """Code each value's place in the table."""
        if len(where[0]) > MOST:
            raise damaged("too many values to be expected by mixtures")
        if not len(where[0]):
            return where[0]
        self.coder, self.size = coder, len(table)
        self.middle = int(np.searchsorted(table, SIGN))
        self.found = np.full(len(where[0]) + 1, -1, np.int64)
        beside = self._surround(nodes, where)
        self._prepare()
        for turn in turns(nodes, where[0], beside):
            for start in range(0, len(turn), coder.lanes):
                part = turn[start : start + coder.lanes]
                self._code(part, None if told is None else told[part])
        return self.found[:-1]

    def _surround(self, nodes: Nodes, where: tuple[Ints, Ints]) -> Ints:
        """Note where values of leaves around are, and what else is known; return those beside."""
        leaf, output = where
        parent = np.maximum(nodes.parent[leaf], 0)
        aunt = np.where(nodes.right[parent], parent - 1, parent + 1)
        able = (nodes.parent[leaf] >= 0) & (nodes.parent[parent] >= 0)
        able &= ~nodes.inner[np.where(able, aunt, 0)]
        beside = neighbour(where, leaf - 1, nodes.right[leaf] & ~nodes.inner[leaf - 1])
        twin = neighbour(where, nodes.twin[leaf], nodes.twin[leaf] >= 0)
        self.around = beside, neighbour(where, aunt, able), twin
        alone = nodes.parent[leaf] < 0
        feature = np.where(alone, self.features, nodes.feature[parent])
        self.feature = feature
        self.right = nodes.right[leaf].astype(np.int64)
        self.beyond = (2 * feature + self.right) * self.table
        self.beyond += np.where(alone, 0, nodes.place[parent])
        self.output = output % _SAME_OUTPUTS
        self.depth = np.minimum(nodes.depth[leaf], _DEPTHS - 1)
        self.rows = nodes.rows[leaf]
        return beside

    def _prepare(self) -> None:
        longest = int(lengths(np.array([max(self.middle, self.size - 1 - self.middle)]))[0])
        self.kinds = kinds = 2 * longest + 2
        near, sides = kinds + 1, 2 * (self.features + 1)
        rows = [near, near, near, near * near, near * _DEPTHS, near * sides, sides]
        rows += [sides * self.table, MASSES]
        contexts = [Context(rows=one) for one in rows]
        contexts += [Context(rows=_SAME_OUTPUTS, lately=_LATELY[0])]
        self.kind = Mixture(self.coder, kinds, 1, contexts)
        rows = [near, near, near, _DEPTHS]
        contexts = [Context(rows=kinds * one) for one in rows]
        contexts += [Context(rows=kinds * _SAME_OUTPUTS, lately=_LATELY[1])]
        symbols = 1 << max(0, min(longest, LEARNT) - 1)
        self.inside = Mixture(self.coder, symbols, kinds, contexts, prior=3.0, spread=0.5)

    def _code(self, part: Ints, told: Ints | None) -> None:
        """Code a step's places."""
        beside, aunt, twin = (self._kind(self.found[other[part]]) for other in self.around)
        near, sided = self.kinds + 1, 2 * self.feature[part] + self.right[part]
        depth, output = self.depth[part], self.output[part]
        contexts = [
            beside,
            aunt,
            twin,
            beside * near + aunt,
            depth * near + beside,
            sided * near + beside,
            sided,
            self.beyond[part],
            self.rows[part],
            output,
        ]
        kind = self.kind.code(0 * part, contexts, None if told is None else self._kind(told))
        contexts = [kind * near + one for one in (beside, aunt, twin)]
        contexts += [kind * _DEPTHS + depth, kind * _SAME_OUTPUTS + output]
        place = self.middle + self._distance(kind, contexts, told)
        if ((place < 0) | (place >= self.size)).any():
            raise damaged("values outside their table")
        self.found[part] = place

    def _distance(self, kind: Ints, contexts: list[Ints], told: Ints | None) -> Ints:
        """Code what is left of distances of a kind, up to 7 bits by mixture, then evenly."""
        length = kind // 2
        top: Ints = np.where(length > 0, 1 << np.maximum(length - 1, 0), 0)
        low = np.maximum(length - LEARNT, 0)
        sizes: Ints = 1 << low
        limit = np.maximum(top >> low, 1)
        away = None if told is None else np.abs(told - self.middle) - top
        some = np.flatnonzero(limit > 1)
        high = np.zeros(len(kind), np.int64)
        high[some] = self.inside.code(
            kind[some],
            [one[some] for one in contexts],
            None if away is None else away[some] >> low[some],
            within=(0 * some, limit[some]),
        )
        rest = uniform(self.coder, sizes, None if away is None else away & (sizes - 1))
        distance: Ints = top + (high << low) + rest
        return np.where(kind % 2, -distance, distance)

    def _kind(self, place: Ints) -> Ints:
        """Return twice the length of the distance from zero, 1 more below; the last if unknown."""
        away = place - self.middle
        kind = 2 * lengths(np.abs(away)) + (away < 0)
        return np.where(place < 0, self.kinds, kind)
