"""Numbers and booleans side by side on a common scale, for networks of few bytes.

`raymm.features.scaled_number` takes some fifteen nodes and a table a column, which is more than a
small network's weights. Here all columns share five nodes and have two constants each, with no more
digits than it takes. It suits columns that no training row lacks, without values far out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, Tensors
from raymm.features.digits import shortened
from raymm.features.normal_score import KNOTS
from raymm.features.scaled_number import Scaling
from raymm.features.transform import Transform
from raymm.onnx_builder import GraphBuilder

FARTHEST = 6.0
"""Standard deviations from the mean beyond which values are held."""
FINEST = 16
"""Steps a standard deviation that the mean is rounded to, at least."""
LEAST_STEP = 0.01
"""Standard deviations that the nearest of few values are apart, at least: beside a code like -9999
a network would not see them."""
LEAST_SPAN = 1e-30
_DIGITS = 4
"""Binary digits of the factors."""


def suitable(columns: Sequence[Column], tensors: Tensors) -> tuple[Column, ...]:
    """Return the columns that `ScaledNumbers` suits: their values differ, and none is missing.

    Of more than `KNOTS` values none may lie as far out as would be squashed, and of fewer none so
    far that the others come to lie within `LEAST_STEP`.
    """
    return tuple(one for one in columns if one.kind in _KINDS and _suits(tensors[one.name]))


_KINDS = ("number", "boolean")


def _suits(values: npt.NDArray[Any]) -> bool:
    numbers = np.asarray(values, dtype=np.float32)
    if not np.isfinite(numbers).all():
        return False
    distinct = np.unique(numbers.astype(np.float64))
    if not distinct[-1] - distinct[0] > LEAST_SPAN:
        return False
    if len(distinct) <= KNOTS:
        return bool(np.diff(distinct).min() >= LEAST_STEP * numbers.std(dtype=np.float64))
    return not Scaling().fit(numbers).squash


class ScaledNumbers(Transform):
    """One feature a column: less its mean, by its standard deviation, within ±`FARTHEST`.

    What is missing is the mean.

    Parameters
    ----------
    columns : sequence of Column
        At least one, as `suitable` returns them. `column` is the first.

    Attributes
    ----------
    mean, factor : float32, shape (k,)
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__(columns[0])
        self.columns = tuple(columns)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(one.name for one in self.columns)

    @property
    def origins(self) -> tuple[tuple[str, ...], ...]:
        """Each feature is made of one column."""
        return tuple((name,) for name in self.sources)

    def take(self, tensors: Tensors) -> npt.NDArray[np.float32]:
        """Return the columns' values, shape (n, k)."""
        return np.stack([np.asarray(tensors[name], np.float32) for name in self.sources], axis=1)

    def take_onnx(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Add what puts the columns side by side."""
        return builder.node("Concat", [inputs[name] for name in self.sources], axis=1)

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn means and deviations of shape (n, k), which holds no NaN."""
        spread = values.std(axis=0, dtype=np.float64)
        step = np.ldexp(1.0, np.frexp(spread / FINEST)[1] - 1)
        self.mean = (np.rint(values.mean(axis=0, dtype=np.float64) / step) * step).astype(
            np.float32
        )
        self.factor = shortened(1.0 / spread, _DIGITS)
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, k)."""
        with np.errstate(over="ignore"):
            scaled = (np.asarray(values, np.float32) - self.mean) * self.factor
        limit = np.float32(FARTHEST)
        return np.clip(np.where(np.isnan(scaled), np.float32(0.0), scaled), -limit, limit)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the five nodes; the tensor has shape (n, k)."""
        scaled = builder.node("Sub", [tensor, builder.constant(self.mean[None, :])])
        scaled = builder.node("Mul", [scaled, builder.constant(self.factor[None, :])])
        missing = builder.node("IsNaN", [scaled])
        scaled = builder.node("Where", [missing, builder.constant(0.0), scaled])
        return builder.node(
            "Clip", [scaled, builder.constant(-FARTHEST), builder.constant(FARTHEST)]
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' own."""
        return self.sources
