"""Writes a schema as a YAML file that a person can edit, and reads it back strictly."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import typing
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from raymm.artifacts import (
    Column,
    Interaction,
    Kind,
    Operation,
    Role,
    Schema,
    Task,
    as_record,
)
from raymm.errors import DataError
from raymm.features.columns import MARKS

VERSION = 1

_HEAD = """\
# The schema of a table, written by raymm. Edit it and name it in data.schema.
# kind:     number, boolean, category, datetime or text
# role:     feature, target, time (orders the rows), group (rows kept together) or ignored
# missing:  words that mean "missing", besides the empty text; "-999" is the number, too
# format:   dates: a strptime format, ISO8601, epoch or epoch ms;
#           numbers: decimal comma, thousands comma, signs (joined by ", "), or duration (h:m:s)
# classes:  of the target, in the order of their codes; of two, the positive class is the last
# interactions: features of two numbers, each first, second and operation (sum, difference,
#           product, ratio); [] for none; where the key is not there, a run finds them out
# Words such as No, yes or 1 must stand in quotes to be read as text.
"""

_ALLOWED: dict[str, tuple[str, ...]] = {
    "kind": typing.get_args(Kind),
    "role": typing.get_args(Role),
    "task": typing.get_args(Task),
}


def write(schema: Schema, path: str | Path) -> None:
    """Write a schema as YAML, leaving out what has its default.

    Raises
    ------
    DataError
        When the file cannot be written.
    """
    record: dict[str, Any] = {"version": VERSION, "target": schema.target, "task": schema.task}
    if schema.classes:
        record["classes"] = list(schema.classes)
    plain = as_record(Column(name="", kind="number"))
    if schema.interactions is not None:
        record["interactions"] = [as_record(one) for one in schema.interactions]
    record["columns"] = [
        {
            key: value
            for key, value in as_record(_without_values(column)).items()
            if key in ("name", "kind", "role") or value != plain[key]
        }
        for column in schema.columns
    ]
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=100)
    try:
        Path(path).write_text(_HEAD + text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from error


def _without_values(column: Column) -> Column:
    """Return a column without the values of rows, where a model does not see it.

    Ids and addresses are nobody's to read, and hundreds of them nothing to edit.
    """
    if column.role not in ("ignored", "group"):
        return column
    kept = column.categories if column.kind == "boolean" else ()
    return dataclasses.replace(column, categories=kept, example=None)


def read(path: str | Path) -> Schema:
    """Read a schema file.

    Raises
    ------
    DataError
        When it cannot be read, holds an unknown key, a wrong value or a newer version.
    """
    try:
        record = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path} cannot be read as a schema file: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("columns"), list):
        raise DataError(f"{path} must hold version, target, task and columns, but does not.")
    where = str(path)
    _require_keys(record, Schema, where)
    if record.get("version") != VERSION:
        raise DataError(
            f"{where} must have version {VERSION}, but has {record.get('version')!r}. Write it "
            "anew with raymm validate."
        )
    columns = tuple(
        _column(item, f"{where}, column {i + 1}{_named(item)}")
        for i, item in enumerate(record["columns"])
    )
    _require_value(record, "task", where)
    schema = Schema(
        columns=columns,
        target=_text(record.get("target"), "target", where),
        task=record["task"],
        classes=_texts(record.get("classes", ()), "classes", where),
        interactions=_interactions(record.get("interactions"), columns, where),
    )
    _require_sound(schema, where)
    return schema


def _require_keys(record: dict[str, Any], kind: type, where: str) -> None:
    fields = [f.name for f in dataclasses.fields(kind)]
    for key in record:
        if key not in fields:
            raise DataError(f'{where}: "{key}" is not a key.{_near(str(key), fields)}')


def _near(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f' Did you mean "{near[0]}"?' if near else f" Known: {', '.join(known)}."


def _require_value(record: dict[str, Any], key: str, where: str) -> None:
    value = record.get(key)
    if value not in _ALLOWED[key]:
        raise DataError(
            f"{where}: {key} must be one of {', '.join(_ALLOWED[key])}, but got {value!r}."
            f"{_near(str(value), _ALLOWED[key])}"
        )


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: {key} must be text, but got {value!r}. Put it in quotes.")
    return value


def _word(value: Any) -> Any:
    """Return a number as its text: a word for missing stands for its value anyway."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number else value


def _texts(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: {key} must be a list of words, but got {value!r}.")
    return tuple(_text(item, f"each of {key}", where) for item in value)


def _named(record: Any) -> str:
    return f' "{record["name"]}"' if isinstance(record, dict) and "name" in record else ""


def _column(record: Any, where: str) -> Column:
    if not isinstance(record, dict) or "name" not in record:
        raise DataError(f"{where} must be a mapping with a name, but got {record!r}.")
    _require_keys(record, Column, where)
    made = {"role": "feature", **record}
    _text(made["name"], "name", where)
    _require_value(made, "kind", where)
    _require_value(made, "role", where)
    if isinstance(made.get("missing"), list):
        made["missing"] = [_word(value) for value in made["missing"]]
    for key in ("missing", "categories"):
        if key in made:
            made[key] = _texts(made[key], key, where)
    for key in ("minimum", "maximum"):
        value = made.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DataError(f"{where}: {key} must be a number, but got {value!r}.")
    if not isinstance(made.get("nullable", True), bool):
        raise DataError(f"{where}: nullable must be true or false, but got {made['nullable']!r}.")
    if made.get("format") is not None:
        _require_format(_text(made["format"], "format", where), made["kind"], where)
    _text(made.get("reason", ""), "reason", where)
    return Column(**made)


def _interactions(
    given: Any, columns: Sequence[Column], where: str
) -> tuple[Interaction, ...] | None:
    """Return the interactions of a schema file; None where it names none, not even an empty list.

    Raises
    ------
    DataError
        When one is not of two features that are numbers, or its operation is not known.
    """
    if given is None:
        return None
    if not isinstance(given, list):
        raise DataError(f"{where}: interactions must be a list, but got {given!r}.")
    numbers = [one.name for one in columns if one.role == "feature" and one.kind == "number"]
    operations = typing.get_args(Operation)
    found = []
    for place, record in enumerate(given, start=1):
        here = f"{where}, interaction {place}"
        keys = [field.name for field in dataclasses.fields(Interaction)]
        if not isinstance(record, dict) or sorted(map(str, record)) != sorted(keys):
            raise DataError(f"{here} must be a mapping of {', '.join(keys)}, but got {record!r}.")
        for key in ("first", "second"):
            if record[key] not in numbers:
                raise DataError(
                    f"{here}: {key} must be a feature of kind number, but got {record[key]!r}."
                    f"{_near(str(record[key]), numbers)}"
                )
        if record["operation"] not in operations:
            raise DataError(
                f"{here}: operation must be one of {', '.join(operations)}, but got "
                f"{record['operation']!r}.{_near(str(record['operation']), operations)}"
            )
        found.append(Interaction(**record))
    return tuple(found)


def _require_format(form: str, kind: str, where: str) -> None:
    """Raise DataError where numbers or dates cannot be written in a format."""
    if kind == "number":
        for mark in form.split(", "):
            if mark not in MARKS:
                raise DataError(
                    f'{where}: format of numbers holds "{mark}", which is not known.'
                    f"{_near(mark, MARKS)}"
                )
    if kind != "datetime" or form in ("ISO8601", "epoch", "epoch ms"):
        return
    moment = datetime.datetime(2001, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    try:
        read = datetime.datetime.strptime(moment.strftime(form), form)
        pd.to_datetime(pd.Series(["x"]), format=form, errors="coerce")
    except ValueError:
        read = None
    if read is None or "%" not in form:
        raise DataError(
            f'{where}: format "{form}" is none of dates. Write ISO8601, epoch, epoch ms or a '
            "strptime format such as %d/%m/%Y."
        )


def _require_sound(schema: Schema, where: str) -> None:
    names = [column.name for column in schema.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where}: each column must stand once, but {twice} stand twice.")
    targets = [column.name for column in schema.columns if column.role == "target"]
    if targets != [schema.target]:
        raise DataError(
            f'{where}: the one column with role target must be "{schema.target}", but there are '
            f"{targets}."
        )
    least = {"binary": 2, "multiclass": 2, "regression": 0}[schema.task]
    most = {"binary": 2, "multiclass": 10**6, "regression": 0}[schema.task]
    if not least <= len(schema.classes) <= most:
        raise DataError(
            f"{where}: a {schema.task} task cannot have {len(schema.classes)} classes "
            f"({', '.join(schema.classes[:5])})."
        )
