"""Nearest neighbours: the mean of the targets of the training rows that lie nearest.

Rows count as neighbours that are no farther than the k-th nearest one, ties and all, so the order
of the training rows does not matter, and a graph need not agree with numpy on the last digit of a
distance. Features may be weighed by how much each alone tells of the target, as distances over
many idle features say little (Wettschereck, Aha & Mohri 1997, "A review and empirical evaluation
of feature weighting methods for a class of lazy learning algorithms").

The graph holds the training rows, or a sample of them where they are many; see `distance.drawn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Categorical, Config, Float, Int, Shape, Space, Task
from raymm.models import distance
from raymm.models.family import Family, Fitting, Matrix
from raymm.models.heads import Head
from raymm.models.mlp import limited_threads
from raymm.onnx_builder import FLOAT, GraphBuilder
from raymm.plugins import family

LARGEST = 20_000
"""Training rows up to which it is tried unasked; `distance.POINTS` of them are kept."""
MOST_FEATURES = 200
MOST_CLASSES = distance.POINT_CELLS // distance.POINTS
"""Classes up to which the kept rows' classes take no more room than the rows may: 250."""
SLACK = 1e-9
"""How much farther than the k-th neighbour, relative to the largest distance, is as near."""
NEAR = 1e-3
"""Added to a distance, relative to the k-th neighbour's, before it is turned into a weight."""
PRIOR = 0.5
"""Rows' worth of the classes' shares that are mixed in, so that no probability is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Kept rows and their targets.

    ``k`` is from 1 to m. ``weighted`` says whether nearer rows weigh more.

    Attributes
    ----------
    scale : float32, shape (d,)
        What features are multiplied by before distances are taken.
    cosine : bool
        Whether rows are brought to length 1 first.
    points : float32, shape (m, d)
        Scaled and, where cosine, of length 1.
    values : float32, shape (m, outputs)
        Standardised targets, or 1 in the class's column.
    prior : float64, shape (outputs,)
        Rows' worth of each class that every mean begins with; 0 in regression.
    """

    scale: npt.NDArray[np.float32]
    cosine: bool
    points: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    prior: npt.NDArray[np.float64]
    k: int
    weighted: bool
    head: Head
    threads: int


@family("neighbors")
class Neighbors(Family):
    """The mean of the nearest rows, plain or weighted by one over the distance."""

    encoding = "dense"
    order = 90

    def suits(self, task: Task, shape: Shape) -> bool:
        """Return whether rows, features and classes are few enough."""
        small = shape.rows <= LARGEST and shape.features <= MOST_FEATURES
        return small and shape.classes <= MOST_CLASSES

    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search; ``relevance`` is the power of the features' weights."""
        return {
            "k": Int(1, int(np.clip(shape.rows // 10, 2, 100)), log=True),
            "weights": Categorical(("distance", "uniform")),
            "metric": Categorical(("euclidean", "cosine")),
            "relevance": Float(0.0, 1.0),
        }

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return few neighbours with weights."""
        k = int(min(8, np.clip(shape.rows // 10, 2, 100)))
        return ({"k": k, "weights": "distance", "metric": "euclidean", "relevance": 0.5},)

    def fit(self, config: Config, train: Matrix, how: Fitting) -> Fitted:
        """Keep the rows; see `Family.fit`."""
        head = Head.fit(how, train.y)
        x, y = distance.drawn(train, how)
        regression = how.task == "regression"
        values = head.target(y)[:, None] if regression else np.eye(how.classes)[y]
        power = config.get("relevance")
        weight = _relevance(x, values) ** (0.5 if power is None else float(power))
        scale = weight.astype(np.float32)
        cosine = config.get("metric") == "cosine"
        return Fitted(
            scale=scale,
            cosine=cosine,
            points=_placed(x, scale, cosine).astype(np.float32),
            values=values.astype(np.float32),
            prior=np.zeros(1) if regression else PRIOR * values.mean(axis=0),
            k=min(int(config.get("k") or 8), len(y)),
            weighted=config.get("weights") != "uniform",
            head=head,
            threads=how.threads,
        )

    def predict(
        self, model: Fitted, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities or values; see `Family.predict`."""
        step = distance.chunk(len(model.points))
        with limited_threads(model.threads):
            parts = [_mean(model, x[at : at + step]) for at in range(0, max(1, len(x)), step)]
        mean = np.concatenate(parts)
        return model.head.predict(mean) if model.head.task == "regression" else mean

    def to_onnx(self, model: Fitted, builder: GraphBuilder, features: str) -> str:
        """Add distances, the k-th of them, and the mean; see `Family.to_onnx`."""
        wide = builder.node("Cast", [features], to=distance.DOUBLE)
        placed = builder.node("Mul", [wide, distance.double(builder, model.scale)])
        axis = builder.constant([1], np.int64)
        if model.cosine:
            square = builder.node("Mul", [placed, placed])
            length = builder.node("Sqrt", [builder.node("ReduceSum", [square, axis], keepdims=1)])
            placed = builder.node("Div", [placed, _over(builder, length, 1e-30)])
        # float32, as the kept rows are: a row equal to one of them is at distance 0.
        placed = builder.node("Cast", [placed], to=FLOAT)
        placed = builder.node("Cast", [placed], to=distance.DOUBLE)
        far = distance.to_onnx(builder, placed, model.points)
        count = builder.constant([model.k], np.int64)
        nearest, _ = builder.nodes("TopK", [far, count], outputs=2, axis=1, largest=0, sorted=1)
        last = builder.constant([model.k - 1], np.int64)
        kth = builder.node("Gather", [nearest, last], axis=1)
        largest = builder.node("ReduceMax", [far, axis], keepdims=1)
        slack = builder.node("Mul", [largest, _constant(builder, SLACK)])
        within = builder.node("LessOrEqual", [far, builder.node("Add", [kth, slack])])
        weight = builder.node("Cast", [within], to=distance.DOUBLE)
        if model.weighted:
            near = builder.node("Mul", [kth, _constant(builder, NEAR**2)])
            near = builder.node("Add", [near, slack])
            root = builder.node("Sqrt", [builder.node("Add", [far, near])])
            weight = builder.node("Div", [weight, _over(builder, root, 1e-30)])
        return _graph_of_mean(model, builder, weight)


def _relevance(x: npt.NDArray[np.float32], values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return each feature's largest correlation with a target, over the largest of all: (d,)."""
    wide = x.astype(np.float64)
    wide -= wide.mean(axis=0)
    aim = values - values.mean(axis=0)
    norms = np.sqrt(np.square(wide).sum(axis=0))[:, None] * np.sqrt(np.square(aim).sum(axis=0))
    shared = np.abs(wide.T @ aim) / np.maximum(norms, 1e-30)
    found = shared.max(axis=1)
    # What tells nothing alone may tell something with others: it keeps a tenth.
    top = found.max()
    return np.clip(found / top, 0.1, 1.0) if top > 1e-12 else np.ones(len(found))


def _placed(
    x: npt.NDArray[np.float32], scale: npt.NDArray[np.float32], cosine: bool
) -> npt.NDArray[np.float64]:
    placed = x.astype(np.float64) * scale.astype(np.float64)
    if cosine:
        placed /= np.maximum(np.sqrt(np.square(placed).sum(axis=1, keepdims=True)), 1e-30)
    return placed.astype(np.float32).astype(np.float64)


def _mean(model: Fitted, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the mean of the neighbours' values, shape (n, outputs)."""
    far = distance.squared(_placed(x, model.scale, model.cosine), model.points)
    kth = np.partition(far, model.k - 1, axis=1)[:, model.k - 1 : model.k]
    slack = far.max(axis=1, keepdims=True) * SLACK
    weight = (far <= kth + slack).astype(np.float64)
    if model.weighted:
        weight /= np.maximum(np.sqrt(far + (kth * NEAR**2 + slack)), 1e-30)
    # Weights are relative to their mean, so that the prior counts as some rows, near or far.
    weight *= model.k / np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    total = weight @ model.values.astype(np.float64) + model.prior
    mean: npt.NDArray[np.float64] = total / (model.k + model.prior.sum())
    return mean


def _graph_of_mean(model: Fitted, builder: GraphBuilder, weight: str) -> str:
    """Add the weighted mean; returns float32 probabilities (n, classes) or values (n, 1)."""
    axis = builder.constant([1], np.int64)
    whole = _over(builder, builder.node("ReduceSum", [weight, axis], keepdims=1), 1e-300)
    share = builder.node("Div", [weight, whole])
    count = float(model.k + model.prior.sum())
    values = distance.double(builder, model.values)
    total = builder.node("MatMul", [share, values])
    total = builder.node("Mul", [total, _constant(builder, model.k / count)])
    mean = builder.node("Add", [total, _constant(builder, model.prior / count)])
    if model.head.task == "regression":
        scaled = builder.node("Mul", [mean, _constant(builder, [model.head.deviation])])
        mean = builder.node("Add", [scaled, _constant(builder, [model.head.mean])])
    return builder.node("Cast", [mean], to=FLOAT)


def _over(builder: GraphBuilder, tensor: str, least: float) -> str:
    return builder.node("Max", [tensor, _constant(builder, least)])


def _constant(builder: GraphBuilder, values: npt.ArrayLike) -> str:
    return builder.constant(values, np.float64)
