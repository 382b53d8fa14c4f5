"""Tells in which ways a table departs from its schema and from what a model can be made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Anomaly, Column, Schema, Statistics, Table
from raymm.data.doubts import doubts
from raymm.data.leak import leaks
from raymm.data.schema import CATEGORIES
from raymm.errors import DataError
from raymm.features.columns import distinct, encode_target, spell, tensor


def validate(table: Table, schema: Schema, statistics: Statistics) -> tuple[Anomaly, ...]:
    """Return every anomaly of a table, errors first.

    Parameters
    ----------
    table : Table
        The one that ``statistics`` describe.
    schema : Schema
        Inferred from this table, or given by hand.
    statistics : Statistics
        As `raymm.data.statistics.describe` gives them.
    """
    found = [*table.anomalies, *_columns(table.frame, schema), *_rows(table.frame, schema)]
    found += doubts(table, schema)
    present = [column for column in schema.columns if column.name in table.frame.columns]
    for column in present:
        if column.role == "ignored":
            found.append(_ignored(column))
        elif column.role != "target":
            found += _values(table.frame[column.name], column)
            found += _missing(column, statistics)
    if schema.target in table.frame.columns:
        y, known = encode_target(table.frame, schema)
        found += _target(table.frame[schema.target], schema, y, known)
        if known.sum() >= 10:
            found += leaks(table.frame, schema, y, known)
    return tuple(sorted(found, key=lambda anomaly: anomaly.severity))


def require_valid(anomalies: Iterable[Anomaly]) -> None:
    """Raise DataError that lists the errors among the anomalies; warnings pass."""
    errors = [anomaly for anomaly in anomalies if anomaly.severity == "error"]
    if errors:
        raise DataError("\n".join(sentence(anomaly) for anomaly in errors))


def sentence(anomaly: Anomaly) -> str:
    """Return an anomaly as one line for a person."""
    where = f'Column "{anomaly.column}"' if anomaly.column else "The table"
    return (
        f"{where}: {anomaly.rule}: allowed is {anomaly.allowed}, but there is {anomaly.observed}. "
        f"{anomaly.remedy}"
    )


def _anomaly(
    rule: str,
    column: str,
    observed: str,
    allowed: str,
    remedy: str,
    severity: Literal["error", "warning"] = "warning",
) -> Anomaly:
    return Anomaly(
        rule=rule,
        column=column,
        observed=observed,
        allowed=allowed,
        remedy=remedy,
        severity=severity,
    )


def _columns(frame: pd.DataFrame, schema: Schema) -> Iterator[Anomaly]:
    names = [str(name) for name in frame.columns]
    known = {column.name for column in schema.columns}
    for column in schema.columns:
        if column.name not in names and column.role != "ignored":
            yield _anomaly(
                "missing column",
                column.name,
                "no such column",
                f"a column of kind {column.kind}",
                "Add it to the table, or make it ignored in the schema.",
                "error",
            )
    for name in names:
        if name not in known:
            yield _anomaly(
                "unknown column",
                name,
                "a column that the schema does not name",
                "the schema's columns",
                "It is passed over; add it to the schema to use it.",
            )
    if not schema.features:
        yield _anomaly(
            "no features",
            "",
            "no column to learn from",
            "at least one feature",
            "Add columns, or give one of the ignored ones the role feature in the schema.",
            "error",
        )


def _rows(frame: pd.DataFrame, schema: Schema) -> Iterator[Anomaly]:
    if len(frame) < 100:
        yield _anomaly(
            "few rows",
            "",
            f"{len(frame)} rows",
            "100 rows or more",
            "Scores will be uncertain; give more rows if there are any.",
            "error" if len(frame) < 10 else "warning",
        )
    used = [c.name for c in schema.columns if c.role != "ignored" and c.name in frame.columns]
    try:
        twice = int(frame[used].duplicated().sum()) if used else 0
    except TypeError:  # lists or dictionaries in a cell
        twice = int(frame[used].map(str).duplicated().sum())
    if twice:
        yield _anomaly(
            "duplicate rows",
            "",
            f"{twice} rows that repeat another ({twice / len(frame):.1%})",
            "each row once",
            "If they are one observation written twice, drop them: a copy among the test rows "
            "makes scores too good.",
        )


def _ignored(column: Column) -> Anomaly:
    return _anomaly(
        "ignored column",
        column.name,
        column.reason or "the role ignored",
        "a column that can teach something",
        "Give it the role feature in the schema if it should be used.",
    )


def _values(values: pd.Series[Any], column: Column) -> Iterator[Anomaly]:
    rest = values
    if column.kind != "category":
        # Only what could not be read is looked at word by word, which most values need not be.
        read = tensor(values, column)
        lost = {"text": read == "", "datetime": read == NO_TIME}.get(column.kind)
        rest = values[np.isnan(read) if lost is None else lost]
    codes, found = distinct(rest)
    rows = np.bincount(codes[codes >= 0], minlength=len(found))
    absent = {"", *(word.strip() for word in column.missing)}
    given = np.array([spell(value) not in absent for value in found], dtype=bool)
    if not given.any():
        return
    if column.kind == "category":
        yield from _unseen(found, rows, given, column)
        return
    wrong = given
    share = rows[wrong].sum() / (len(values) - len(rest) + rows[wrong].sum())
    shown = ", ".join(repr(spell(found[i])[:40]) for i in np.flatnonzero(wrong)[:3])
    yield _anomaly(
        "unreadable values",
        column.name,
        f"{int(rows[wrong].sum())} values ({share:.1%}) such as {shown}",
        f"values of kind {column.kind}" + (f" written as {column.format}" if column.format else ""),
        "They count as missing. Mend them, or change the kind, format or missing words in the "
        "schema.",
        "error" if share > 0.5 else "warning",
    )


def _unseen(
    found: list[Any], rows: npt.NDArray[np.int64], given: npt.NDArray[np.bool_], column: Column
) -> Iterator[Anomaly]:
    known = set(column.categories)
    if not known or len(known) >= CATEGORIES:
        return
    new = [i for i in np.flatnonzero(given).tolist() if spell(found[i]) not in known]
    if new:
        share = rows[new].sum() / rows[given].sum()
        shown = ", ".join(repr(spell(found[i])[:40]) for i in new[:3])
        yield _anomaly(
            "unseen categories",
            column.name,
            f"{len(new)} categories ({share:.1%} of the values) such as {shown}",
            f"the {len(known)} categories of the schema",
            "They count as unknown. Add them to the schema's categories if they are right.",
            "error" if share > 0.9 else "warning",
        )


def _missing(column: Column, statistics: Statistics) -> Iterator[Anomaly]:
    try:
        counts = statistics.column(column.name)
    except KeyError:
        return
    if not counts.missing:
        return
    share = counts.missing / counts.rows
    if not column.nullable:
        yield _anomaly(
            "missing values",
            column.name,
            f"{counts.missing} missing values ({share:.1%})",
            "none (nullable is false)",
            "Fill them, drop the rows, or set nullable to true in the schema.",
            "error",
        )
    elif share > 0.5:
        yield _anomaly(
            "missing values",
            column.name,
            f"{share:.1%} missing",
            "half of the rows at most",
            "Check that the column is filled when predictions are asked for.",
        )


def _target(
    values: pd.Series[Any], schema: Schema, y: npt.NDArray[Any], known: npt.NDArray[np.bool_]
) -> Iterator[Anomaly]:
    lost = int((~known).sum())
    if known.sum() < 10 or (schema.classes and len(np.unique(y[known])) < 2):
        yield _anomaly(
            "target",
            schema.target,
            f"{int(known.sum())} rows with a known target of {len(np.unique(y[known]))} values",
            "ten rows or more, of two classes or more",
            "Check the target's classes in the schema, or give more rows.",
            "error",
        )
    if lost:
        absent = {"", *(word.strip() for word in schema.column(schema.target).missing)}
        there = values[~known].dropna()
        words = sorted({spell(value) for value in there} - absent)
        shown = f", among them {', '.join(map(repr, words[:5]))}" if words else ""
        allowed = f"one of {len(schema.classes)} classes, each of two rows or more"
        yield _anomaly(
            "target left out",
            schema.target,
            f"{lost} rows ({lost / len(known):.1%}) without a usable target{shown}",
            allowed if schema.classes else "a number",
            "These rows are dropped.",
        )
    if schema.classes and known.any():
        counts = np.bincount(y[known], minlength=len(schema.classes))
        least = int(counts.argmin())
        if counts[least] < min(0.1, 0.5 / len(counts)) * counts.sum():
            yield _anomaly(
                "class imbalance",
                schema.target,
                f"{counts[least]} rows ({counts[least] / counts.sum():.1%}) of class "
                f"{schema.classes[least]!r}",
                "a tenth of the rows, or half of an even share",
                "Judge the model by roc_auc, average_precision or balanced_accuracy rather than "
                "accuracy.",
            )
