"""What the leaves of trees add to the outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raymm.bundle.counts import Counts, Ints
from raymm.bundle.entropy import ALPHABET, Coder, adaptive, lengths, uniform
from raymm.bundle.parts import DAMAGED
from raymm.bundle.tree_nodes import Nodes
from raymm.bundle.tree_tables import SIGN, code_tables
from raymm.errors import BundleError

LARGEST_VALUES = 1 << 22
OUTPUTS = ALPHABET - 1
"""Outputs at most where leaves add to several."""
_LOW_BITS = 22
"""Of a float32's key that are written out where values have no table."""
LENGTHS = 24
"""Of distances in a table: from 0 to 23 bits."""
LEARNT = 8
"""Bits of a distance, with the first, that are learnt."""
SAME_OUTPUTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaves:
    """Leaf values, by the leaves' numbers in the coder's order and by output.

    Attributes
    ----------
    leaf : int64, shape (values,)
        Node numbers, never decreasing.
    output : int64, shape (values,)
        Increasing within a leaf.
    key : int64, shape (values,)
        Of the value; see `raymm.bundle.tree_tables.keys_of`.
    """

    leaf: Ints
    output: Ints
    key: Ints


def code_leaves(
    coder: Coder, nodes: Nodes, outputs: int, known: Leaves | None, by: Placing | None = None
) -> Leaves:
    """Code which outputs leaves add to, and what.

    ``by`` codes values' places in a table, as `code_places` does, which does unless another is
    given.

    Raises
    ------
    BundleError
        When what is read has too many values or outputs.
    ValueError
        When leaves add to several outputs, and there are more than `OUTPUTS`.
    """
    leaves = np.flatnonzero(~nodes.inner)
    usual = nodes.tree[leaves] % outputs
    one = np.zeros(1, np.int64)
    plain = known is not None and np.array_equal(known.leaf, leaves)
    plain = plain and known is not None and np.array_equal(known.output, usual)
    told = None if known is None else one + plain
    if adaptive(coder, [(Counts(1, 2), one)], told)[0]:
        leaf, output = leaves, usual
    else:
        leaf, output = _code_outputs(coder, leaves, outputs, known)
    told = None if known is None else known.key
    key = _code_keys(coder, nodes, (leaf, output), told, by or code_places)
    return Leaves(leaf=leaf, output=output, key=key)


def _code_outputs(
    coder: Coder, leaves: Ints, outputs: int, known: Leaves | None
) -> tuple[Ints, Ints]:
    """Code each leaf's outputs one after another, and its end as one more output."""
    if outputs > OUTPUTS:
        if known is None:
            raise damaged("too many outputs")
        raise ValueError(f"there must be at most {OUTPUTS} outputs, but there are {outputs}")
    seen = Counts(outputs + 1, outputs + 1, 4)
    row, last = np.arange(len(leaves)), np.full(len(leaves), -1, np.int64)
    if known is not None:
        place = np.searchsorted(known.leaf, leaves)
        end = np.searchsorted(known.leaf, leaves, side="right")
        padded = np.append(known.output, outputs)
    rows, found, total = [row[:0]], [row[:0]], 0
    while len(row):
        told = None
        if known is not None:
            told = np.where(place[row] < end[row], padded[np.minimum(place, end)[row]], outputs)
            place = place + 1
        within = (last[row] + 1, np.full(len(row), outputs + 1))
        output = adaptive(coder, [(seen, last[row] + 1)], told, within=within)
        if (output <= last[row]).any():
            raise damaged("outputs out of order")
        row, output = row[output < outputs], output[output < outputs]
        last[row] = output
        total += len(row)
        if total > LARGEST_VALUES:
            raise damaged("too many values")
        rows.append(row)
        found.append(output)
    which, output = np.concatenate(rows), np.concatenate(found)
    order = np.lexsort((output, which))
    return leaves[which[order]], output[order]


def _code_keys(
    coder: Coder, nodes: Nodes, where: tuple[Ints, Ints], key: Ints | None, by: Placing
) -> Ints:
    """Code values as places in a table, or in two parts, the first as places in a table."""
    leaf = where[0]
    told = None if key is None else np.array([_split(key)], np.int64)
    split = adaptive(coder, [(Counts(1, 2), np.zeros(1, np.int64))], told)[0]
    shift = _LOW_BITS if split else 0
    tables = None if key is None else [np.unique(key >> shift << shift)]
    table = code_tables(coder, tables, 1, len(leaf))[0]
    told = None if key is None else np.searchsorted(table, key >> shift << shift)
    if len(table) == 0 and len(leaf):
        raise damaged("no values")
    found = table[by(coder, nodes, where, table, told)]
    if split:
        low = None if key is None else key & ((1 << shift) - 1)
        # Hostile tables may hold any keys.
        found = found >> shift << shift
        found |= uniform(coder, np.full(len(leaf), 1 << shift), low)
    return found


def code_places(
    coder: Coder, nodes: Nodes, where: tuple[Ints, Ints], table: Ints, told: Ints | None
) -> Ints:
    """Code each value's place in the table, after the leaf beside it and the leaf's twin.

    ``where`` are the leaves and the outputs of the values.
    """
    leaf, output = where
    found = np.zeros(len(leaf) + 1, np.int64)
    beside = neighbour(where, leaf - 1, nodes.right[leaf] & ~nodes.inner[leaf - 1])
    twin = neighbour(where, nodes.twin[leaf], nodes.twin[leaf] >= 0)
    places = _Places(coder, table)
    for part in turns(nodes, leaf, beside):
        known = [np.where(other[part] < 0, -1, found[other[part]]) for other in (beside, twin)]
        values = None if told is None else told[part]
        found[part] = places.code(known[0], known[1], output[part] % SAME_OUTPUTS, values)
    return found[:-1]


class _Places:
    """Codes places as the sign and the length of their distance from zero's, and the distance."""

    def __init__(self, coder: Coder, table: Ints) -> None:
        self.coder, self.size = coder, len(table)
        self.middle = int(np.searchsorted(table, SIGN))
        self.same = Counts(LENGTHS, 2)
        self.by_output = Counts(SAME_OUTPUTS, 2 * LENGTHS)
        self.by_beside = Counts(2 * LENGTHS + 1, 2 * LENGTHS, 8)
        self.by_twin = Counts(2 * LENGTHS + 1, 2 * LENGTHS, 8)
        self.inside = Counts(2 * LENGTHS, ALPHABET // 2, 2, 1)

    def code(self, beside: Ints, twin: Ints, output: Ints, told: Ints | None) -> Ints:
        """Code the places of values; those of neighbours are -1 where there is none."""
        found = np.where(twin >= 0, twin, 0)
        some = np.flatnonzero(twin >= 0)
        context = lengths(np.abs(twin[some] - self.middle))
        same = None if told is None else (told[some] == twin[some]).astype(np.int64)
        same = adaptive(self.coder, [(self.same, context)], same)
        rest = np.concatenate([np.flatnonzero(twin < 0), some[same == 0]])
        seen = [
            (self.by_output, output[rest]),
            (self.by_beside, self._kind(beside[rest])),
            (self.by_twin, self._kind(twin[rest])),
        ]
        told = None if told is None else told[rest]
        kind = adaptive(self.coder, seen, None if told is None else self._kind(told))
        found[rest] = self._distance(kind, told)
        if ((found < 0) | (found >= self.size)).any():
            raise damaged("values outside their table")
        return found

    def _kind(self, place: Ints) -> Ints:
        """Return twice the length of the distance from zero, and 1 more below zero."""
        away = place - self.middle
        kind = 2 * lengths(np.abs(away)) + (away < 0)
        return np.where(place < 0, 2 * LENGTHS, kind)

    def _distance(self, kind: Ints, told: Ints | None) -> Ints:
        """Code what is left of distances of a kind: up to 7 bits by what was seen, then evenly."""
        length = kind // 2
        top: Ints = np.where(length > 0, 1 << np.maximum(length - 1, 0), 0)
        low = np.maximum(length - LEARNT, 0)
        sizes: Ints = 1 << low
        away = None if told is None else np.abs(told - self.middle) - top
        limit = np.maximum(top >> low, 1)
        part = np.flatnonzero(limit > 1)
        high = np.zeros(len(kind), np.int64)
        told = None if away is None else away[part] >> low[part]
        within = (0 * part, limit[part])
        seen = [(self.inside, kind[part])]
        high[part] = adaptive(self.coder, seen, told, base=3, within=within)
        rest = uniform(self.coder, sizes, None if away is None else away & (sizes - 1))
        distance: Ints = top + (high << low) + rest
        return self.middle + np.where(kind % 2, -distance, distance)


def turns(nodes: Nodes, leaf: Ints, beside: Ints) -> list[Ints]:
    """Return which values are coded together: a bunch's without a leaf beside, then the others.

    Twins are then known a bunch later, the leaf beside after all on the left.
    """
    turn = 2 * (nodes.tree[leaf] // nodes.bunch) + (beside >= 0)
    order = np.argsort(turn, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(turn[order])) + 1)


def neighbour(where: tuple[Ints, Ints], other: Ints, able: npt.NDArray[np.bool_]) -> Ints:
    """Return where the value of the same output of another leaf is; -1 where there is none."""
    leaf, output = where
    width = int(output.max(initial=0)) + 1
    keys = leaf * width + output
    asked = np.where(able, other * width + output, -1)
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    return np.where(able & (keys[place] == asked), place, -1)


Placing = Callable[[Coder, Nodes, tuple[Ints, Ints], Ints, "Ints | None"], Ints]
"""Given a coder, nodes, values' leaves and outputs, the table, and for a writer the places."""


def damaged(how: str) -> BundleError:
    """Return the error for values that no writer leaves."""
    return BundleError(f"the bundle file is damaged: its trees have {how}. {DAMAGED}")


def _split(key: Ints) -> bool:
    """Return whether values take less in two parts than as places in a table of them all."""
    return _estimate(key >> _LOW_BITS) + _LOW_BITS * len(key) < _estimate(key)


def _estimate(numbers: Ints) -> float:
    """Return about how many bits numbers take as places in a table, with the table."""
    table, counts = np.unique(numbers, return_counts=True)
    gaps = lengths(np.diff(table))
    return float((gaps + 2).sum() - counts @ np.log2(counts / max(len(numbers), 1)))
