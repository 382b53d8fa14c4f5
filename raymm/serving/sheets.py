"""Turns a table of columns into the tensors that the graph takes, or says what is wrong and where.

The same rows give the same tensors, to the bit, as JSON records do: numbers are read by a few
calls for the whole column, and of other columns the distinct values alone go through the readers
of `raymm.serving.columns`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raymm.artifacts import NO_TIME, Column, Schema, Tensors
from raymm.errors import InputError
from raymm.features.columns import number, parse_numbers
from raymm.serving.cells import TextRoom, encoded, is_text, reading
from raymm.serving.columns import (
    EARLIEST,
    LARGEST,
    LATEST,
    Misfit,
    gone_values,
    missing_words,
    reader,
    shown,
)
from raymm.serving.protocol import nearest

_TYPES = pa.types
_PER_SECOND = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_COLUMNS = 1000
"""Columns that a table may have whatever the schema: each takes memory of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table as it came with a request.

    Attributes
    ----------
    rows : int
    columns : mapping of name to pyarrow.ChunkedArray, each of length rows
        Checked by its reader, so that looking at them is safe.
    textual : bool
        Whether all cells are text, as in CSV; numbers are then read from text.
    head : str
        Where the columns' names stand, for errors.
    place : callable
        Takes a row's number from 0 and returns where it stands, for errors.
    most : int
        Bytes of text that one column may come to.
    """

    rows: int
    columns: Mapping[str, Any]
    textual: bool
    head: str
    place: Callable[[int], str]
    most: int

    @property
    def absent(self) -> str:
        """What stands for a missing value in such a table."""
        return "an empty cell" if self.textual else "a null"


def most_columns(known: frozenset[str]) -> int:
    """Return how many columns a table may have where a schema knows some."""
    return max(_COLUMNS, 2 * len(known))


def require_names(names: Sequence[str], known: frozenset[str], head: str) -> None:
    """Check a table's columns before its cells are read: not many more than known, none twice.

    Raises
    ------
    InputError
    """
    most = most_columns(known)
    if len(names) > most:
        raise InputError(
            field=head, observed=f"{len(names)} columns", allowed=f"{most} columns at most"
        )
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                field=head,
                observed=f"the column {shown(name)} twice",
                allowed="names of different columns",
            )
        seen.add(name)


class SheetReader:
    """Reads the tables of one schema.

    Parameters
    ----------
    schema : Schema
        Of the bundle that is served.
    """

    def __init__(self, schema: Schema) -> None:
        self._features = tuple(_Feature(column) for column in schema.features)
        self._names = [column.name for column in schema.features]
        self.known = frozenset(column.name for column in schema.columns) | {schema.target}

    def tensors(self, sheet: Sheet) -> Tensors:
        """Turn n rows into tensors of shape (n,), as `raymm.artifacts.Tensors` describes.

        Columns that the schema knows and the model does not read are passed over.

        Raises
        ------
        InputError
            For the first wrong column or value found, column by column; ``field`` is say
            ``line 5, age``.
        TooLarge
            When the text of a column comes to more than the sheet's ``most``, as it may where
            many rows share one long text.
        """
        for name in sheet.columns:
            if name not in self.known:
                raise InputError(
                    field=f"{sheet.head}, {name[:60]}",
                    observed="an unknown column",
                    allowed=f"a column of the model{nearest(name, self._names)}",
                )
        made: dict[str, npt.NDArray[Any]] = {}
        for feature in self._features:
            name = feature.column.name
            if name not in sheet.columns:
                raise InputError(
                    field=f"{sheet.head}, {name}",
                    observed="no such column",
                    allowed=f"a column of the table; {sheet.absent} says that a value is missing",
                )
            with reading():
                made[name] = feature.read(sheet, sheet.columns[name])
        return made


class _Feature:
    """Reads one column."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._read = reader(column)
        self._missing = pa.array(sorted(missing_words(column)), pa.string())
        self._gone = gone_values(column)
        named = map(_infinity, missing_words(column))
        self._endless = tuple({value for value in named if value is not None})

    def read(self, sheet: Sheet, chunks: Any) -> npt.NDArray[Any]:
        """Return a column's tensor; raises InputError and TooLarge."""
        kind = None if sheet.textual else chunks.type
        self._require_type(sheet, kind)
        parts = [array for array in chunks.chunks if len(array)]
        if len(parts) > 1 and not _TYPES.is_dictionary(chunks.type):  # dictionaries may differ
            parts = [pa.concat_arrays(parts)]
        start, made = 0, []
        rooms = TextRoom(sheet.most), TextRoom(sheet.most)
        for array in parts:
            try:
                made.append(self._chunk(array, rooms, textual=sheet.textual))
            except Misfit as misfit:
                place = sheet.place(start + misfit.row)
                raise InputError(
                    field=f"{place}{self.column.name}",
                    observed=shown(misfit.value),
                    allowed=misfit.allowed,
                ) from None
            except pa.ArrowException:  # a type that pyarrow cannot turn into numbers or text
                raise self._unread(sheet, array.type) from None
            start += len(array)
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _chunk(
        self, array: Any, rooms: tuple[TextRoom, TextRoom], *, textual: bool
    ) -> npt.NDArray[Any]:
        kind, column = array.type, self.column
        if textual:
            return self._texts(array) if column.kind == "number" else self._distinct(array, *rooms)
        if _TYPES.is_decimal(kind):  # by way of its digits: a division would round twice
            array = array.cast(pa.string()).cast(pa.float64())
        if _TYPES.is_dictionary(kind):
            return self._distinct(array, *rooms)
        if column.kind == "number":
            return self._numbers(array)
        if column.kind == "boolean" and _TYPES.is_boolean(kind):
            return self._numbers(array.cast(pa.uint8()))
        if column.kind == "datetime" and _TYPES.is_temporal(kind):
            return self._times(array)
        return self._distinct(array, *rooms)

    def _numbers(self, array: Any) -> npt.NDArray[Any]:
        if _TYPES.is_null(array.type):
            return self._filled(np.full(len(array), np.nan, np.float32))
        given = array.to_numpy(zero_copy_only=False)
        values: npt.NDArray[Any] = given
        if given.dtype != np.float32:
            values = given.astype(np.float64, copy=False)
        if self._endless:
            values = np.where(np.isin(values, self._endless), np.nan, values)
        if len(values) and values.min() >= -LARGEST and values.max() <= LARGEST:  # and none is NaN
            narrow = values.astype(np.float32)
            return self._filled(narrow) if len(self._gone) else narrow
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            row = int(beyond.argmax())
            allowed = f"a number between -{LARGEST:.6g} and {LARGEST:.6g}"
            raise Misfit(row, values[row].item(), allowed)
        return self._filled(values.astype(np.float32))

    def _filled(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Check that none is missing that may not be; all that are have one NaN's bits."""
        absent = np.isnan(values) | np.isin(values, self._gone)
        if absent.any():
            self._require_there(absent)
            values[absent] = np.nan
        return values

    def _require_there(self, absent: npt.NDArray[np.bool_]) -> None:
        if not self.column.nullable and absent.any():
            try:
                self._read([None])
            except Misfit as misfit:
                raise Misfit(int(absent.argmax()), None, misfit.allowed) from None

    def _texts(self, array: Any) -> npt.NDArray[Any]:
        """Read numbers from text: those of a column that is written plainly all at once."""
        plain = None
        if self.column.format is None:
            plain = self._finite(array)
            if plain is None:
                absent = pc.is_in(array, value_set=self._missing)
                plain = self._finite(pc.if_else(absent, pa.scalar(None, pa.string()), array))
        if plain is not None:
            return self._numbers(plain)
        coded = array.dictionary_encode()
        codes = coded.indices.to_numpy()
        words = coded.dictionary.to_pylist()
        try:
            numbers = self._spelled(words)
        except Misfit as misfit:
            row = int(np.flatnonzero(codes == misfit.row)[0])
            raise Misfit(row, misfit.value, misfit.allowed) from None
        made: npt.NDArray[Any] = numbers[codes]
        return made

    def _finite(self, texts: Any) -> Any:
        """Return texts as float64, or None where they must be looked at one by one.

        So must infinities where a word for missing is one: ``1e400`` is none, but reads as one.
        """
        values = _parsed(texts)
        if values is None or not self._endless:
            return values
        return None if np.isinf(values.to_numpy(zero_copy_only=False)).any() else values

    def _spelled(self, words: list[str]) -> npt.NDArray[Any]:
        """Return the numbers of distinct texts, in the form that the training table had."""
        column, missing = self.column, missing_words(self.column)
        if column.format is None:
            values = np.array([_number(word.strip(), missing) for word in words], np.float64)
        else:
            values = parse_numbers(list(words), (), column.format)
        for row in np.flatnonzero(~np.isfinite(values)).tolist():
            word = words[row].strip()
            if word not in missing and _infinity(word) not in self._endless:
                form = f", in the form {column.format}" if column.format else ""
                hint = "; an empty cell says that a value is missing" if column.nullable else ""
                raise Misfit(row, words[row], f"a number{form}{hint}")
        return self._numbers(pa.array(values))

    def _times(self, array: Any) -> npt.NDArray[Any]:
        kind = array.type
        absent = array.is_null().to_numpy(zero_copy_only=False)
        if _TYPES.is_date32(kind):
            whole = array.cast(pa.int32()).fill_null(0).to_numpy().astype(np.int64) * _DAY
        else:
            unit = "ms" if _TYPES.is_date64(kind) else kind.unit
            whole = array.cast(pa.int64()).fill_null(0).to_numpy() // _PER_SECOND[unit]
        absent |= np.isin(whole, self._gone)
        self._require_there(absent)
        outside = (whole < EARLIEST) | (whole > LATEST)
        if outside.any():
            row = int(outside.argmax())
            raise Misfit(row, int(whole[row]), "a date in the years 1 to 9999")
        return np.where(absent, NO_TIME, whole)

    def _distinct(self, array: Any, viewed: TextRoom, room: TextRoom) -> npt.NDArray[Any]:
        """Read the distinct values as those of JSON, and give each row its own."""
        codes, found = encoded(array, viewed)
        found = [None if value in self._endless else value for value in found]
        try:
            tensor = self._read(found)
        except Misfit as misfit:
            row = int(np.flatnonzero(codes == misfit.row)[0])
            raise Misfit(row, misfit.value, misfit.allowed) from None
        if tensor.dtype == object:
            lengths = np.array([len(word) for word in tensor.tolist()], np.int64)
            room.take(int(lengths[codes].sum()))
        return tensor.take(codes)

    def _require_type(self, sheet: Sheet, kind: Any) -> None:
        if kind is None:
            return
        inner = kind.value_type if _TYPES.is_dictionary(kind) else kind
        taken, _ = _TAKEN[self.column.kind]
        if not _TYPES.is_null(inner) and not any(fits(inner) for fits in taken):
            raise self._unread(sheet, kind)

    def _unread(self, sheet: Sheet, kind: Any) -> InputError:
        return InputError(
            field=f"{sheet.head}, {self.column.name}",
            observed=f"a column of {str(kind)[:60]}",
            allowed=_TAKEN[self.column.kind][1],
        )


def _parsed(texts: Any) -> Any:
    """Return texts as float64, or None where one is no plain number or is "nan"."""
    try:
        values = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None
    absent = int(np.isnan(values.to_numpy(zero_copy_only=False)).sum())
    return values if absent == values.null_count else None


def _infinity(word: str) -> float | None:
    """Return the infinity that a word names; a number of too many digits names none."""
    return float(word) if _INFINITE.fullmatch(word) else None


def _number(word: str, missing: frozenset[str]) -> float:
    if word in missing:
        return math.nan
    value = number(word)
    return math.nan if value is None else value


def _is_date(kind: Any) -> bool:
    return bool(_TYPES.is_timestamp(kind) or _TYPES.is_date(kind))


_COUNTED = (_TYPES.is_integer, _TYPES.is_floating, _TYPES.is_decimal)
_TAKEN: Mapping[str, tuple[tuple[Callable[[Any], bool], ...], str]] = {
    "number": (_COUNTED, "a column of numbers"),
    "boolean": (
        (_TYPES.is_boolean, *_COUNTED, is_text),
        "a column of truth values, of 0 and 1, or of text",
    ),
    "datetime": ((_is_date, *_COUNTED, is_text), "a column of dates, of numbers or of text"),
    "category": ((*_COUNTED, is_text), "a column of text or of numbers"),
    "text": ((is_text,), "a column of text"),
}
