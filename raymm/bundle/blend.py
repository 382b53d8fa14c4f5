"""What a recipe makes: the weighted mean of pipelines' predictions, and its calibration.

A weighted mean of probabilities rather than of log-odds: a forest that is sure of a row says 0,
whose log-odds would outweigh every other member.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Indices, Recipe, Schema, Task, Tensors
from raymm.artifacts.recipe import SAME
from raymm.bundle.pipeline import Bench, Pipeline
from raymm.onnx_builder import GraphBuilder

FLOOR = 1e-6
"""Added to probabilities before a logarithm is taken. A forest's probability of 0 is a sum of
float32 in the graph, up to 6e-8 away; with a slope of 0.7 the two still agree within
6e-8 * 0.7 * FLOOR ** (0.7 - 1) = 3e-6. The order of rows stays."""
LEAST_SLOPE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """Pipelines of one schema and the weights of their predictions, which sum to 1.

    ``calibration`` is that of `raymm.artifacts.Recipe`. A pipeline alone with the weight 1 and
    no calibration predicts, and is written, as it is.
    """

    members: tuple[Pipeline, ...]
    weights: tuple[float, ...] = (1.0,)
    calibration: tuple[float, float] = SAME

    @property
    def schema(self) -> Schema:
        """That of the members."""
        return self.members[0].schema

    @property
    def task(self) -> Task:
        """That of the members."""
        return self.members[0].task

    def kept(self, share: float) -> Self:
        """Return the blend of members cut to a share of their rounds; see `Pipeline.share`."""
        return replace(self, members=tuple(replace(one, share=share) for one in self.members))

    def predict(self, tensors: Tensors) -> npt.NDArray[np.float64]:
        """Return probabilities, shape (n, classes), or values, shape (n,)."""
        made: dict[int, npt.NDArray[np.float32]] = {}
        total: Any = 0.0
        for member, weight in zip(self.members, self.weights, strict=True):
            key = id(member.features)
            if key not in made:
                made[key] = member.features.transform(tensors)
            part = member.predict_features(made[key])
            if len(self.members) == 1:
                return calibrated(part, self.calibration)
            total = total + weight * part
        return calibrated(total, self.calibration)

    def to_onnx(self, builder: GraphBuilder, inputs: dict[str, str]) -> str:
        """Add every member's nodes and what mixes them; features they share are made once.

        Returns the name of a float32 tensor: probabilities (n, classes) or values (n, 1).
        """
        made: dict[int, str] = {}
        for member in self.members:
            if id(member.features) not in made:
                made[id(member.features)] = member.features.to_onnx(builder, inputs)
            member.family.announce(member.model, builder, made[id(member.features)])
        parts = []
        for member, weight in zip(self.members, self.weights, strict=True):
            part = member.to_onnx(builder, made[id(member.features)])
            if len(self.members) > 1:
                part = builder.node("Mul", [part, builder.constant([weight])])
            parts.append(part)
        result = parts[0] if len(parts) == 1 else builder.node("Sum", parts)
        return _calibrated_onnx(builder, result, self.calibration, len(self.schema.classes))

    def contributions(
        self, tensors: Tensors, rounds: Sequence[int]
    ) -> tuple[npt.NDArray[np.float64], tuple[str, ...]] | None:
        """Return exact contributions and the raw column of each, or None where there are none.

        A mix has them where its predictions are sums of its members': for values. ``rounds`` says
        how many of each member's are explained; shapes are those of `Family.contributions`.
        """
        bent = any(member.curve is not None for member in self.members)
        if bent or (len(self.members) > 1 and self.task != "regression"):
            return None
        parts, bases = [], []
        columns: list[str] = []
        for member, weight, most in zip(self.members, self.weights, rounds, strict=True):
            x = member.features.transform(tensors)
            found = member.family.contributions(member.model, x, most)
            if found is None:
                return None
            credit, credited = member.features.credited(found[..., :-1])
            parts.append(weight * credit)
            bases.append(weight * found[..., -1:])
            columns += credited
        slope, shift = self.calibration
        base = slope * np.sum(bases, axis=0) + shift
        return np.concatenate([*(slope * part for part in parts), base], axis=-1), tuple(columns)


def fit(dataset: Dataset, rows: Indices, recipe: Recipe, *, seed: int, threads: int) -> Blend:
    """Train every member of a recipe on these rows.

    Raises
    ------
    ConfigError
        When a family is not known.
    DataError
        When no feature differs between the rows.
    """
    bench = Bench(dataset, rows)
    members = tuple(
        bench.fit(one.trial.config, rounds=one.trial.rounds, seed=seed, threads=threads)
        for one in recipe.members
    )
    return mixed(members, recipe)


def mixed(members: Sequence[Pipeline], recipe: Recipe) -> Blend:
    """Return trained members, in the recipe's order, mixed as the recipe says."""
    return Blend(
        members=tuple(members),
        weights=tuple(one.weight for one in recipe.members),
        calibration=recipe.calibration,
    )


def calibrated(
    predictions: npt.NDArray[np.float64], calibration: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Apply a calibration to probabilities, shape (n, classes); values stay as they are.

    The shift moves the last class's log-odds; of several classes it must be 0.
    """
    if calibration == SAME or predictions.ndim == 1:
        return predictions
    slope, shift = calibration
    raised = slope * np.log(predictions + FLOOR)
    raised[:, -1] += shift
    power = np.exp(raised - raised.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = power / power.sum(axis=1, keepdims=True)
    return probabilities


def _calibrated_onnx(
    builder: GraphBuilder, result: str, calibration: tuple[float, float], classes: int
) -> str:
    """Add the nodes that do what `calibrated` does."""
    if calibration == SAME or not classes:
        return result
    slope, shift = calibration
    logarithm = builder.node("Log", [builder.node("Add", [result, builder.constant([FLOOR])])])
    shifts = np.zeros((1, classes))
    shifts[0, -1] = shift
    scaled = builder.node("Mul", [logarithm, builder.constant([slope])])
    moved = builder.node("Add", [scaled, builder.constant(shifts)])
    return builder.node("Softmax", [moved], axis=1)


def decided(predictions: npt.NDArray[Any], decision: Sequence[float]) -> npt.NDArray[Any]:
    """Weigh probabilities so that the largest of a row is the label that is answered.

    Shape (n, classes), rows summing to 1; as they are where ``decision`` is empty.
    """
    if not decision:
        return predictions
    weighed = predictions * np.asarray(decision, dtype=predictions.dtype)
    total = weighed.sum(axis=1, keepdims=True)
    return np.asarray(weighed / np.where(total > 0, total, 1), dtype=predictions.dtype)
