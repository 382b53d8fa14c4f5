"""Which training rows are kept as points, and squared distances to them.

Distances are computed in float64, in numpy and in ONNX alike: they are differences of large
numbers, from which float32 would leave few digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from raymm.models.family import Fitting, Matrix
from raymm.onnx_builder import GraphBuilder

DOUBLE = TensorProto.DOUBLE
POINTS = 8_000
"""Training rows that are kept at most. A graph holds about three numbers of 8 bytes for each pair
of a row and a point: some 200 MB for a thousand rows."""
POINT_CELLS = 2_000_000
"""Cells of the rows that are kept at most: 8 MB of graph."""
CELLS = 4_000_000
"""Distances computed at a time (32 MB)."""


def drawn(train: Matrix, how: Fitting) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Return the rows that may be kept: all, or a sample drawn with the seed where they are many.

    Returns
    -------
    x : float32, shape (m, d)
        In the order of the training rows; m is at most `POINTS` and m d at most `POINT_CELLS`, but
        one row is kept whatever its width.
    y : shape (m,)
        Each class that has a row keeps one, unless there are more classes than rows to keep.
    """
    most = max(1, min(POINTS, POINT_CELLS // max(1, train.x.shape[1])))
    if len(train.y) <= most:
        return train.x, train.y
    order = np.random.default_rng(how.seed).permutation(len(train.y))
    if how.task != "regression":
        first = np.sort(np.unique(train.y[order], return_index=True)[1])
        order = np.concatenate([order[first], np.delete(order, first)])
    rows = np.sort(order[:most])
    return train.x[rows], train.y[rows]


def squared(x: npt.NDArray[Any], points: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the squared Euclidean distances, shape (n, m), of x (n, d) to points (m, d).

    At least 0, with an absolute error near 1e-16 of the rows' and points' squared lengths.
    """
    wide, kept = np.asarray(x, np.float64), np.asarray(points, np.float64)
    product = wide @ (-2.0 * kept.T)
    product += np.square(wide).sum(axis=1)[:, None]
    product += np.square(kept).sum(axis=1)[None, :]
    return np.maximum(product, 0.0, out=product)


def chunk(points: int) -> int:
    """Return how many rows to compare with so many points at a time."""
    return max(1, CELLS // max(1, points))


def to_onnx(builder: GraphBuilder, wide: str, points: npt.NDArray[np.float32]) -> str:
    """Add the nodes that do what `squared` does.

    ``wide`` names a float64 tensor (n, d); returns the name of a float64 tensor (n, m). The graph
    holds the points as float32.
    """
    turned = double(builder, np.ascontiguousarray(np.float32(-2.0) * points.T))
    product = builder.node("MatMul", [wide, turned])
    axis = builder.constant([1], np.int64)
    own = builder.node("ReduceSum", [builder.node("Mul", [wide, wide]), axis], keepdims=1)
    theirs = np.square(points.astype(np.float64)).sum(axis=1)[None, :]
    total = builder.node("Add", [product, own])
    total = builder.node("Add", [total, builder.constant(theirs, np.float64)])
    return builder.node("Max", [total, builder.constant(0.0, np.float64)])


def double(builder: GraphBuilder, values: npt.NDArray[np.float32]) -> str:
    """Keep values as float32 and return the name of their float64 form."""
    return builder.node("Cast", [builder.constant(values)], to=DOUBLE)
