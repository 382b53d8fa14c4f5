"""Takes the least useful columns, units and weights out of networks, and trains what is left.

Fewer units make a network smaller and faster, and fewer columns the features before it; weights
of zero make its file smaller alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression import unread
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.finetuning import Lesson, finetune, lesson_of
from raymm.compression.narrowing import count, fewer_columns, fewer_units, largest
from raymm.compression.network import Network, networks, put, written
from raymm.compression.parsed import model_of
from raymm.compression.tap import tree_nodes
from raymm.errors import BundleError
from raymm.models.mlp import limited_threads
from raymm.plugins import compressor

SHARES = ("columns", "units", "weights")
UNITS = (0.48, 0.25, 0.12)
COLUMNS = 0.5
WEIGHTS = 0.2
SMALL, BESIDE = 0.1, 0.25
"""Share of the file's bytes below which networks are left as they are, and that of networks beside
trees: of 16 % on letter, half of the units took 8 of 37 s and saved 8 % of the bytes. Rounding
halves them in no time."""


@compressor("prune_network")
class PruneNetwork(Compressor):
    """The share ``units`` of every hidden layer, ``columns`` of inputs, ``weights`` of matrices."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling shares of units, one with fewer columns and one with fewer weights.

        None without a hidden layer, and none for networks that are a small part of a mix: each
        recipe trains them anew, which takes seconds, to save what nobody would notice.
        """
        found = _deep(bundle)
        weights = 4 * sum(layer.matrix.size for one in found for layer in one.layers)
        least = BESIDE if tree_nodes(bundle)[1] else SMALL
        if not found or weights < least * len(bundle.to_bytes(proven=False)):
            return ()
        widths = [layer.matrix.shape[1] for one in found for layer in one.layers[:-1]]
        kept = {tuple(count(width, share) for width in widths): share for share in UNITS}
        kept.pop(tuple(widths), None)
        units = [{"units": share} for share in kept.values()]
        most = max(one.layers[0].matrix.shape[0] for one in found)
        both = [{"units": UNITS[-1], "columns": COLUMNS}] if count(most, COLUMNS) < most else []
        return (*units, *both, {"weights": WEIGHTS})

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with smaller networks, trained anew.

        Raises
        ------
        BundleError
            When the graph holds no network with a hidden layer, a share is not above 0 and at
            most 1, or there are no rows to learn from.
        """
        import onnx

        shares = {name: float(recipe.get(name, 1.0) or 0.0) for name in SHARES}
        found = len(_deep(bundle))
        if not found or not all(0 < one <= 1 for one in shares.values()) or not len(rows.y):
            raise BundleError(
                "prune_network needs a graph with hidden layers, rows to learn from, and shares "
                f"above 0 and at most 1, but got {found} networks, {len(rows.y)} rows and "
                f"{shares}. Choose another technique."
            )
        model = onnx.ModelProto.FromString(bundle.graph)
        for number in range(found):
            network = _deep_of(model)[number]
            lesson = lesson_of(bundle, network, rows, alone=found == 1)
            put(model, pruned(network, lesson, shares))
        unread.drop(model)
        return written(bundle, model)


def pruned(network: Network, lesson: Lesson, shares: Mapping[str, float]) -> Network:
    """Return a network with the shares of `SHARES` of what it is made of, trained anew."""
    x, masks = lesson.x, None
    with limited_threads(1):
        small = fewer_columns(network, shares["columns"], x)
        x = x[:, list(small.columns)] if small.columns else x
        for number in range(len(network.activations)):
            small = fewer_units(small, number, shares["units"], x)
        if shares["weights"] < 1:
            pairs = zip(small.layers, small.hidden(x), strict=False)
            masks = [largest(layer.matrix, read, shares["weights"]) for layer, read in pairs]
            layers = zip(small.layers, masks, strict=True)
            small = replace(
                small, layers=tuple(replace(one, matrix=one.matrix * mask) for one, mask in layers)
            )
    return finetune(small, lesson, masks=masks)


def _deep(bundle: Bundle) -> tuple[Network, ...]:
    return _deep_of(model_of(bundle))


def _deep_of(model: Any) -> tuple[Network, ...]:
    """Return the networks that have a hidden layer."""
    return tuple(one for one in networks(model) if one.activations)
