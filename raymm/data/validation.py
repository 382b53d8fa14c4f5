"""Tells in which ways a table departs from its schema and from what a model can be made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Anomaly, Column, Schema, Statistics, Table
from raymm.counts import counted
from raymm.data.doubts import doubts
from raymm.data.duplicates import contradictions, duplicates
from raymm.data.evidence import Evidence, there
from raymm.data.findings import anomaly
from raymm.data.leak import leaks
from raymm.data.ordered import ordered
from raymm.data.personal import personal
from raymm.data.scarcity import few_of_a_class, few_rows, nearly_constant
from raymm.data.schema import CATEGORIES
from raymm.data.tails import tails
from raymm.data.unlike import unlike
from raymm.errors import DataError
from raymm.features.columns import distinct, gaps, spell, tensor


def validate(
    table: Table,
    schema: Schema,
    statistics: Statistics,
    *,
    parted: bool = False,
    metric: str = "auto",
) -> tuple[Anomaly, ...]:
    """Return every anomaly of a table, errors first.

    Parameters
    ----------
    table : Table
        The one that ``statistics`` describe.
    schema : Schema
        Inferred from this table, or given by hand.
    statistics : Statistics
        As `raymm.data.statistics.describe` gives them.
    parted : bool
        Whether the configuration parts the rows by time or group, whatever the schema's roles.
    metric : str
        ``goal.metric``, which decides what is worth telling of the target.
    """
    frame = table.frame
    # Read once for all checks, which would otherwise parse every column again.
    here = [column for column in schema.features if column.name in frame.columns]
    tensors = {column.name: tensor(frame[column.name], column) for column in here}
    found = [*table.anomalies, *_columns(frame, schema), *few_rows(len(frame), schema)]
    found += duplicates(frame, schema, tensors, parted=parted)
    found += doubts(table, schema)
    told = list(personal(frame, schema, tensors))
    found += told
    for column in schema.columns:
        if column.name not in frame.columns:
            continue
        if column.role == "ignored":
            found.append(_ignored(column, personal=any(a.column == column.name for a in told)))
            if column.reason.startswith("id:"):  # each is another one, if only as it is written
                found += unlike(frame[column.name], column)
        elif column.role != "target":
            values = frame[column.name]
            read = tensors[column.name] if column.name in tensors else tensor(values, column)
            found += _values(values, read, column)
            found += _missing(read, column)
            found += nearly_constant(column, statistics)
            found += unlike(values, column)
    if schema.target in frame.columns:
        evidence = Evidence.of(frame, schema, tensors)
        found += _target(frame[schema.target], schema, evidence.y, evidence.known)
        found += few_of_a_class(schema, evidence.y, evidence.known, metric)
        found += tails(evidence, metric)
        found += contradictions(evidence)
        found += leaks(evidence, parted=parted)
        found += ordered(evidence, parted=parted)
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


def _columns(frame: pd.DataFrame, schema: Schema) -> Iterator[Anomaly]:
    names = [str(name) for name in frame.columns]
    known = {column.name for column in schema.columns}
    for column in schema.columns:
        if column.name not in names and column.role != "ignored":
            yield anomaly(
                "missing column",
                column.name,
                "no such column",
                f"a column of kind {column.kind}",
                "Add it to the table, or make it ignored in the schema.",
                "error",
            )
    for name in names:
        if name not in known:
            yield anomaly(
                "unknown column",
                name,
                "a column that the schema does not name",
                "the schema's columns",
                "It is passed over; add it to the schema to use it.",
            )
    if not schema.features:
        yield anomaly(
            "no features",
            "",
            "no column to learn from",
            "at least one feature",
            "Add columns, or give one of the ignored ones the role feature in the schema.",
            "error",
        )


def _ignored(column: Column, *, personal: bool) -> Anomaly:
    other = "Give it the role feature in the schema if it should be used."
    return anomaly(
        "ignored column",
        column.name,
        column.reason or "the role ignored",
        "a column that can teach something",
        "It is left out." if personal else f"It is left out. {other}",
    )


def _values(values: pd.Series[Any], read: npt.NDArray[Any], column: Column) -> Iterator[Anomaly]:
    yield from _outside(read, column)
    rest = values
    if column.kind != "category":
        # Only what could not be read is looked at word by word, which most values need not be.
        lost = {"text": read == "", "datetime": read == NO_TIME}.get(column.kind)
        rest = values[np.isnan(read) if lost is None else lost]
    codes, found = distinct(rest)
    rows = np.bincount(codes[codes >= 0], minlength=len(found))
    given = ~gaps(found, column)
    if not given.any():
        return
    if column.kind == "category":
        yield from _unseen(found, rows, given, column)
        return
    wrong = given
    share = rows[wrong].sum() / (len(values) - len(rest) + rows[wrong].sum())
    shown = ", ".join(repr(spell(found[i])[:40]) for i in np.flatnonzero(wrong)[:3])
    yield anomaly(
        "unreadable values",
        column.name,
        f"{int(rows[wrong].sum())} values ({share:.1%}) such as {shown}",
        f"values of kind {column.kind}" + (f" written as {column.format}" if column.format else ""),
        "They count as missing. Mend them, or change the kind, format or missing words in the "
        "schema.",
        "error" if share > 0.5 else "warning",
    )


def _outside(read: npt.NDArray[Any], column: Column) -> Iterator[Anomaly]:
    """Hold numbers and dates to the bounds that the schema was inferred with, or was given."""
    if column.kind not in ("number", "datetime"):
        return
    known = read[there(read, column)].astype(np.float64)
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    # Tensors are float32, and seconds without a fraction.
    most = max([abs(end) for end in (low, high) if np.isfinite(end)], default=0.0)
    slack = 1.0 if column.kind == "datetime" else 1e-6 * most
    wrong = int(((known < low - slack) | (known > high + slack)).sum())
    if wrong:
        show = _moment if column.kind == "datetime" else "{:g}".format
        yield anomaly(
            "values out of range",
            column.name,
            f"{counted(wrong, 'value')} ({wrong / len(known):.1%}) beyond these; all lie from "
            f"{show(known.min())} to {show(known.max())}",
            f"values from {show(low)} to {show(high)}",
            "They are used as they are. Mend them, or change the column's minimum and maximum in "
            "the schema.",
        )


def _moment(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s")) if np.isfinite(seconds) else "any time"


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
        yield anomaly(
            "unseen categories",
            column.name,
            f"{len(new)} categories ({share:.1%} of the values) such as {shown}",
            f"the {len(known)} categories of the schema",
            "They count as unknown. Add them to the schema's categories if they are right.",
            "error" if share > 0.9 else "warning",
        )


def _missing(read: npt.NDArray[Any], column: Column) -> Iterator[Anomaly]:
    missing = int((~there(read, column)).sum())
    if not missing:
        return
    share = missing / len(read)
    if not column.nullable:
        yield anomaly(
            "missing values",
            column.name,
            f"{missing} missing values ({share:.1%})",
            "none (nullable is false)",
            "Fill them, drop the rows, or set nullable to true in the schema.",
            "error",
        )
    elif share > 0.5:
        yield anomaly(
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
        yield anomaly(
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
        yield anomaly(
            "target left out",
            schema.target,
            f"{counted(lost, 'row')} ({lost / len(known):.1%}) without a usable target{shown}",
            allowed if schema.classes else "a number",
            "These rows are dropped.",
        )
