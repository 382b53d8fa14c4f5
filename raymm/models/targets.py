"""What a regressor trains on: the target itself or its logarithm.

A target that is positive and skewed, as prices, counts and durations are, often has errors in
proportion to its size; on the logarithm they are alike everywhere. Source: Box & Cox 1964, with
the exponent 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Task
from raymm.models.family import Matrix
from raymm.models.shared import derived
from raymm.onnx_builder import GraphBuilder

KEY = "target"
"""The parameter of a configuration that says what is trained on."""
LOG = "log"
CHOICES = Categorical(("raw", LOG))
SKEWED = 1.0
"""Skewness from which a logarithm is worth a try; that of an exponential distribution is 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The logarithm of the target plus ``shift``, and back.

    Predictions are kept between ``low`` and ``high``, the ends of the training logarithms and a
    standard deviation on either side: an exponential turns a far guess into a huge one.
    """

    shift: float
    low: float
    high: float

    @classmethod
    def fit(cls, y: npt.NDArray[Any]) -> Self:
        """Learn from a training target without negative values, shape (n,)."""
        positive = y[y > 0]
        shift = float(positive.min()) if len(positive) and y.min() <= 0 else 0.0
        raised = np.log(y + shift)
        spread = float(np.std(raised))
        return cls(shift=shift, low=float(raised.min()) - spread, high=float(raised.max()) + spread)

    def forward(self, y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return what is trained on, shape (n,)."""
        return np.asarray(np.log(y + self.shift), dtype=np.float64)

    def back(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return predictions in the target's unit, shape (n,)."""
        return np.asarray(np.exp(np.clip(values, self.low, self.high)) - self.shift, np.float64)

    def to_onnx(self, builder: GraphBuilder, values: str) -> str:
        """Add the nodes that do what `back` does."""
        ends = builder.constant(self.low), builder.constant(self.high)
        raised = builder.node("Exp", [builder.node("Clip", [values, *ends])])
        return builder.node("Sub", [raised, builder.constant([self.shift])])


def curve(config: Config, task: Task, y: npt.NDArray[Any]) -> Curve | None:
    """Return what a configuration asks for on these training rows; None for the target itself."""
    if task != "regression" or config.get(KEY) != LOG or not possible(y):
        return None
    return Curve.fit(y)


def bent(train: Matrix, how: Curve) -> Matrix:
    """Return the rows with the bent target; the same array each time where they are shared."""

    def make() -> npt.NDArray[np.float64]:
        made = how.forward(train.y)
        made.setflags(write=False)
        return made

    return replace(train, y=derived(train, ("target", LOG), make))


def possible(y: npt.NDArray[Any]) -> bool:
    """Whether a target has a logarithm: no value is negative, and two differ."""
    return len(y) > 0 and bool(y.min() >= 0) and bool(y.max() > y.min())


def skewed(y: npt.NDArray[Any]) -> bool:
    """Whether a logarithm is worth a try: it is possible, and makes a skewed target less so."""
    if not possible(y):
        return False
    plain, raised = _skewness(np.asarray(y, np.float64)), _skewness(Curve.fit(y).forward(y))
    return plain > SKEWED and abs(raised) < plain


def _skewness(values: npt.NDArray[np.float64]) -> float:
    centred = values - values.mean()
    spread = float(np.sqrt(np.mean(centred**2)))
    return float(np.mean(centred**3) / spread**3) if spread > 0 else 0.0
