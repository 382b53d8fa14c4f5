"""Tells where there is too little to learn from: rows, rows of a class, values of a column."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly, Column, Schema, Statistics
from raymm.data.findings import anomaly

ROWS = 100
"""Fewer rows are warned of."""

CLASS_ROWS = 20
"""Fewer rows of a class are warned of."""

FEATURE_ROWS = 5
"""Fewer rows a feature are warned of."""

CONSTANT = 0.98
"""The share of equal values from which a column is nearly constant."""

_SUITED = (
    " Judge the model by roc_auc, average_precision or balanced_accuracy rather than accuracy."
)


def few_rows(rows: int, schema: Schema) -> Iterator[Anomaly]:
    """Yield an anomaly where rows are few, an error below ten, or fewer than five a feature."""
    if rows < ROWS:
        yield anomaly(
            "few rows",
            "",
            f"{rows} rows",
            f"{ROWS} rows or more",
            "Scores will be uncertain; give more rows if there are any.",
            "error" if rows < 10 else "warning",
        )
    features = len(schema.features)
    if rows < FEATURE_ROWS * features:
        yield anomaly(
            "few rows for the features",
            "",
            f"{rows} rows and {features} features",
            f"{FEATURE_ROWS} rows a feature or more",
            "All are used, and chance will look like a pattern in some. Give more rows, or list "
            "what cannot matter in data.exclude.",
        )


def few_of_a_class(
    schema: Schema, y: npt.NDArray[Any], known: npt.NDArray[np.bool_], metric: str = "auto"
) -> Iterator[Anomaly]:
    """Yield warnings for classes of few rows, a rare class, and classes spelled almost alike.

    Which metrics suit a rare class is told where ``metric``, the goal's, is "auto".
    """
    if not schema.classes or not known.any():
        return
    counts = np.bincount(y[known], minlength=len(schema.classes))
    least = int(counts.argmin())
    if counts[least] < min(0.1, 0.5 / len(counts)) * counts.sum():
        yield anomaly(
            "class imbalance",
            schema.target,
            f"{counts[least]} rows ({counts[least] / counts.sum():.1%}) of class "
            f"{schema.classes[least]!r}",
            "a tenth of the rows, or half of an even share",
            "Rows are split so that each side has its share of every class that has rows enough."
            + (_SUITED if metric == "auto" else "")
            + (_positive(schema) if schema.task == "binary" and not least else ""),
        )
    few = np.flatnonzero(counts < CLASS_ROWS)
    if len(few):
        shown = ", ".join(f"{schema.classes[i]!r} {counts[i]}" for i in few[:5])
        yield anomaly(
            "few rows of a class",
            schema.target,
            f"{len(few)} of {len(counts)} classes with fewer than {CLASS_ROWS} rows ({shown})",
            f"{CLASS_ROWS} rows or more of each class",
            "They are kept, but few of their rows, or none, are test rows: little is known of how "
            "well they are told apart. Give more rows of them, or put rare classes together.",
        )
    yield from _spelled_alike(schema)


def _positive(schema: Schema) -> str:
    rare, common = schema.classes
    return (
        f" Precision, recall, f1 and average precision are of {common!r}, the positive class: "
        f"data.positive={shlex.quote(rare)} makes it the rare one."
    )


def _spelled_alike(schema: Schema) -> Iterator[Anomaly]:
    alike: dict[str, list[str]] = {}
    for name in schema.classes:
        alike.setdefault(re.sub(r"[\s_]", "", name.casefold()), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            yield anomaly(
                "classes spelled alike",
                schema.target,
                f"the classes {' and '.join(map(repr, names))}",
                "one spelling of each class",
                "They are predicted as different classes. Write them in one way if they are one.",
            )


def nearly_constant(column: Column, statistics: Statistics) -> Iterator[Anomaly]:
    """Yield a warning for a feature that holds one value in 98 % of its rows or more."""
    try:
        counts = statistics.column(column.name)
    except KeyError:
        return
    known = counts.rows - counts.missing
    if known < 50 or counts.distinct < 2 or counts.kind == "text":
        return
    if counts.quantiles:
        # The quantiles at 1 and 99 %.
        same, share = counts.quantiles[1] == counts.quantiles[7], f"{CONSTANT:.0%} or more"
        value = f"{counts.quantiles[1]:g}"
    elif counts.values:
        same, share = counts.counts[0] >= CONSTANT * known, f"{counts.counts[0] / known:.1%}"
        value = repr(counts.values[0][:40])
    else:
        return
    if same:
        yield anomaly(
            "near-constant column",
            column.name,
            f"the value {value} in {share} of the rows that have one",
            f"one value in less than {CONSTANT:.0%}",
            "It is used all the same, as rare values can matter. List it in data.exclude if these "
            "do not.",
        )
