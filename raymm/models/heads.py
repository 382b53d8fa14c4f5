"""How raw outputs become predictions: a standardised value, a sigmoid or a softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from raymm.artifacts import Task
from raymm.models.family import Fitting
from raymm.onnx_builder import GraphBuilder

ABSENT = -30.0
"""Raw output of a class without a training row: a probability of 1e-13 beside an even output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Maps raw outputs to predictions, in numpy and in ONNX alike.

    Regression is trained on the target less its ``mean`` over its ``deviation``: the graph works
    in float32, and sums of small numbers keep more digits than sums of large ones.
    """

    task: Task
    classes: int
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def fit(cls, how: Fitting, y: npt.NDArray[Any]) -> Self:
        """Learn the scale of the training target, shape (n,)."""
        if how.task != "regression":
            return cls(task=how.task, classes=how.classes)
        deviation = float(np.std(y))
        return cls(
            task=how.task,
            classes=0,
            mean=float(np.mean(y)),
            deviation=deviation if np.isfinite(deviation) and deviation > 0 else 1.0,
        )

    @property
    def outputs(self) -> int:
        """Raw outputs a row: one for regression and binary tasks, else one a class."""
        return self.classes if self.task == "multiclass" else 1

    def target(self, y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return what a regressor trains on, shape (n,); class codes stay as they are."""
        return (np.asarray(y, np.float64) - self.mean) / self.deviation

    def predict(self, margins: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Turn raw outputs (n, outputs) into probabilities (n, classes) or values (n,)."""
        raw = np.asarray(margins, np.float64)
        if self.task == "regression":
            values: npt.NDArray[np.float64] = raw[:, 0] * self.deviation + self.mean
            return values
        if self.task == "binary":
            # Each side by its own sigmoid: 1 - p would lose the digits of a small probability.
            sides: npt.NDArray[np.float64] = expit(np.hstack([-raw, raw]))
            return sides
        power = np.exp(raw - raw.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[np.float64] = power / power.sum(axis=1, keepdims=True)
        return probabilities

    def to_onnx(self, builder: GraphBuilder, margins: str) -> str:
        """Add the nodes that do what `predict` does; values have shape (n, 1)."""
        if self.task == "regression":
            scaled = builder.node("Mul", [margins, builder.constant([self.deviation])])
            return builder.node("Add", [scaled, builder.constant([self.mean])])
        if self.task == "multiclass":
            return builder.node("Softmax", [margins], axis=1)
        negative = builder.node("Sigmoid", [builder.node("Neg", [margins])])
        positive = builder.node("Sigmoid", [margins])
        return builder.node("Concat", [negative, positive], axis=1)

    def contributions(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Give contributions to raw outputs (…, d + 1) the target's unit in regression."""
        shares = np.array(raw, np.float64)
        if self.task == "regression":
            shares *= self.deviation
            shares[..., -1] += self.mean
        return shares
