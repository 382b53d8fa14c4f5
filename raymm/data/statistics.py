"""Counts what a table's columns hold: to decide on a schema, and as the reference for drift."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import (
    NO_TIME,
    Column,
    ColumnStatistics,
    Dataset,
    ManyValues,
    Schema,
    Statistics,
    Table,
)
from raymm.data.guessed import Guessed
from raymm.data.guesses import Guess
from raymm.features.columns import encode

VALUES = 50
"""The most values that are counted one by one."""

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
DIGITS = 4
"""Of a deviation that a bundle carries."""
_DECILES = tuple(i / 10 for i in range(1, 10))


def describe(table: Table, guessed: Guessed | None = None) -> Statistics:
    """Return the statistics of each column of a table, whose kinds are guessed."""
    guessed = guessed or Guessed(table)
    names = map(str, table.frame.columns)
    columns = tuple(_described(name, guessed[name]) for name in names)
    return Statistics(rows=len(table.frame), columns=columns)


def reference(dataset: Dataset) -> Statistics:
    """Return the statistics of each feature on the training rows, from the tensors.

    Numbers and dates are counted in bins between their deciles, which are values that occur, so
    that each bin holds about a tenth of the rows; texts are binned by their length in characters.
    Booleans are counted as the words ``0`` and ``1``. Numbers that say more than the rows know are
    shortened; see `shortened`. Of categories beyond `VALUES` more is kept; see `ManyValues`.
    """
    rows, features = dataset.train, dataset.schema.features
    columns = [of_tensor(dataset.tensors[column.name][rows], column) for column in features]
    return Statistics(
        rows=len(rows),
        columns=tuple(map(shortened, columns)),
        many=tuple(
            ManyValues.of(one.name, _rows_of(dataset.tensors[one.name][rows]))
            for one in columns
            if one.kind == "category" and one.distinct > len(one.values)
        ),
    )


def _rows_of(words: npt.NDArray[Any]) -> dict[str, int]:
    counted = pd.Series(words[words != ""], dtype=object).value_counts()
    return dict(zip(map(str, counted.index), counted.tolist(), strict=True))


def shortened(found: ColumnStatistics) -> ColumnStatistics:
    """Return a column's statistics with numbers of fewer digits, as each bundle carries them.

    The deviation keeps `DIGITS` significant digits and the mean as many decimals: a thousandth of
    the deviation is the mean's own error in a million rows. Quantiles of numbers, which models read
    as float32, are rounded to that; bins and ranges stay as they are. Of 30 columns of float32 that
    takes 1.5 kB of a bundle file, of 61 columns of small whole numbers 0.8 kB.
    """
    mean, deviation = found.mean, found.deviation
    if found.kind == "number":
        inside = tuple(float(np.float32(value)) for value in found.quantiles[1:-1])
        found = replace(found, quantiles=(*found.quantiles[:1], *inside, *found.quantiles[-1:]))
    if mean is None or deviation is None or not 0 < deviation < np.inf:
        return found
    first = int(np.floor(np.log10(deviation)))
    return replace(
        found,
        mean=round(mean, DIGITS - 1 - first),
        deviation=float(f"{deviation:.{DIGITS - 1}e}"),
    )


def reread(table: Table, schema: Schema, described: Statistics) -> Statistics:
    """Return a table's statistics with its features as a schema reads them.

    Values that stand for missing there, or cannot be read as the kind there, count as missing.
    """
    tensors = encode(table.frame, schema)
    known = {column.name: column for column in schema.features}
    columns = tuple(
        of_tensor(tensors[one.name], known[one.name]) if one.name in known else one
        for one in described.columns
    )
    return replace(described, columns=columns)


def of_tensor(values: npt.NDArray[Any], column: Column) -> ColumnStatistics:
    """Return the statistics of one column's tensor, shape (n,); see `reference`."""
    kind = column.kind
    if kind in ("number", "datetime"):
        known = ~np.isnan(values) if kind == "number" else values != NO_TIME
        return _numeric(column, len(values), values[known].astype(np.float64))
    if kind == "boolean":
        held = values[~np.isnan(values)]
        words = np.where(held > 0.5, "1", "0").astype(object)
    else:
        words = values[values != ""]
    if kind == "text":
        return _text(column.name, words, len(values))
    counted = pd.Series(words, dtype=object).value_counts()
    return _counted(
        column,
        [str(word) for word in counted.index],
        np.asarray(counted, dtype=np.int64),
        len(values),
    )


def _described(name: str, found: Guess) -> ColumnStatistics:
    rows = found.length
    column = Column(name=name, kind=found.kind)
    if found.numeric:
        return _numeric(column, rows, found.cells)
    result = _counted(column, found.words, found.rows, rows)
    if found.kind == "text":
        lengths = np.array([len(word) for word in found.words], dtype=np.float64)
        mean = float(np.average(lengths, weights=found.rows)) if len(lengths) else 0.0
        return ColumnStatistics(
            name=name,
            kind="text",
            rows=rows,
            missing=result.missing,
            distinct=result.distinct,
            values=result.values,
            counts=result.counts,
            other=result.other,
            mean_length=mean,
        )
    return result


def _numeric(column: Column, rows: int, known: npt.NDArray[np.float64]) -> ColumnStatistics:
    missing = rows - len(known)
    known = known[np.isfinite(known)]
    if not len(known):
        return ColumnStatistics(
            name=column.name, kind=column.kind, rows=rows, missing=missing, distinct=0, counts=(0,)
        )
    ordered = np.sort(known)
    edges, counts = _histogram(ordered)
    mean, deviation = _moments(known)
    return ColumnStatistics(
        name=column.name,
        kind=column.kind,
        rows=rows,
        missing=missing,
        distinct=int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1,
        mean=mean,
        deviation=deviation,
        quantiles=quantiles(ordered),
        edges=edges,
        counts=counts,
    )


def _moments(known: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the standard deviation, of values too large to be squared, too."""
    unit = 2.0**600 if float(np.abs(known).max()) > 2.0**500 else 1.0
    parts = known / unit
    return float(parts.mean()) * unit, float(parts.std()) * unit


def histogram(values: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return at most nine inner edges at distinct deciles, and the rows in each bin.

    The edges are values that occur (inverse of the empirical distribution function), without the
    largest, above which there is nothing. See `ColumnStatistics.edges` for the bins.
    """
    return _histogram(np.sort(values))


def _histogram(ordered: npt.NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    size = len(ordered)
    if not size:
        return (), (0,)
    places = np.ceil(size * np.array(_DECILES) - 1).astype(np.int64)
    edges = np.unique(ordered[np.clip(places, 0, None)])
    edges = edges[edges < ordered[-1]]
    below = np.searchsorted(ordered, edges, side="right")
    counts = np.diff(below, prepend=0, append=size)
    return tuple(map(float, edges)), tuple(map(int, counts))


def quantiles(ordered: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Return the `QUANTILES` of sorted values, interpolated linearly as `numpy.quantile` does."""
    places = np.array(QUANTILES) * (len(ordered) - 1)
    low = np.floor(places).astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    part = places - low
    below, above = ordered[low], ordered[high]
    step = above - below
    near = np.where(part < 0.5, below + step * part, above - step * (1 - part))
    return tuple(map(float, near))


def _text(name: str, words: npt.NDArray[Any], rows: int) -> ColumnStatistics:
    lengths = np.array([len(word) for word in words], dtype=np.float64)
    edges, counts = histogram(lengths)
    return ColumnStatistics(
        name=name,
        kind="text",
        rows=rows,
        missing=rows - len(words),
        distinct=len(set(words.tolist())),
        edges=edges,
        counts=counts,
        mean_length=float(lengths.mean()) if len(lengths) else 0.0,
    )


def _counted(
    column: Column, words: list[str], counts: npt.NDArray[np.int64], rows: int
) -> ColumnStatistics:
    first = heapq.nsmallest(VALUES, range(len(words)), key=lambda i: (-int(counts[i]), words[i]))
    known = int(counts.sum())
    return ColumnStatistics(
        name=column.name,
        kind=column.kind,
        rows=rows,
        missing=rows - known,
        distinct=len(words),
        values=tuple(words[i] for i in first),
        counts=tuple(int(counts[i]) for i in first),
        other=known - sum(int(counts[i]) for i in first),
    )
