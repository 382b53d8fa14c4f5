"""Reads files that hold typed columns: Parquet, Arrow (Feather) and JSON lines.

What a model cannot take is made into what it can, or left out and told: records within a column
become columns of their own (``place.city``), decimals become numbers, durations and times of day
seconds; lists, maps and bytes are left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from raymm.data.findings import Findings
from raymm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = b"PAR1"
ARROW = b"ARROW1"
_DEPTH = 8
_NESTED = 1_000
"""Brackets within brackets up to which pyarrow reads JSON: it recurs, and at 100,000 of them it
takes the whole process down."""
_OPEN, _CLOSED = tuple(b"{["), tuple(b"}]")
_PIECE = 4 * 2**20


def parquet(file: pa.NativeFile, name: str, found: Findings, memory: int) -> pd.DataFrame:
    """Read a Parquet file.

    Parameters
    ----------
    memory : int
        The bytes that the columns may take; what the file says of its size is checked first.

    Raises
    ------
    DataError
        When it is damaged, locked, or needs more memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        reader = pq.ParquetFile(file)
        told = reader.metadata
        _require_room(told.num_rows, told.num_columns, told, name, memory)
        table = reader.read()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(
            f"{name} begins like a Parquet file but cannot be read: {error}. Write it again."
        ) from error
    return _frame(table, found)


def arrow(file: pa.NativeFile, name: str, found: Findings) -> pd.DataFrame:
    """Read an Arrow or Feather (version 2) file; raises DataError when it is damaged."""
    import pyarrow as pa
    import pyarrow.ipc

    try:
        return _frame(pa.ipc.open_file(file).read_all(), found)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{name} begins like an Arrow file but cannot be read: {error}. Write it again."
        ) from error


REPLACED = "halves of characters (lone surrogates) were replaced by question marks"


def records(data: bytes, name: str, found: Findings) -> pd.DataFrame:
    """Read JSON: one record a line, or one list of records.

    Raises
    ------
    DataError
        When it is neither.
    """
    import pyarrow as pa
    import pyarrow.json

    found.note("the file holds JSON records")
    if data.lstrip()[:1] == b"{":
        try:
            if _nested(data) > _NESTED:
                raise pa.ArrowInvalid("nested too deeply")
            return _frame(pa.json.read_json(pa.BufferReader(data)), found)
        except pa.ArrowException:  # values of several types in one field
            held: Any = list(_lines(data, name))
    else:
        held = _parsed(data, name, 1)
    if not isinstance(held, list) or not held or not all(isinstance(row, dict) for row in held):
        raise DataError(
            f"{name} holds JSON, but neither one record a line nor a list of records. Save the "
            "table as CSV, Parquet or JSON lines."
        )
    try:
        try:
            frame = pd.json_normalize(held)
        except UnicodeEncodeError:
            found.note(REPLACED)
            frame = pd.json_normalize(whole_text(held))
    except RecursionError as error:
        raise DataError(
            f"{name} holds records nested too deeply to be read. Write records of plain values."
        ) from error
    odd = [key for key in frame.columns if frame[key].map(lambda v: isinstance(v, list)).any()]
    _left_out([(str(key), "lists") for key in odd], found)
    return frame.drop(columns=odd)


def whole_text(value: Any) -> Any:
    """Return a value, or lists and dictionaries of values, with lone surrogates as question marks.

    Half of a character, as an escape in JSON may write it, is no text that could be stored.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {whole_text(key): whole_text(held) for key, held in value.items()}
    return [whole_text(held) for held in value] if isinstance(value, list) else value


def _nested(data: bytes) -> int:
    """Return how deeply brackets are nested at most; those within text count as well."""
    deepest = depth = 0
    for start in range(0, len(data), _PIECE):
        codes = np.frombuffer(data, np.uint8, min(_PIECE, len(data) - start), start)
        steps = np.isin(codes, _OPEN).astype(np.int64) - np.isin(codes, _CLOSED)
        depths = depth + np.cumsum(steps)
        deepest, depth = max(deepest, int(depths.max())), int(depths[-1])
    return deepest


def _lines(data: bytes, name: str) -> list[Any]:
    lines = data.splitlines()
    return [_parsed(line, name, i) for i, line in enumerate(lines, start=1) if line.strip()]


def _parsed(data: bytes, name: str, line: int) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name}, line {line}, is not JSON: {error}. Write one record a line, or a list of "
            "records."
        ) from error


def _require_room(rows: int, columns: int, told: Any, name: str, memory: int) -> None:
    held = sum(told.row_group(i).total_byte_size for i in range(told.num_row_groups))
    need = max(held, 8 * rows * columns)
    if need > memory:
        raise DataError(
            f"{name} holds {rows:,} rows of {columns:,} columns, which take about "
            f"{need / 2**30:,.1f} GiB, but {memory / 2**30:,.1f} GiB of memory may be taken. Give "
            "a sample of its rows, or the columns that matter, or a larger machine."
        )


def _frame(table: pa.Table, found: Findings) -> pd.DataFrame:
    import pyarrow as pa

    indexes = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(indexes) if indexes else table
    for _ in range(_DEPTH):
        if not any(pa.types.is_struct(field.type) for field in table.schema):
            break
        nested = [field.name for field in table.schema if pa.types.is_struct(field.type)]
        found.note(f"records within {_listed(nested)} became columns of their own")
        table = table.flatten()
    kept: list[tuple[str, pa.ChunkedArray]] = []
    gone: list[tuple[str, str]] = []
    for field, column in zip(table.schema, table.columns, strict=True):
        plain, what = _plain(column)
        if plain is None:
            gone.append((field.name, what))
        else:
            kept.append((field.name, plain))
            if what:
                found.note(f'"{field.name}": {what}')
    _left_out(gone, found)
    plain_table = pa.Table.from_arrays([c for _, c in kept], names=[n for n, _ in kept])
    frame: pd.DataFrame = plain_table.to_pandas(ignore_metadata=True, split_blocks=True)
    return frame


def _plain(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, str]:
    """Return a column as a model can take it and what was done, or None and what it held."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if types.is_decimal(kind):
        return column.cast(pa.float64()), "decimals are read as floating-point numbers"
    if types.is_duration(kind):
        nanos = column.cast(pa.duration("ns"), safe=False).cast(pa.int64())
        return pa.compute.divide(nanos.cast(pa.float64(), safe=False), 1e9), "durations in seconds"
    if types.is_time(kind):
        micros = column.cast(pa.time64("us"), safe=False).cast(pa.int64())
        return pa.compute.divide(micros.cast(pa.float64()), 1e6), "times of day in seconds"
    if types.is_binary(kind) or types.is_large_binary(kind):
        try:
            return column.cast(pa.large_string()), ""
        except pa.ArrowException:
            return None, "bytes"
    if types.is_nested(kind):
        return None, "maps" if types.is_map(kind) else "lists or other nested values"
    if types.is_fixed_size_binary(kind) or types.is_interval(kind):
        return None, str(kind)
    return column, ""


def _left_out(gone: list[tuple[str, str]], found: Findings) -> None:
    for name, what in gone:
        found.repair(
            "columns left out",
            f'"{name}" holds {what} and was left out',
            "Make columns of numbers or words of it if it matters.",
            column=name,
        )


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names[:5]) + (", …" if len(names) > 5 else "")
