"""Proof that a graph compares with the rows that its tables and places stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Tensors
from raymm.bundle.packed import Bundle
from raymm.compression.tap import tapped

Doubles = npt.NDArray[np.float64]
_STEP = float(np.finfo(np.float32).eps)
_TINY = float(np.finfo(np.float32).tiny)
_LARGEST = float(np.finfo(np.float32).max) / 4
_MAKERS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Cast": lambda values: values,
    "Gather": lambda values, places: np.take(values, places.astype(np.int64), axis=0),
    "Mul": np.multiply,
}
"""The operators that make a matrix of constants; numpy widens numbers where they are cast."""


def rows_apart(bundle: Bundle, model: Any, tensors: Tensors) -> Iterator[tuple[Doubles, Doubles]]:
    """Yield how far products of rows and matrices made of constants are off, and the bounds.

    Matrices are made by numpy from the constants. Where a product is on its way to squared
    distances (see `raymm.models.distance.to_onnx`), these are held against the differences of rows
    and points, squared and added up in float64. Rows whose sums are beyond float32 are left out.

    Parameters
    ----------
    model : ModelProto
        The bundle's graph.
    tensors : mapping of column name to array, shape (n,)

    Yields
    ------
    float64, shapes (m, columns) and (m, columns)
    """
    from onnx import numpy_helper

    held = {one.name: one for one in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    readers = {name: node for node in model.graph.node for name in node.input}

    def made(name: str) -> npt.NDArray[Any] | None:
        if name in held:
            return np.asarray(numpy_helper.to_array(held[name]))
        node = makers.get(name)
        if node is None or node.op_type not in _MAKERS:
            return None
        parts = [made(one) for one in node.input]
        if any(part is None for part in parts):
            return None
        return np.asarray(_MAKERS[node.op_type](*parts))

    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] in held:
            continue
        matrix = made(node.input[1])
        if matrix is None or matrix.ndim != 2:
            continue
        matrix = matrix.astype(np.float64)
        x = tapped(bundle, node.input[0], tensors).astype(np.float64)
        far = _distances(node, readers, held)
        size = np.abs(x) @ np.abs(matrix)
        if far:
            size = np.square(x).sum(axis=1)[:, None] + np.square(matrix / -2).sum(axis=0)
        known = (size < _LARGEST).all(axis=1)
        x, size = x[known], size[known]
        expected = _squared(x, matrix / -2) if far else x @ matrix
        found = tapped(bundle, far or node.output[0], tensors)[known]
        # What is tapped is float32, rows and results alike: together a step of the size at most.
        yield np.abs(found - expected), 2 * _STEP * size + _TINY


def _squared(x: Doubles, points: Doubles) -> Doubles:
    """Return squared distances of rows (n, d) to points (d, m), one row at a time."""
    made = [np.square(row[:, None] - points).sum(axis=0) for row in x]
    return np.array(made).reshape(len(x), points.shape[1])


def _distances(node: Any, readers: dict[str, Any], held: dict[str, Any]) -> str:
    """Return the tensor of squared distances that a product is on its way to; empty for others."""
    steps, name = [], node.output[0]
    for _ in range(2):
        after = readers.get(name)
        if after is None or after.op_type != "Add":
            return ""
        steps.append(after)
        name = after.output[0]
    # The lengths of points are made on the way; a bias would be a constant.
    other = [one for one in steps[1].input if one != steps[0].output[0]]
    return "" if other and other[0] in held else name
