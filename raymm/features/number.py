"""Numbers and booleans as they are, for models that bear missing values."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.features.transform import Transform
from raymm.onnx_builder import GraphBuilder
from raymm.plugins import transform

LIMIT = 1e30
"""Largest magnitude let through: float32 ends at 3.4e38, so a model may still add a few hundred
million such values without an overflow."""


@transform("number")
class Number(Transform):
    """One feature equal to the column, missing staying NaN, held within ±`LIMIT`."""

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn nothing."""
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the values, shape (n, 1)."""
        numbers = np.asarray(values, dtype=np.float32)
        return np.clip(numbers, np.float32(-LIMIT), np.float32(LIMIT))[:, None]

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add a Clip, which passes NaN on."""
        return builder.node("Clip", [tensor, builder.constant(-LIMIT), builder.constant(LIMIT)])

    @property
    def names(self) -> tuple[str, ...]:
        """The column's own name."""
        return (self.column.name,)
