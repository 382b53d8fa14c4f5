"""Trains a small model on the labels alone: what students of the technique distill must beat.

It is a form of its own too: a plainly smaller model is often as good.
"""

from __future__ import annotations

from collections.abc import Sequence

from raymm.artifacts import Config
from raymm.bundle.packed import Bundle
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.distill import bundle_of, require_size, sizes
from raymm.compression.students import student
from raymm.compression.teaching import labels_alone
from raymm.plugins import compressor


@compressor("retrain")
class Retrain(Compressor):
    """The model of `raymm.compression.distill` of the same size, trained on labels alone."""

    order = 40

    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return the sizes that students have."""
        return sizes(bundle, rows)

    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the bundle of the small model; errors are those of `Distill.apply`."""
        require_size(recipe, rows)
        lesson = labels_alone(bundle.schema, rows)
        return bundle_of(bundle, student(bundle.schema, lesson, recipe, seed=rows.seed), rows)
