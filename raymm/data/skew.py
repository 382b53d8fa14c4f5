"""Tells in which ways the test rows differ from the training rows, or repeat them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Column, Dataset
from raymm.data.duplicates import by_chance, keys
from raymm.data.evidence import there
from raymm.data.findings import anomaly

DISTANCE = 0.15
"""The difference of two distributions, from 0 to 1, that is told of."""

_ROWS = 20_000
_CHANCE = 1e-6


def skew(dataset: Dataset) -> tuple[Anomaly, ...]:
    """Return a warning for each column whose test rows differ, and one for copies across the split.

    Numbers and dates are compared by the largest difference of their distribution functions
    (Kolmogorov and Smirnov), words and classes by half the sum of the differences of their
    shares; both must be 0.15 at least, and far from chance. Texts are not compared. At most 20,000
    rows of each side are looked at.
    """
    found = [*_copies(dataset)]
    sides = [_some(dataset.train, 3), _some(dataset.test, 4)]
    remedy = _remedy(dataset)
    for column in dataset.schema.features:
        if column.kind != "text":
            first, second = (dataset.tensors[column.name][rows] for rows in sides)
            found += _told(column, _different(first, second, column), remedy)
    target = dataset.schema.column(dataset.schema.target)
    first, second = (dataset.y[rows] for rows in sides)
    compared = _shares if dataset.schema.classes else _functions
    found += _told(target, compared(first, second), remedy)
    return tuple(found)


def _remedy(dataset: Dataset) -> str:
    """Return what a difference means where rows are split as they are."""
    for column in dataset.schema.columns:
        if column.role == "time":
            return (
                f"Nothing is wrong: the test rows are the newest by {column.name}, as data.time "
                "asks, and what changes with time differs there. Scores tell how well the model "
                "follows it."
            )
        if column.role == "group":
            return (
                f"Nothing is wrong: the test rows are other groups of {column.name}, as data.group "
                "asks. Scores tell of new groups; few large ones make them uncertain."
            )
    return "Scores tell of rows such as the test rows; see that new rows will be like them."


def _some(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    if len(rows) <= _ROWS:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, _ROWS, replace=False))


def _copies(dataset: Dataset) -> Iterator[Anomaly]:
    made = keys(dataset.tensors.values())
    if not len(made) or by_chance(dataset.tensors, made):
        return
    twins = int(np.isin(made[dataset.test], made[dataset.train]).sum())
    if twins:
        yield anomaly(
            "duplicates across the split",
            "",
            f"{twins} test rows ({twins / len(dataset.test):.1%}) whose features equal those of a "
            "training row",
            "no test row that was trained on",
            "They are tested on all the same, and a model that learns by heart scores well on "
            "them. Drop the copies if they are one observation written twice.",
        )


def _different(
    first: npt.NDArray[Any], second: npt.NDArray[Any], column: Column
) -> tuple[float, float] | None:
    """Return a distance and its chance; None where too few values are there."""
    full = there(first, column), there(second, column)
    empty = [1.0 - float(side.mean()) for side in full]
    if abs(empty[0] - empty[1]) >= DISTANCE:
        return _shares(full[0].astype(np.int64), full[1].astype(np.int64))
    if min(side.sum() for side in full) < 20:
        return None
    compared = _shares if column.kind in ("category", "boolean") else _functions
    return compared(first[full[0]], second[full[1]])


def _functions(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[float, float]:
    from scipy.special import kolmogorov

    both = np.concatenate([first, second])
    below = [
        np.searchsorted(np.sort(side), both, side="right") / len(side) for side in (first, second)
    ]
    distance = float(np.abs(below[0] - below[1]).max())
    rows = len(first) * len(second) / len(both)
    return distance, float(kolmogorov(np.sqrt(rows) * distance))


def _shares(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[float, float]:
    from scipy.special import chdtrc

    codes, names = pd.factorize(np.concatenate([first, second]))
    sides = np.array(
        [np.bincount(part, minlength=len(names)) for part in np.split(codes, [len(first)])],
        dtype=np.float64,
    )
    shares = sides / sides.sum(axis=1, keepdims=True)
    expected = sides.sum(axis=1, keepdims=True) * sides.sum(axis=0) / sides.sum()
    statistic = float(np.sum((sides - expected) ** 2 / expected))
    distance = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    return distance, float(chdtrc(max(1, len(names) - 1), statistic))


def _told(column: Column, found: tuple[float, float] | None, remedy: str) -> Iterator[Anomaly]:
    distance, chance = found or (0.0, 1.0)
    if distance >= DISTANCE and chance < _CHANCE:
        yield anomaly(
            "skew between training and test",
            column.name,
            f"a distance of {distance:.2f} between training and test rows",
            f"less than {DISTANCE} (0 alike, 1 apart)",
            remedy,
        )
