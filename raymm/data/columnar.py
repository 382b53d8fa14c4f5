"""Reads files that hold typed columns: Parquet, Arrow (Feather) and JSON lines.

What a model cannot take is made into what it can, or left out and told: records within a column
become columns of their own (``place.city``), decimals become numbers, durations and times of day
seconds; lists, maps and bytes are left out.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
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
_WORDS_ONCE = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
_SHORTENED = {"DELTA_BYTE_ARRAY"}
"""Encodings of text in Parquet: each word once, and words as ends that differ from the last one's,
which Arrow does not read as numbers of words."""


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
        groups = [told.row_group(i) for i in range(told.num_row_groups)]
        held = sum(group.total_byte_size for group in groups)
        need = max(held, 8 * told.num_rows * told.num_columns)
        _require_room((told.num_rows, told.num_columns), need, name, memory)
        listed = {one.name: one.type for one in reader.schema_arrow if _is_listed(one.type)}
        kept = [one.name for one in reader.schema_arrow if one.name not in listed]
        coded = _coded(reader.schema_arrow, groups)
        reader = pq.ParquetFile(file, metadata=told, read_dictionary=coded)
        table = reader.read(columns=kept if listed else None)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise DataError(
            f"{name} begins like a Parquet file but cannot be read: {error}. Write it again."
        ) from error
    _left_out([(key, _held_in(kind)) for key, kind in listed.items()], found)
    table = _flat(table, found)
    _require_room(table.shape, _bytes(table, coded), name, memory)
    return _frame(_decoded(table, coded), found)


def arrow(file: pa.NativeFile, name: str, found: Findings, memory: int) -> pd.DataFrame:
    """Read an Arrow or Feather (version 2) file; raises as `parquet` does."""
    import pyarrow as pa
    import pyarrow.ipc

    try:
        reader = pa.ipc.open_file(file)
        batches: list[pa.RecordBatch] = []
        rows = held = 0
        for place in range(reader.num_record_batches):
            batches.append(reader.get_batch(place))
            rows, held = rows + len(batches[-1]), held + batches[-1].nbytes
            _require_room((rows, len(reader.schema)), held, name, memory)
        table = _flat(pa.Table.from_batches(batches, reader.schema), found)
        _require_room(table.shape, _bytes(table, ()), name, memory)
        return _frame(table, found)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{name} begins like an Arrow file but cannot be read: {error}. Write it again."
        ) from error


REPLACED = "halves of characters (lone surrogates) were replaced by question marks"


def records(data: bytes, name: str, found: Findings, memory: int) -> pd.DataFrame:
    """Read JSON: one record a line, or one list of records.

    Raises
    ------
    DataError
        When it is neither, or its records have so many different keys that the table of all of
        them needs more than ``memory`` bytes.
    """
    import pyarrow as pa
    import pyarrow.json

    found.note("the file holds JSON records")
    if data.lstrip()[:1] == b"{":
        try:
            if _nested(data) > _NESTED:
                raise pa.ArrowInvalid("nested too deeply")
            _require_few_keys(_readable(data), name, memory)
            return _frame(_flat(pa.json.read_json(pa.BufferReader(data)), found), found)
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
        _require_few_keys(held, name, memory)
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


def _require_few_keys(rows: Iterable[Any], name: str, memory: int) -> None:
    """Raise DataError where a cell for each record and each key of any takes too much memory."""
    keys: set[str | tuple[str, ...]] = set()
    for count, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            continue
        keys.update(row)
        if dict in map(type, row.values()):
            keys.update(_keys(row))
        _require_room((count, len(keys)), 8 * count * len(keys), name, memory)


def _keys(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the paths to the values of records within a record."""
    left: list[tuple[tuple[str, ...], dict[str, Any]]] = [((), row)]
    while left:
        within, held = left.pop()
        for key, value in held.items():
            if isinstance(value, dict):
                left.append(((*within, key), value))
            elif within:
                yield (*within, key)


def _readable(data: bytes) -> Iterator[Any]:
    """Yield the records of those lines that are JSON."""
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            yield json.loads(line)


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


def _require_room(shape: tuple[int, int], need: int, name: str, memory: int) -> None:
    if need > memory:
        raise DataError(
            f"{name} holds {shape[0]:,} rows of {shape[1]:,} columns, which take about "
            f"{need / 2**30:,.1f} GiB, but {memory / 2**30:,.1f} GiB of memory may be taken. Give "
            "a sample of its rows, or the columns that matter, or a larger machine."
        )


def _coded(schema: pa.Schema, groups: list[Any]) -> list[str]:
    """Return the columns of text that a Parquet file keeps as numbers of words.

    Nothing in the file tells what the words come to, written out in each row; so they are read
    as they are kept.
    """
    import pyarrow as pa

    types = pa.types
    plain = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    fields = _flat(schema.empty_table(), Findings()).schema
    texts = {one.name for one in fields if any(fits(one.type) for fits in plain)}
    texts.update(one.name for one in fields if types.is_string_view(one.type))
    ways: dict[str, set[str]] = {}
    for group in groups:
        for place in range(group.num_columns):
            chunk = group.column(place)
            if chunk.path_in_schema in texts:
                ways.setdefault(chunk.path_in_schema, set()).update(chunk.encodings)
    return [key for key, used in ways.items() if used & _WORDS_ONCE and not used & _SHORTENED]


def _bytes(table: pa.Table, coded: Collection[str]) -> int:
    """Return what columns take once the words of the coded ones, and views, are written out."""
    import pyarrow as pa

    total = 0
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.name in coded:
            for chunk in column.chunks:
                sizes = pa.compute.binary_length(chunk.dictionary).cast(pa.int64())
                total += (pa.compute.sum(sizes.take(chunk.indices)).as_py() or 0) + 8 * len(chunk)
        elif pa.types.is_string_view(field.type) or pa.types.is_binary_view(field.type):
            total += sum(_viewed(chunk) + 8 * len(chunk) for chunk in column.chunks)
        else:
            total += column.nbytes
    return total


def _viewed(views: pa.Array) -> int:
    """Return the bytes of text that views look at, of which many may look at the same.

    A view is 16 bytes, its length the first four of them (Arrow columnar format).
    """
    end = views.offset + len(views)
    sizes = np.frombuffer(views.buffers()[1], np.int32, 4 * end)[4 * views.offset :: 4]
    return int(sizes[views.is_valid().to_numpy(zero_copy_only=False)].sum(dtype=np.int64))


def _decoded(table: pa.Table, coded: Collection[str]) -> pa.Table:
    """Return a table with the words of the coded columns in each row."""
    import pyarrow as pa

    for place, name in enumerate(table.column_names):
        if name in coded:
            column = table.column(place)
            text = pa.types.is_string(column.type.value_type)
            kind = pa.large_string() if text else pa.large_binary()
            chunks = [one.dictionary.cast(kind).take(one.indices) for one in column.chunks]
            table = table.set_column(place, name, pa.chunked_array(chunks, kind))
    return table


def _is_listed(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_nested(kind) and not pa.types.is_struct(kind)


def _held_in(kind: pa.DataType) -> str:
    import pyarrow as pa

    return "maps" if pa.types.is_map(kind) else "lists or other nested values"


def _flat(table: pa.Table, found: Findings) -> pa.Table:
    """Return a table without indexes, records within columns as columns of their own."""
    import pyarrow as pa

    indexes = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(indexes) if indexes else table
    for _ in range(_DEPTH):
        if not any(pa.types.is_struct(field.type) for field in table.schema):
            break
        nested = [field.name for field in table.schema if pa.types.is_struct(field.type)]
        found.note(f"records within {_listed(nested)} became columns of their own")
        table = table.flatten()
    return table


def _frame(table: pa.Table, found: Findings) -> pd.DataFrame:
    import pyarrow as pa

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
        return None, _held_in(kind)
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
