"""Whether a version's calls pay when they are joined, measured when it is loaded."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics, Tensors
from raymm.serving.columns import moment_of
from raymm.serving.line import put_together
from raymm.serving.protocol import RecordReader, example
from raymm.serving.sources import Predictor

ROWS = 16
"""Rows that are predicted together."""
SHARE = 0.5
"""Of the time that a row takes alone, what it may take among others at most. Whoever is first in a
call waits for the last; at half of the time, n that wait are answered as soon on average as by n
calls one after the other, and the last of them twice as soon."""
_TRIES, _BRIEF = 5, 0.2
"""How often they are tried at most, and the seconds after which they are not tried again: several
replicas that load at once are in each other's way."""
_ALONE = (0, 5, 10, 15)
"""Rows that are predicted alone, too."""
_OFF = 1e-5
"""How far a prediction may be off for the company of other rows, relative to the largest: what the
order of float32 sums is worth. raymm's own families answer the same in every byte. Of ONNX's
operators sums (ReduceSum: 3e-7) and SVMRegressor (6e-6) add up a row alone in another order than
one of many, and matrix products do not (onnxruntime 1.32 on x86-64, 64 rows, up to 300 columns)."""


def pays(
    runner: Predictor,
    statistics: Statistics | None,
    *,
    alone: float,
    together: float,
) -> bool:
    """Return whether calls of a version are to be joined.

    They are not where rows tell on each other's predictions, as with matrices that are quantised
    by the range of all that they hold; nor where varied rows cannot be predicted.

    Parameters
    ----------
    statistics : Statistics or None
        Varied rows are made of them.
    alone, together : float
        Seconds that one row took, and `ROWS` like it. Rows that cost as much together as alone are
        not tried again, by varied ones.
    """
    if together > ROWS * alone:
        return False
    rows = varied(runner.schema, statistics, ROWS, seed=0)
    reader = RecordReader(runner.schema)
    try:
        joined = reader.tensors(rows)
        seconds, predictions = _timed(runner, joined)
        more = _putting(joined)
        start = time.perf_counter()
        apart = np.concatenate([runner.predict(_row(joined, place)) for place in _ALONE])
        each = (time.perf_counter() - start) / len(_ALONE)
        gains = together + more <= SHARE * ROWS * alone or seconds + more <= SHARE * ROWS * each
        return gains and _alike(predictions[list(_ALONE)], apart)
    except Exception:
        return False


def varied(
    schema: Schema, statistics: Statistics | None, rows: int, *, seed: int
) -> list[dict[str, Any]]:
    """Return records that a model accepts and that differ from each other.

    Each value is one of its column's quantiles, edges, limits, categories or frequent values, where
    these are known, or the schema's example.
    """
    generator = np.random.default_rng(seed)
    known = {one.name: one for one in statistics.columns} if statistics is not None else {}
    plain = example(schema)
    values = {
        column.name: _values(column, known.get(column.name)) or [plain[column.name]]
        for column in schema.features
    }
    return [
        {name: some[int(generator.integers(len(some)))] for name, some in values.items()}
        for _ in range(rows)
    ]


def _values(column: Column, seen: ColumnStatistics | None) -> list[Any]:
    if column.kind in ("number", "datetime"):
        numbers = [column.minimum, column.maximum]
        numbers += [*seen.quantiles, *seen.edges] if seen is not None else []
        if column.kind == "number" and isinstance(column.example, int | float):
            numbers += [column.example, -column.example, column.example / 2]
        finite = [float(one) for one in numbers if one is not None and math.isfinite(one)]
        if column.kind == "number":
            return finite or [-1.0, 0.0, 1.0]
        return [moment_of(math.floor(one), column) for one in finite]
    if column.kind == "boolean":
        return [False, True]
    words = [*column.categories, *(seen.values if seen is not None else ())]
    return [one for one in words if one]


def _timed(runner: Predictor, tensors: Tensors) -> tuple[float, npt.NDArray[Any]]:
    """Return the least time of some tries, in seconds, and the predictions."""
    least, begun = math.inf, time.perf_counter()
    for _ in range(_TRIES):
        start = time.perf_counter()
        predictions = runner.predict(tensors)
        now = time.perf_counter()
        least = min(least, now - start)
        if now - begun > _BRIEF:
            break
    return least, predictions


def _putting(tensors: Tensors) -> float:
    """Return the seconds that it takes to put rows together, of which each is a request's."""
    singly = [_row(tensors, place) for place in range(ROWS)]
    least = math.inf
    for _ in range(_TRIES):
        start = time.perf_counter()
        put_together(singly)
        least = min(least, time.perf_counter() - start)
    return least


def _row(tensors: Tensors, place: int) -> Tensors:
    return {name: values[place : place + 1] for name, values in tensors.items()}


def _alike(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    """Whether predictions are the same, NaN never being so."""
    if one.shape != other.shape:
        return False
    with np.errstate(invalid="ignore"):  # infinities are not the same, either
        return bool((np.abs(one - other) <= _OFF * np.abs(other).max()).all())
