"""Rows to compare with, drawn from the statistics that a bundle carries.

A bundle holds no rows of the training data, only counts of each column. The rows made here have
each column's distribution, and columns that know nothing of each other: the background of the
interventional Shapley value with independent columns.

Source: Janzing, Minorics & Blöbaum 2020, "Feature relevance quantification in explainable AI".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Column, ColumnStatistics, Schema, Statistics, Tensors

_PROBABILITIES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Of `ColumnStatistics.quantiles`."""


def background(
    schema: Schema, statistics: Statistics | None, rows: int, *, generator: np.random.Generator
) -> Tensors:
    """Return made rows, one array of shape (rows,) a feature.

    Each column is drawn at ``rows`` evenly spaced quantiles in an order of its own (a Latin
    hypercube), so that few rows have the column's mean and spread. Numbers and dates are values
    between the training data's bin edges, whole where those are; categories are the words counted;
    a share as large as in training is missing. Texts, of which only lengths are counted, are
    missing. A column without statistics is halfway between its schema's bounds, or its first
    category.

    Source: McKay, Beckman & Conover 1979.
    """
    known = {} if statistics is None else {one.name: one for one in statistics.columns if one.rows}
    made = {}
    for column in schema.features:
        levels = (generator.permutation(rows) + 0.5) / rows
        made[column.name] = _drawn(column, known.get(column.name), levels)
    return made


def _drawn(
    column: Column, counted: ColumnStatistics | None, levels: npt.NDArray[np.float64]
) -> npt.NDArray[Any]:
    gone = counted.missing / counted.rows if counted is not None else 0.0
    missing = levels < gone
    spread = np.clip((levels - gone) / (1 - gone), 0, 1) if gone < 1 else np.zeros(len(levels))
    if column.kind in ("number", "datetime"):
        values = _numbers(column, counted, spread)
        if column.kind == "number":
            return np.where(missing, np.nan, values).astype(np.float32)
        seconds = np.where(np.isfinite(values), values, 0).astype(np.int64)
        return np.where(missing | ~np.isfinite(values), NO_TIME, seconds)
    words = [] if column.kind == "text" else _words(column, counted, spread)
    if column.kind == "boolean":
        codes = [float(word == "1") for word in words] or [np.nan] * len(levels)
        return np.where(missing, np.nan, codes).astype(np.float32)
    made = np.empty(len(levels), dtype=object)
    made[:] = ["" if gone else word for gone, word in zip(missing, words, strict=False)] or ""
    return made


def _numbers(
    column: Column, counted: ColumnStatistics | None, spread: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    if counted is None or not counted.quantiles:
        low, high = column.minimum, column.maximum
        half = np.nan if low is None or high is None else low / 2 + high / 2
        return np.full(len(spread), half)
    least, most = counted.quantiles[0], counted.quantiles[-1]
    edges, total = counted.edges, sum(counted.counts)
    if not edges or not total or len(edges) + 1 != len(counted.counts):
        return np.interp(spread, _PROBABILITIES[: len(counted.quantiles)], counted.quantiles)
    shares = np.cumsum(counted.counts) / total
    known = [*edges, most]
    if counted.distinct <= len(known):  # the edges are all the values there are
        return np.array(known)[np.minimum(np.searchsorted(shares, spread), len(edges))]
    quantiles = zip(_PROBABILITIES, counted.quantiles, strict=False)
    tail = [(p, q) for p, q in quantiles if p > shares[-2] and q > edges[-1]]
    points = [(0.0, least), *zip(shares[:-1].tolist(), edges, strict=True), *tail]
    places, values = zip(*sorted(set(points)), strict=True)
    drawn: npt.NDArray[np.float64] = np.interp(spread, places, values)
    whole = all(float(value).is_integer() for value in (least, most, *edges))
    return np.round(drawn) if whole else drawn


def _words(
    column: Column, counted: ColumnStatistics | None, spread: npt.NDArray[np.float64]
) -> Sequence[str]:
    if counted is None or not counted.values or not sum(counted.counts):
        first = "0" if column.kind == "boolean" else next(iter(column.categories), "")
        return [first] * len(spread)
    shares = np.cumsum(counted.counts) / sum(counted.counts)
    places = np.minimum(np.searchsorted(shares, spread), len(counted.values) - 1)
    return [counted.values[place] for place in places.tolist()]
