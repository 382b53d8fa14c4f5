"""Writes the numbers of trees more coarsely: leaf values in few bits, thresholds from a table.

Leaf values become multiples of one step an ensemble, which the file stores as integers
(`raymm.bundle.tree_values`). Each tree's rounding makes up for that of the trees before, as far as
rows fall together. Thresholds are joined and shortened by `raymm.compression.thresholds`.

Measured on 500 trees of 63 leaves, 30 features and 255 bins (AUC 0.9832 on rows that nothing saw,
3,434 kB of LightGBM's text, 186 kB as they are): 8 bits and 255 thresholds a feature take 84 kB and
6 and 127 take 69 kB without a loss; with 4 bits that make up for nothing the AUC is 0.937. One step
an ensemble rather than one a tree, as small values matter less: 8 bits are then 4.8 a leaf in the
file instead of 7.7.

Moving each threshold to one that more splits use, where the error that rows have so far and the
bits together are least, saved 4 % more of california_housing's file and nothing of others, and
took three times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression import unread_sets
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.grove import Floats, Grove, Reached, cells, reach
from raymm.compression.parsed import model_of
from raymm.compression.seen import Seen, plain_columns, seen
from raymm.compression.tap import ensemble_of, tree_nodes, trees_in
from raymm.compression.thresholds import coarsened
from raymm.compression.units import smallest
from raymm.errors import BundleError
from raymm.plugins import compressor

BITS = range(3, 17)
RECIPES = ((8, 511), (6, 255), (5, 127), (4, 63), (3, 31))
"""Bits of a leaf value and thresholds a feature in the mean, the finest first."""
ROUNDED = (14, 12, 10, 8, 6)
"""Bits of leaf values where thresholds stay. All rows go where they went and no answer moves far,
so that few rows tell that little is lost (see `Compressor.bounded_moves`): of digits, with 288
rows to tell by, only these surely lose at most 0.005 or 0.0005 of accuracy."""
MOST_ROWS = 10_000
CELLS = 5_000_000
"""Rows times leaf values that a row reaches, at most."""
LARGEST = 5_000_000
"""Nodes times values of a leaf up to which ensembles are rounded; larger ones stay as they are."""
PRIOR = 64.0
"""Rows without error that are added to a leaf's before their error is made up for."""
_STEP_BITS = 8
"""Bits of the step's mantissa: multiples of up to 16 bits are exact in float32."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """An ensemble, what it is given, and where rows end."""

    grove: Grove
    x: Seen
    reached: Reached


@compressor("quantize")
class Quantize(Compressor):
    """Leaves of so many ``bits``, and in the mean at most ``thresholds`` a feature (0: all)."""

    finer = len(ROUNDED)

    def __init__(self) -> None:
        self._known: tuple[bytes, Rows, list[_Whole]] | None = None

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return ever coarser ones; none for graphs without trees, or of very large ones alone."""
        if not _able(trees_in(model_of(bundle))):
            return ()
        both = (*((bits, 0) for bits in ROUNDED), *RECIPES)
        return tuple({"bits": bits, "thresholds": most} for bits, most in both)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with its trees' numbers rounded.

        Raises
        ------
        BundleError
            When the graph holds no trees of ours, ``bits`` is none of `BITS`, or ``thresholds``
            is negative.
        """
        bits, most = int(recipe.get("bits") or 0), int(recipe.get("thresholds") or 0)
        model, nodes = tree_nodes(bundle)
        if not nodes or bits not in BITS or most < 0:
            raise BundleError(
                f"quantize needs a graph with trees, from {BITS[0]} to {BITS[-1]} bits and "
                f"thresholds of at least 0, but got {bits} and {most} for {len(nodes)} nodes of "
                "trees. Choose another technique."
            )
        nodes = _able(nodes)
        for node, whole in zip(nodes, self._wholes(bundle, nodes, rows), strict=True):
            node.CopyFrom(_quantized(whole, node, bits, most).to_node(node))
        unread_sets.drop(model)
        return replace(bundle, graph=bytes(model.SerializeToString(deterministic=True)))

    def bounded_moves(self, recipe: Config) -> bool:
        """Return whether leaf values are rounded alone: rows then go where they went."""
        return not recipe.get("thresholds")

    def _wholes(self, bundle: Bundle, nodes: Sequence[Any], rows: Rows) -> list[_Whole]:
        """Return the ensembles of a bundle; recipes for the same one follow each other."""
        known = self._known
        if known is None or known[0] != bundle.graph or known[1] is not rows:
            wholes = [_whole(bundle, node, rows) for node in nodes]
            self._known = known = (bundle.graph, rows, wholes)
        return known[2]


def _able(nodes: Sequence[Any]) -> list[Any]:
    """Return the nodes that are rounded: the smallest, up to `LARGEST`; others stay as they are.

    A mix may hold a forest of many classes beside boosters.
    """
    return [nodes[place] for place in smallest([cells(ensemble_of(n)) for n in nodes], LARGEST)]


def _whole(bundle: Bundle, node: Any, rows: Rows) -> _Whole:
    grove = Grove.of(ensemble_of(node))
    # A reader of the file expects thresholds after those above: preorder costs it nothing.
    grove = grove.rebuilt()[0]
    plain = plain_columns(bundle, node.input[0])
    width = int(grove.feature.max(initial=0)) + 1 if plain is None else plain
    count = int(min(len(rows.y), MOST_ROWS, CELLS // max(1, grove.outputs.size, width)))
    if count == 0:
        return _Whole(grove, Seen(np.empty((0, width), np.float32)), np.empty((0, 0), np.int32))
    chosen = np.sort(np.random.default_rng(rows.seed).choice(len(rows.y), count, replace=False))
    tensors = {name: values[chosen] for name, values in rows.tensors.items()}
    x = seen(bundle, node.input[0], tensors)
    return _Whole(grove, x, reach(grove, x))


def _quantized(whole: _Whole, node: Any, bits: int, most: int) -> Any:
    """Return the ensemble with its numbers rounded; rounds and shares of a mean stay."""
    grove, reached = whole.grove, whole.reached
    if most and len(whole.x):
        grove = coarsened(grove, whole.x, most)
        reached = reach(grove, whole.x)
    step = step_of(grove.value, bits)
    value = rounded(grove, reached, step, (whole.grove, whole.reached))
    before = ensemble_of(node)
    return replace(
        replace(grove, value=value).ensemble(),
        trees_per_round=before.trees_per_round,
        averaged=before.averaged,
    )


def step_of(value: Floats, bits: int) -> float:
    """Return the step with which the largest value takes ``bits`` bits with its sign.

    It has few bits itself, so that its multiples are exact in float32. 0 where all values are 0.

    >>> step_of(np.array([0.5, -1.27]), 8)
    0.010009765625
    """
    largest = float(np.abs(value).max(initial=0.0)) / (2 ** (bits - 1) - 1)
    mantissa, exponent = np.frexp(largest)
    return float(np.ldexp(np.ceil(mantissa * 2**_STEP_BITS), exponent - _STEP_BITS))


def rounded(grove: Grove, reached: Reached, step: float, whole: tuple[Grove, Reached]) -> Floats:
    """Return leaf values as multiples of a step, shape (nodes, width).

    Tree by tree, a leaf's value is shifted by the mean error that its rows have so far against
    the whole ensemble, and then rounded. Zeros among several values of a leaf stay.

    Parameters
    ----------
    grove, whole : Grove, and the leaf that each row reaches in each of its trees
        What is rounded, and what it is held against; tree for tree.
    step : float
    """
    if step == 0:
        return grove.value
    value = np.round(grove.value / step) * step + 0.0
    if reached.shape[1:] in ((), (0,)):
        return value
    error = np.zeros((len(grove.base), reached.shape[1]))
    ends = grove.ends
    for tree, first in enumerate(grove.roots.tolist()):
        size = int(ends[tree]) - first
        leaf, before = reached[tree] - first, whole[1][tree]
        rows = np.bincount(leaf, minlength=size)
        for column, output in enumerate(grove.outputs[tree].tolist()):
            target = whole[0].value[before, column] - error[output]
            # What leaves would have to hold, and, for rows that are not there, what they hold.
            own = grove.value[first : first + size, column]
            total = np.bincount(leaf, target, minlength=size) + PRIOR * own
            new = np.where(rows > 0, total / (rows + PRIOR), own)
            new = np.round(new / step) * step + 0.0
            if grove.outputs.shape[1] > 1:
                # Zeros among several values are not written, and stay so.
                new = np.where(own == 0, 0.0, new)
            value[first : first + size, column] = np.where(
                grove.left[first : first + size] < 0, new, 0.0
            )
            error[output] += new[leaf] - whole[0].value[before, column]
    return value
