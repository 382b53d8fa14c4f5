"""Reads a table: CSV in any common form or Parquet, one file or many, on disk or in a store.

What a text file does not say of itself (delimiter, encoding, quoting, whether it has a header) is
found out and told in the table's notes. Cells stay text, exactly as written: what means "missing"
and what is a number is for the schema to decide.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from raymm.artifacts import Table
from raymm.data.files import Named, files
from raymm.data.text import parse
from raymm.errors import DataError

LIMIT_BYTES = 4 * 2**30
_KEY = "raymm-table-key1"


def read(source: str, *, limit_bytes: int = LIMIT_BYTES) -> Table:
    """Read a table.

    Parameters
    ----------
    source : str
        A file, a folder, a glob, or a ``file://``, ``s3://``, ``gs://``, ``az://``, ``http(s)://``
        or ``memory://`` URL of a file, folder or glob. Files of one folder are read in the order
        of their names and must have the same columns.
    limit_bytes : int
        The most bytes to read, all files together and unpacked.

    Raises
    ------
    DataError
        When nothing is there, a file is no table, the files do not fit together, or the limit is
        passed.
    """
    frames: list[pd.DataFrame] = []
    notes: list[str] = []
    names: list[str] = []
    for file in files(source, limit_bytes):
        frame, told = _frame(file)
        if len(frame.columns) == 0:
            raise DataError(f"{file.name} has no columns. Give a file with a header and rows.")
        frames.append(_aligned(frame, frames, file.name, names, notes))
        names.append(file.name)
        notes += [f"{file.name}: {note}" if len(told) and len(names) > 1 else note for note in told]
    if len(frames) > 1:
        notes.append(f"{len(frames)} files were read, in the order of their names")
    frame = _joined(frames)
    if len(frame) == 0:
        raise DataError(f"{source} has a header but no rows. Give a table with at least ten rows.")
    return Table(frame=frame, source=source, sha256=content_hash(frame), notes=tuple(notes))


def from_frame(frame: pd.DataFrame) -> Table:
    """Take a table that is in memory; its index is left out and its names become text.

    Raises
    ------
    DataError
        When it has no rows or no columns, or two columns of one name.
    """
    if frame.empty:
        raise DataError(f"the table must have rows and columns, but its shape is {frame.shape}.")
    notes: list[str] = []
    named = frame.reset_index(drop=True)
    named.columns = pd.Index(_names([str(name) for name in frame.columns], notes))
    plain = _plain(named)
    return Table(frame=plain, source="memory", sha256=content_hash(plain), notes=tuple(notes))


def content_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256, in hexadecimal, of a frame's column names and cells, in order."""
    digest = hashlib.sha256(json.dumps([str(name) for name in frame.columns]).encode())
    try:
        rows = pd.util.hash_pandas_object(frame, index=False, hash_key=_KEY)
    except TypeError:  # lists or dictionaries in a cell
        rows = pd.util.hash_pandas_object(frame.map(str), index=False, hash_key=_KEY)
    digest.update(np.ascontiguousarray(rows.to_numpy(np.uint64), dtype="<u8").tobytes())
    return digest.hexdigest()


def _frame(file: Named) -> tuple[pd.DataFrame, list[str]]:
    if file.data[:4] == b"PAR1":
        frame, notes = _parquet(file), list[str]()
    else:
        frame, notes = parse(file.data, file.name)
    frame.columns = pd.Index(_names([str(name) for name in frame.columns], notes))
    return frame, notes


def _parquet(file: Named) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(file.data)).read()
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{file.name} begins like a Parquet file but cannot be read: {error}. Write it again."
        ) from error
    indexes = [name for name in frame.columns if str(name).startswith("__index_level_")]
    return frame.drop(columns=indexes)


def _names(names: list[str], notes: list[str]) -> list[str]:
    """Return names without surrounding blanks, none empty, no two equal; tell what changed."""
    stripped = [name.strip() for name in names]
    taken = Counter(stripped)
    result: list[str] = []
    seen: set[str] = set()
    for place, name in enumerate(stripped, start=1):
        new, count = name, 1
        if not name:
            new = f"column_{place}"
        while new in seen or (new != name and new in taken):
            count += 1
            new = f"{name or f'column_{place}'}_{count}"
        if new != name:
            what = f'a second column "{name}"' if name else f"column {place}, which has no name,"
            notes.append(f'{what} is called "{new}"')
        seen.add(new)
        result.append(new)
    return result


def _aligned(
    frame: pd.DataFrame, before: list[pd.DataFrame], name: str, names: list[str], notes: list[str]
) -> pd.DataFrame:
    if not before or list(frame.columns) == list(before[0].columns):
        return frame
    expected, found = set(before[0].columns), set(frame.columns)
    if expected != found:
        parts = [f"lacks {sorted(expected - found)}"] if expected - found else []
        parts += [f"has besides {sorted(found - expected)}"] if found - expected else []
        raise DataError(
            f"All files of one table must have the same columns, but {name} {' and '.join(parts)} "
            f"compared with {names[0]}. Read them apart, or mend that file."
        )
    notes.append(f"{name} has its columns in another order; they were put in the first file's")
    return frame[list(before[0].columns)]


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    if len(frames) == 1:
        return frames[0]
    return pd.concat([_plain(frame) for frame in frames], ignore_index=True)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Give categorical columns their values' own type, which may differ from file to file."""
    changed: dict[str, Any] = {
        str(name): frame[name].astype(_held(frame[name]))
        for name in frame.columns
        if isinstance(frame[name].dtype, pd.CategoricalDtype)
    }
    return frame.assign(**changed) if changed else frame


def _held(values: pd.Series[Any]) -> Any:
    """Return the type of a categorical column's values; numpy's whole numbers hold no gap."""
    dtype = values.cat.categories.dtype
    gaps = bool(values.isna().any())
    return object if gaps and isinstance(dtype, np.dtype) and dtype.kind in "iub" else dtype
