"""Proof that a graph predicts what the trained pipeline predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Column, Schema, Tensors
from raymm.bundle.blend import Blend
from raymm.bundle.pipeline import Pipeline
from raymm.bundle.run import Runner
from raymm.errors import ParityError

BOUND = 1e-5
"""Largest difference allowed: of a probability, or of a value as a share of the values' spread."""
_NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, 1e-30, 1e-45, 0.0, -0.0, 1.0, -1.0, 1e6)
_DATES = (NO_TIME, NO_TIME + 1, 2**63 - 1, -62_135_596_800, 253_402_300_799, 0, -1, 951_782_400)
_WORDS = (
    "",
    " ",
    "\t\r\n",
    "never seen before",
    "NaN",
    "a\0b",
    "é",
    "e\u0301",
    "İstanbul ſ K",
    "日本 語",
    "🎉🎉 🎉",
    "x" * 10_000,
    "word " * 2_000,
    "FREE  call 09061701461 NOW!!! www.example.com £5?\nline two\rthree\tfour",
)

Drawer = Callable[[npt.NDArray[Any], int, np.random.Generator], npt.NDArray[Any]]


def adversarial(
    tensors: Tensors, schema: Schema, *, generator: np.random.Generator, count: int
) -> dict[str, npt.NDArray[Any]]:
    """Make rows that are likely to tell a graph from its pipeline.

    The first row lacks every value; then each column lacks its value in one row that is otherwise
    real. The others mix, cell by cell, real values, their nearest float32 neighbours, and hard
    ones: infinities, ±1e30, subnormals, both zeros, the first and last dates, and empty, unseen,
    long and Unicode words.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (m,)
        Real rows, at least one.
    count : int
        How many rows to make; at least one a column and one more are made.

    Returns
    -------
    dict of column name to array, shape (max(count, columns + 1),)
    """
    columns = schema.features
    rows = max(count, len(columns) + 1)
    made: dict[str, npt.NDArray[Any]] = {}
    for place, column in enumerate(columns):
        real = np.asarray(tensors[column.name])
        values = real[generator.integers(len(real), size=rows)]
        hard = _hard(column, values, generator)
        mixed = generator.random(rows) < 0.5
        mixed[: len(columns) + 1] = False
        values = np.where(mixed, hard, values)
        values[[0, place + 1]] = _missing(column)
        made[column.name] = values
    return made


def check(
    pipeline: Pipeline | Blend,
    runner: Runner,
    tensors: Tensors,
    *,
    bound: float = BOUND,
    spread: float | None = None,
) -> float:
    """Compare a graph with its pipeline, row by row.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
    bound : float
    spread : float, optional
        Standard deviation of the target, for regression; that of the pipeline's predictions
        where it is not given.

    Returns
    -------
    float
        The largest difference: absolute for probabilities; for regression |a - b| divided by
        the larger of ``spread`` and |a|.

    Raises
    ------
    ParityError
        When it is above the bound or either side is not finite; names the worst row, its values
        and both predictions.
    """
    expected = np.asarray(pipeline.predict(tensors), dtype=np.float64)
    found = np.asarray(runner.predict(tensors), dtype=np.float64)
    if expected.shape != found.shape:
        raise ParityError(
            f"the graph must predict the shape {expected.shape}, but predicts {found.shape}."
        )
    if expected.size == 0:
        return 0.0
    by_row = _differences(expected, found, pipeline.task == "regression", spread)
    worst = int(np.argmax(by_row))
    if by_row[worst] > bound:
        values = {column.name: tensors[column.name][worst] for column in pipeline.schema.features}
        raise ParityError(
            f"graph and pipeline must agree within {bound:g}, but in row {worst} they differ by "
            f"{by_row[worst]:g}: pipeline {expected[worst]}, graph {found[worst]}, for "
            f"{_shorten(values)}. The model cannot be kept; report it with these values."
        )
    return float(by_row[worst])


def _differences(
    expected: npt.NDArray[np.float64],
    found: npt.NDArray[np.float64],
    relative: bool,
    spread: float | None,
) -> npt.NDArray[np.float64]:
    """Return each row's largest difference, shape (n,), as `check` measures it."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(expected - found)
        if relative:
            unit = float(np.std(expected)) if spread is None else spread
            difference = difference / np.maximum(unit if unit > 0 else 1.0, np.abs(expected))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    return np.asarray(difference.reshape(len(difference), -1).max(axis=1))


def _missing(column: Column) -> Any:
    if column.kind == "datetime":
        return NO_TIME
    return "" if column.kind in ("category", "text") else np.nan


def _hard(
    column: Column, values: npt.NDArray[Any], generator: np.random.Generator
) -> npt.NDArray[Any]:
    rows = len(values)
    if column.kind == "datetime":
        moved = values + generator.choice([-86_400, -1, 1, 86_400], size=rows)
        moved = np.where(values == NO_TIME, values, moved)
        dates = np.array(_DATES, dtype=np.int64)[generator.integers(len(_DATES), size=rows)]
        return np.where(generator.random(rows) < 0.5, moved, dates)
    if column.kind in ("category", "text"):
        swapped = np.array([str(word).swapcase() + " " for word in values], dtype=object)
        words = np.array(_WORDS, dtype=object)[generator.integers(len(_WORDS), size=rows)]
        return np.where(generator.random(rows) < 0.2, swapped, words)
    towards = np.where(generator.random(rows) < 0.5, np.inf, -np.inf).astype(np.float32)
    near = np.nextafter(values.astype(np.float32), towards)
    drawn = np.array(_NUMBERS, dtype=np.float32)[generator.integers(len(_NUMBERS), size=rows)]
    return np.where(generator.random(rows) < 0.5, near, drawn)


def _shorten(values: dict[str, Any]) -> str:
    shown = {name: str(value)[:60] for name, value in list(values.items())[:30]}
    return repr(shown)
