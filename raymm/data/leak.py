"""Looks for features that give the target away, and for rows that give each other's away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Anomaly, Column
from raymm.data.absence import absences
from raymm.data.association import explained
from raymm.data.dependence import dependences
from raymm.data.encodings import encodings
from raymm.data.evidence import Evidence, ranks, there
from raymm.data.findings import anomaly
from raymm.data.totals import totals

CORRELATION = 0.985
"""A correlation (of values or of ranks) with a numeric target from which a leak is suspected."""

PURITY = 0.98
"""The share of the majority guess's errors that one feature must take away to be suspected."""

LEAST = 50
"""The fewest rows with a target of which a leak can be told."""

_LEVELS = 64


def leaks(evidence: Evidence, *, parted: bool = False) -> Iterator[Anomaly]:
    """Yield a warning for each way in which the target seems to be given away.

    These are features that predict it almost perfectly by themselves (`alone`), are missing or
    filled by it (`raymm.data.absence`), add up to it (`raymm.data.totals`) or were computed with
    the test rows' help (`raymm.data.encodings`), and rows that foretell each other through an
    entity or through time (`raymm.data.dependence`; not where ``parted`` says that rows are split
    by time or group though no column has that role). A feature is told of once a rule.
    """
    if evidence.known.sum() < LEAST:
        return
    told = set()
    for find in (alone, absences, encodings, totals, *(() if parted else (dependences,))):
        for found in find(evidence):
            if (found.rule, found.column) not in told:
                told.add((found.rule, found.column))
                yield found


def alone(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning for each feature that predicts the target almost perfectly by itself."""
    for column in evidence.features:
        if column.kind == "text":
            continue
        values = evidence.sampled(column)
        if evidence.classes:
            strength, floor = _purity(values, evidence.truth, column), PURITY
            told = f"{strength:.1%} of a majority guess's errors taken away by it alone"
        else:
            strength, floor = _correlation(values, evidence.truth, column), CORRELATION
            told = f"a correlation of {strength:.3f} with the target"
            if strength < floor and column.kind != "datetime":
                strength, floor = _told(values, evidence.ranked, column), CORRELATION**2
                told = f"{strength:.1%} of the target's variation told by it alone"
        if strength >= floor:
            yield anomaly(
                "suspected leak",
                column.name,
                told,
                "a feature that is known before the target is",
                "It is used all the same, and the scores believe it. If "
                f'"{column.name}" is made from the target or known only after it, list it in '
                "data.exclude.",
            )


def _correlation(values: npt.NDArray[Any], truth: npt.NDArray[Any], column: Column) -> float:
    """Return the larger of Pearson's and Spearman's absolute correlation, 0 where undefined."""
    known = there(values, column)
    if column.kind == "category" or known.sum() < LEAST or known.mean() < 0.5:
        return 0.0
    x, y = values[known].astype(np.float64), truth[known].astype(np.float64)
    if x.min() == x.max() or y.min() == y.max():
        return 0.0
    ordered = ranks(x), ranks(y)
    return float(max(abs(np.corrcoef(x, y)[0, 1]), abs(np.corrcoef(*ordered)[0, 1])))


def _told(values: npt.NDArray[Any], truth: npt.NDArray[Any], column: Column) -> float:
    """Return the share of the target's ranks that a feature's levels explain; see `explained`."""
    levels, count = _levels(values, column)
    if count < 2 or count * 5 > len(levels):
        return 0.0
    return explained(levels, truth).share


def _levels(values: npt.NDArray[Any], column: Column) -> tuple[npt.NDArray[np.int64], int]:
    """Return the codes of a feature's levels and their number; numbers are cut into 64 at most."""
    known = there(values, column)
    x: npt.NDArray[Any] = values
    if column.kind != "category":
        x = values.astype(np.float64)
        if known.any():
            cuts = np.linspace(0, 1, min(_LEVELS, max(2, len(x) // 10)) + 1)[1:-1]
            edges = np.unique(np.quantile(x[known], cuts))
            x = np.searchsorted(edges, x, side="right").astype(np.float64)
        x[~known] = -1.0
    codes, names = pd.factorize(pd.Series(x))
    return codes.astype(np.int64), len(names)


def _purity(values: npt.NDArray[Any], truth: npt.NDArray[Any], column: Column) -> float:
    """Return 1 - errors / errors of the majority guess, guessing each level's majority class.

    Every level has ten rows on average, or the answer is 0, as small levels are pure by chance.
    """
    levels, count = _levels(values, column)
    if count < 2 or count * 10 > len(levels):
        return 0.0
    classes = int(truth.max()) + 1
    table = np.bincount(levels * classes + truth, minlength=count * classes)
    right = table.reshape(count, classes).max(axis=1).sum()
    plain = np.bincount(truth).max()
    return float((right - plain) / (len(levels) - plain)) if plain < len(levels) else 0.0
