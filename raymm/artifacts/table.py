"""A table as read, its schema and statistics, and the dataset made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy.typing as npt
import pandas as pd

from raymm.artifacts.kinds import Indices, Kind, Operation, Role, Scalar, Task, Tensors
from raymm.artifacts.many_values import ManyValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it was read, before anything is decided about it.

    Attributes
    ----------
    frame : DataFrame, shape (n, columns)
        Text files give ``str`` columns, exactly as written; Parquet keeps its types.
    source : str
        Where it was read from.
    sha256 : str
        Of the content (column names and every cell), so equal tables have equal hashes.
    notes : tuple of str
        What was found out while reading (delimiter, encoding, ragged lines), for a person.
    anomalies : tuple of Anomaly
        What was mended while reading: rows, names or characters that are not as they were written.
    written : mapping of column name to Written
        How the cells of columns are written that a large text file's reader gave types, so that
        the same file read again, or a row of it, is understood.
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    notes: tuple[str, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    written: Mapping[str, Written] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How a column's cells are written: its words for missing and its format, as in `Column`."""

    missing: tuple[str, ...] = ()
    format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What the schema says of one column.

    Attributes
    ----------
    missing : tuple of str
        Words that mean "missing" here, besides the empty string.
    minimum, maximum : float or None
        Smallest and largest value seen; seconds since 1970 UTC for dates.
    categories : tuple of str
        Values seen, most frequent first (categories); the words for false and true (booleans).
    format : str or None
        How dates are written: a strptime format, ``ISO8601``, or ``epoch``.
    nullable : bool
        Whether missing values are allowed.
    reason : str
        Why the column has its role, when that is not plain (say why it is ignored).
    example : str, int, float, bool or None
        One real value, for documentation.
    """

    name: str
    kind: Kind
    role: Role = "feature"
    missing: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    format: str | None = None
    nullable: bool = True
    reason: str = ""
    example: Scalar = None


LEFT_OUT = "tells too little: validation rows are predicted better without it"
"""Why a column is ignored that a run has left out of the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A feature made of two columns of numbers: their sum, difference, product or ratio.

    Of ``difference`` the second is taken from the first, of ``ratio`` the first is divided.
    """

    first: str
    second: str
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a table and what is predicted.

    Attributes
    ----------
    classes : tuple of str
        The target's classes as text, sorted (numerically where all are numbers); empty for
        regression. Class codes are positions in this tuple; in a binary task the metric's
        positive class is the last.
    decision : tuple of float
        A weight a class: a bundle answers the label of the largest product of probability and
        weight. Empty for equal weights, and before a bundle is made.
    interactions : tuple of Interaction, or None
        Features made of two columns; None where it is not decided yet.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[str, ...] = ()
    decision: tuple[float, ...] = ()
    interactions: tuple[Interaction, ...] | None = None
    version: int = 1

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that the model reads, in order."""
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def offered(self) -> tuple[Column, ...]:
        """The features, and the columns that were until a run left them out; see `LEFT_OUT`."""
        return tuple(
            column
            for column in self.columns
            if column.role == "feature" or column.reason == LEFT_OUT
        )

    def whole(self) -> Schema:
        """Return the schema as it was before a run left columns out.

        Rows are split by all that was offered, so that the same rows are told apart as copies.
        """
        if self.offered == self.features:
            return self
        columns = tuple(
            replace(column, role="feature", reason="") if column.reason == LEFT_OUT else column
            for column in self.columns
        )
        return replace(self, columns=columns)

    def column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnStatistics:
    """Counts of one column, enough to compare two tables without their rows.

    Attributes
    ----------
    edges : tuple of float
        Inner bin edges of the histogram of a number or date, increasing; k edges make k + 1
        bins, value v falls into bin ``searchsorted(edges, v, side="left")`` (so bin i holds
        edges[i - 1] < v <= edges[i]).
    counts : tuple of int
        Rows a bin (numbers and dates, k + 1 of them), or rows a value of ``values``.
    values : tuple of str
        Most frequent values, first the most frequent (categories, booleans, text and, for a
        person, columns whose kind is not yet decided).
    other : int
        Rows that are neither missing nor one of ``values``; 0 for numbers and dates.
    quantiles : tuple of float
        Minimum, 1, 5, 25, 50, 75, 95 and 99 % quantiles and maximum; empty where not numeric.
    mean_length : float
        Mean length of the text in characters; 0 where not text.
    """

    name: str
    kind: Kind
    rows: int
    missing: int
    distinct: int
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    other: int = 0
    mean_length: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Statistics of each column of a table of ``rows`` rows.

    ``many`` tells more of columns that hold more values than are listed; it may lack some.
    """

    rows: int
    columns: tuple[ColumnStatistics, ...]
    many: tuple[ManyValues, ...] = ()
    version: int = 1

    def column(self, name: str) -> ColumnStatistics:
        """Return the statistics of that column; raises KeyError when there are none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A way in which a table departs from what is allowed.

    ``severity`` is "error" where no model can be made of it, else "warning". ``column`` is empty
    where the whole table is meant.
    """

    rule: str
    column: str
    observed: str
    allowed: str
    remedy: str
    severity: Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Row numbers to train on and to validate on, both sorted and without a row in common."""

    train: Indices
    valid: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table made ready: parsed, encoded and split.

    Attributes
    ----------
    tensors : mapping of feature name to array, shape (n,)
        As `Tensors`; all n rows of the table whose target is known.
    y : int64 or float64, shape (n,)
        Class codes, or the target itself for regression.
    frame : DataFrame, shape (n, columns)
        The same rows as they were read, for slices and protected columns.
    train, test : int64
        Sorted row numbers. Test rows serve the final evaluation and nothing else.
    folds : tuple of Fold
        Within ``train``: one fold is a holdout, more are cross-validation.
    origin : int64, shape (n,), or None
        Where the rows stand in the table as it was read, from 0; None where they are the table's,
        all and in their order.
    """

    tensors: Tensors
    y: npt.NDArray[Any]
    frame: pd.DataFrame
    schema: Schema
    train: Indices
    test: Indices
    folds: tuple[Fold, ...]
    sha256: str
    source: str
    origin: Indices | None = None

    def rows(self, rows: Indices) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors at these rows, each of shape (len(rows),)."""
        return {name: values[rows] for name, values in self.tensors.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a model family's search space may depend on: sizes, and what is judged by.

    ``nominal`` counts the features whose categories, or days, can be split into sets. ``metric``
    names the metric of the search; empty where it is not known.
    """

    rows: int
    features: int
    classes: int
    nominal: int = 0
    metric: str = ""
