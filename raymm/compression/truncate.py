"""Keeps the first trees of a boosted ensemble, or some trees of a forest.

Boosting adds ever smaller corrections, and the number of rounds that scores best is often several
times the number that scores within a hair of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression import unread_sets
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.parsed import model_of
from raymm.compression.tap import ensemble_of, tree_nodes, trees_in
from raymm.errors import BundleError
from raymm.plugins import compressor

SHARES = (0.7, 0.45, 0.25, 0.1)
LARGE_GRAPH = 3_000_000
LARGE_SHARES = (0.5, 0.25, 0.1)
"""Fewer shares where a graph has more bytes than that: packing one then takes seconds."""


@compressor("truncate")
class Truncate(Compressor):
    """The share ``keep`` of boosting rounds, or of a forest's trees, from the first on."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling shares; none for graphs without trees or with a single round."""
        nodes = trees_in(model_of(bundle))
        if not nodes:
            return ()
        rounds = max(ensemble_of(node).rounds for node in nodes)
        shares = LARGE_SHARES if len(bundle.graph) > LARGE_GRAPH else SHARES
        kept = {kept_rounds(rounds, share): share for share in reversed(shares)}
        return tuple({"keep": kept[k]} for k in sorted(kept, reverse=True) if k < rounds)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with ``recipe["keep"]`` of its rounds, at least one.

        Raises
        ------
        BundleError
            When the graph holds no trees of ours, or ``keep`` is not above 0 and at most 1.
        """
        keep = float(recipe.get("keep") or 0.0)
        model, nodes = tree_nodes(bundle)
        if not nodes or not 0 < keep <= 1:
            raise BundleError(
                "truncate needs a graph with trees and a share above 0 and at most 1, but got "
                f"{keep if nodes else 'no trees'}. Choose another technique."
            )
        for node in nodes:
            trees = ensemble_of(node)
            node.CopyFrom(trees.first(kept_rounds(trees.rounds, keep)).to_node(node))
        unread_sets.drop(model)
        return replace(bundle, graph=bytes(model.SerializeToString(deterministic=True)))


def kept_rounds(rounds: int, share: float) -> int:
    """Return how many of ``rounds`` a share is, at least 1.

    >>> kept_rounds(200, 0.35), kept_rounds(3, 0.05)
    (70, 1)
    """
    return max(1, round(rounds * share))
