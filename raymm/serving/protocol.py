"""raymm's own protocol: JSON records in, tensors to the graph, JSON predictions out.

A request is ``{"records": [{"column": value, …}, …]}``, with ``"id"`` where the client names its
prediction itself (`raymm.serving.identity`); `raymm.serving.columns` says what each
kind of column takes. A column that is left out counts as null, which is an error where the
schema allows no missing value. Columns that the schema knows and the model does not read (the
target, ignored ones) are passed over; any other column is an error that names the nearest one.

Checks are written by hand: for one row of twenty columns they take some 10 µs.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from raymm.artifacts import Column, OneRow, Schema
from raymm.errors import InputError, ServingError, TooLarge
from raymm.serving.blocks import blocks
from raymm.serving.columns import Misfit, moment_of, reader, shown


def document(body: bytes) -> Any:
    """Read a request body as JSON, more strictly than Python does by itself.

    NaN and infinities, an object with two equal keys, numbers of thousands of digits, text that
    is not UTF-8 and nesting beyond Python's limit are refused.

    Raises
    ------
    InputError
        With field "body".
    """
    try:
        return _DECODER.decode(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        observed = f"{error.msg} at line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        observed = f"bytes that are not UTF-8 at position {error.start}"
    except RecursionError:
        observed = "lists or objects nested too deeply"
    except ValueError:
        observed = "a number of too many digits"
    raise InputError(field="body", observed=observed, allowed="a JSON document")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InputError(
            field="body",
            observed=f"the key {shown(twice)} twice in one object",
            allowed="a JSON document whose objects have different keys",
        )
    return made


def _refuse(word: str) -> Any:
    raise InputError(
        field="body", observed=word, allowed="JSON, which has no such number (use null for missing)"
    )


_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)


def encode(value: Any) -> bytes:
    """Write plain values as compact UTF-8 JSON.

    Raises
    ------
    ServingError
        When a number is NaN or infinite, which JSON cannot hold.
    """
    try:
        text = _ENCODE(value)
    except ValueError as error:
        raise _not_finite() from error
    return text.encode()


def _not_finite() -> ServingError:
    return ServingError(
        "the model's prediction is not a finite number. Roll back to another version."
    )


_KEYS = frozenset({"records", "id"})


class RecordReader:
    """Reads the records of one schema.

    Parameters
    ----------
    schema : Schema
        Of the bundle that is served.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._readers = tuple((column.name, reader(column)) for column in schema.features)
        self._names = tuple(column.name for column in schema.features)
        self._blocks = blocks(schema.features)
        self._layout = tuple(block.names for block in self._blocks)
        self._known = frozenset(column.name for column in schema.columns) | {schema.target}

    def records(self, body: Any, max_rows: int) -> list[dict[str, Any]]:
        """Return the records of a request document.

        Raises
        ------
        InputError
            When it is not ``{"records": [{…}, …]}`` with at least one record, and ``id`` at most.
        TooLarge
            When there are more than ``max_rows``.
        """
        if type(body) is not dict:
            raise InputError(
                field="body", observed=shown(body), allowed='an object {"records": [...]}'
            )
        if "records" not in body or (len(body) > 1 and not _KEYS.issuperset(body)):
            other = next((key for key in body if key not in _KEYS), None)
            observed = "no records" if other is None else f"the key {shown(other)}"
            raise InputError(
                field="body",
                observed=observed,
                allowed='an object with the key "records", and "id" at most',
            )
        records = body["records"]
        if type(records) is not list or not records:
            observed = "an empty list" if records == [] else shown(records)
            raise InputError(
                field="records", observed=observed, allowed="a list of one or more rows"
            )
        check_rows(len(records), max_rows)
        return records

    def tensors(self, records: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
        """Turn n records into tensors of shape (n,), as `raymm.artifacts.Tensors` describes.

        Raises
        ------
        InputError
            For the first wrong field found, column by column; ``field`` is say
            ``records[3].age``.
        """
        known = self._known
        for row, record in enumerate(records):
            if type(record) is not dict:
                raise InputError(
                    field=f"records[{row}]",
                    observed=shown(record),
                    allowed="an object with the model's columns",
                )
            if not known.issuperset(record):
                self._unknown(row, next(key for key in record if key not in known))
        made: dict[str, npt.NDArray[Any]] = {}
        parts = []
        for block in self._blocks:
            if (values := block.flat(records)) is not None:
                parts.append(values)
                made.update(block.cut(values))
        if len(made) == len(self._names):  # every column was as plain as most are
            ordered = {name: made[name] for name in self._names}
            return OneRow(ordered, self._layout, tuple(parts)) if len(records) == 1 else ordered
        for name, read in self._readers:
            if name in made:
                continue
            try:
                made[name] = read([record[name] for record in records])
            except KeyError:
                row = next(row for row, record in enumerate(records) if name not in record)
                raise InputError(
                    field=f"records[{row}].{name}",
                    observed="nothing",
                    allowed="there in every record; null says that a value is missing",
                ) from None
            except Misfit as misfit:
                raise InputError(
                    field=f"records[{misfit.row}].{name}",
                    observed=shown(misfit.value),
                    allowed=misfit.allowed,
                ) from None
        return {name: made[name] for name in self._names}

    def _unknown(self, row: int, key: str) -> None:
        names = [column.name for column in self.schema.features]
        raise InputError(
            field=f"records[{row}].{key[:60]}",
            observed="an unknown column",
            allowed=f"a column of the model{nearest(key, names)}",
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name nearest to ``name``, or at all of them (ten at most).

    >>> nearest("agee", ["age", "city"])
    ' (did you mean "age"?)'
    """
    names = list(known)
    near = difflib.get_close_matches(name[:200], names, n=1)
    if near:
        return f' (did you mean "{near[0]}"?)'
    told = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f" ({told})"


def check_rows(rows: int, max_rows: int) -> None:
    """Raise TooLarge when there are more rows than ``serving.max_rows``."""
    if rows > max_rows:
        raise TooLarge(
            f"a request may hold {max_rows} rows at most, but this one holds {rows}. "
            "Split it, or raise serving.max_rows."
        )


class AnswerWriter:
    """Writes the answers of one version, from parts that are the same in all of them.

    An answer is ``{"model": …, "version": …, "predictions": [LABEL, …], "probabilities":
    [{CLASS: P, …}, …]}`` as `encode` would write it; for one row this takes a fifth of its time.

    Parameters
    ----------
    schema : Schema
    about : mapping
        The model's name and version, put first.
    """

    def __init__(self, schema: Schema, about: Mapping[str, Any]) -> None:
        self._head = _ENCODE(about)[:-1] + ',"id":"'
        self._labels = {label: _ENCODE(label) for label in schema.classes}
        names = [_ENCODE(label).replace("%", "%%") for label in schema.classes]
        self._row = "{" + ",".join(f"{name}:%r" for name in names) + "}"

    def write(self, labels: Any, predictions: npt.NDArray[Any], identity: str) -> bytes:
        """Write the answer to a request.

        Parameters
        ----------
        labels : sequence of str or float, length n
            What the runner makes of the predictions: classes or values.
        predictions : float32, shape (n, classes) or (n,)
            Probabilities or values.
        identity : str
            The prediction's name, of the alphabet of `raymm.serving.identity`.

        Raises
        ------
        ServingError
            When a prediction is NaN or infinite, which JSON cannot hold.
        """
        rows, known = predictions.tolist(), self._labels
        # a sum is finite only if all are: float32 are too small for a sum of them to overflow
        if not math.isfinite(sum(map(sum, rows)) if known else sum(rows)):
            raise _not_finite()
        if not known:
            told = ",".join(map(repr, map(float, labels)))
            return f'{self._head}{identity}","predictions":[{told}]}}'.encode()
        told = ",".join([known[label] for label in labels])
        likely = ",".join([self._row % tuple(row) for row in rows])
        return (
            f'{self._head}{identity}","predictions":[{told}],"probabilities":[{likely}]}}'.encode()
        )


def example(schema: Schema) -> dict[str, Any]:
    """Return one record that the model accepts, made of the real values kept in the schema."""
    row: dict[str, Any] = {}
    for column in schema.features:
        value = column.example
        if value is None and not column.nullable:
            value = _substitute(column)
        row[column.name] = value
    return row


def _substitute(column: Column) -> Any:
    if column.kind == "number":
        return column.minimum or 0.0
    if column.kind == "boolean":
        return False
    if column.kind == "datetime":
        return moment_of(int(column.minimum or 0), column)
    return column.categories[0] if column.categories else "text"
