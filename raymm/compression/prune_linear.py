"""Takes the columns with the smallest coefficients out of linear models.

A coefficient counts in the unit of what it does: times the deviation of its column. What is left
is fitted again, and features of which no column is left are not made any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression import unread
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.finetuning import finetune, lesson_of
from raymm.compression.narrowing import count, fewer_columns
from raymm.compression.network import Network, networks, put, written
from raymm.compression.parsed import model_of
from raymm.errors import BundleError
from raymm.models.mlp import limited_threads
from raymm.plugins import compressor

SHARES = (0.5, 0.25, 0.1)


@compressor("prune_linear")
class PruneLinear(Compressor):
    """The share ``columns`` of what every linear model reads."""

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return falling shares of columns; none without a linear model."""
        widths = [one.layers[0].matrix.shape[0] for one in _linear(bundle)]
        kept = {tuple(count(width, share) for width in widths): share for share in SHARES}
        kept.pop(tuple(widths), None)
        return tuple({"columns": share} for share in kept.values())

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle with linear models of ``recipe["columns"]`` of their columns.

        Raises
        ------
        BundleError
            When the graph holds no linear model, the share is not above 0 and at most 1, or there
            are no rows to fit to.
        """
        import onnx

        share = float(recipe.get("columns") or 0.0)
        found = len(_linear(bundle))
        if not found or not 0 < share <= 1 or not len(rows.y):
            raise BundleError(
                "prune_linear needs a graph with a linear model, rows to fit to, and a share above "
                f"0 and at most 1, but got {found} linear models, {len(rows.y)} rows and {share}. "
                "Choose another technique."
            )
        model = onnx.ModelProto.FromString(bundle.graph)
        for number in range(found):
            network = _linear_of(model)[number]
            lesson = lesson_of(bundle, network, rows, alone=found == 1)
            with limited_threads(1):
                small = fewer_columns(network, share, lesson.x)
            put(model, finetune(small, lesson))
        unread.drop(model)
        return written(bundle, model)


def _linear(bundle: Bundle) -> tuple[Network, ...]:
    return _linear_of(model_of(bundle))


def _linear_of(model: Any) -> tuple[Network, ...]:
    """Return the networks of one layer."""
    return tuple(one for one in networks(model) if not one.activations)
