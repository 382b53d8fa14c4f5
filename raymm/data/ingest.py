"""Reads a table: CSV in any common form, Parquet, Arrow or JSON lines, one file or many.

What a text file does not say of itself (delimiter, encoding, quoting, whether it has a header) is
found out and told in the table's notes. Cells stay text, exactly as written: what means "missing"
and what is a number is for the schema to decide. Only of text files too large for that, numbers,
dates and repeated words are kept in types that take less memory (`raymm.data.streamed`).
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raymm.artifacts import Table
from raymm.data import columnar, streamed
from raymm.data.compressed import too_large
from raymm.data.files import Named, files
from raymm.data.findings import Findings
from raymm.data.given import Given, given
from raymm.data.memory import available
from raymm.data.naming import named
from raymm.data.partitions import partitions
from raymm.data.text import parse
from raymm.errors import DataError
from raymm.sections import DataConfig

LIMIT_BYTES = 64 * 2**30
LARGE = 128 * 2**20
"""Bytes of text, all files together and unpacked, from which columns are kept compactly."""
_PACKED = 8
_KEY = "raymm-table-key1"


def table(config: DataConfig) -> Table:
    """Read the table that a configuration names; see `read`."""
    return read(config.source, encoding=config.encoding, delimiter=config.delimiter)


def read(
    source: str,
    *,
    limit_bytes: int = LIMIT_BYTES,
    memory: int | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Table:
    """Read a table.

    Parameters
    ----------
    source : str
        A file, a folder, a glob, or a ``file://``, ``s3://``, ``gs://``, ``az://``, ``http(s)://``
        or ``memory://`` URL of a file, folder or glob. Files of one folder are read in the order
        of their names and must have the same columns. Files may be packed by gzip, zstd, bzip2,
        xz or lz4, or lie alone in a ZIP archive.
    limit_bytes : int
        The most bytes to read, all files together and unpacked.
    memory : int or None
        The bytes that the table may take; two fifths of the free memory by default. A larger CSV
        is sampled, which the notes and anomalies tell; a larger Parquet file is refused.
    encoding, delimiter : str or None
        Of text files; found out by default. See `raymm.charsets`.

    Raises
    ------
    DataError
        When nothing is there, a file is no table or not as it was said to be, the files do not
        fit together, or the limit is passed.
    """
    found, said = Findings(), given(encoding, delimiter)
    named_files = files(source, limit_bytes)
    seen = [(file.head(64), file.size * (_PACKED if file.packed else 1)) for file in named_files]
    text = not any(_is_binary(head) for head, _ in seen)
    weight = sum(size for _, size in seen)
    whole = None
    if not text or weight < LARGE:
        whole = _whole(named_files, limit_bytes, found, memory, said)
    if whole is None:
        if not text:
            raise too_large(source, limit_bytes)
        found = Findings()
        stream = streamed.read(named_files, limit_bytes, found, memory=memory, said=said)
        frame, digest, written = stream.frame, stream.sha256, stream.written
    else:
        frame, digest, written = whole, content_hash(whole), {}
    if len(named_files) > 1:
        found.note(f"{len(named_files)} files were read, in the order of their names")
    if len(frame) == 0:
        raise DataError(f"{source} has a header but no rows. Give a table that has some.")
    return Table(
        frame=frame,
        source=source,
        sha256=digest,
        notes=tuple(found.notes),
        anomalies=tuple(found.anomalies),
        written=written,
    )


def from_frame(frame: pd.DataFrame) -> Table:
    """Take a table that is in memory; its index is left out and its names become text.

    Raises
    ------
    DataError
        When it has no rows or no columns, or two columns of one name.
    """
    if frame.empty:
        raise DataError(f"the table must have rows and columns, but its shape is {frame.shape}.")
    found = Findings()
    plain = frame.reset_index(drop=True)
    plain.columns = pd.Index(named([str(name) for name in frame.columns], found))
    plain = _plain(plain)
    try:
        digest = content_hash(plain)
    except UnicodeEncodeError:
        found.note(columnar.REPLACED)
        plain = plain.map(columnar.whole_text)
        digest = content_hash(plain)
    return Table(
        frame=plain,
        source="memory",
        sha256=digest,
        notes=tuple(found.notes),
        anomalies=tuple(found.anomalies),
    )


def content_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256, in hexadecimal, of a frame's column names and cells, in order."""
    digest = hashlib.sha256(json.dumps([str(name) for name in frame.columns]).encode())
    try:
        rows = pd.util.hash_pandas_object(frame, index=False, hash_key=_KEY)
    except TypeError:  # lists or dictionaries in a cell
        rows = pd.util.hash_pandas_object(frame.map(str), index=False, hash_key=_KEY)
    digest.update(np.ascontiguousarray(rows.to_numpy(np.uint64), dtype="<u8").tobytes())
    return digest.hexdigest()


def _is_binary(head: bytes) -> bool:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return head.startswith((columnar.PARQUET, columnar.ARROW)) or start in (b"{", b"[")


def _whole(
    named_files: Sequence[Named],
    limit: int,
    found: Findings,
    memory: int | None,
    said: Given,
) -> pd.DataFrame | None:
    """Return the files' rows in one frame, or None where their text is too large for that."""
    frames: list[pd.DataFrame] = []
    left = limit
    room = int(available() * 0.6) if memory is None else memory
    folders = partitions([file.name for file in named_files])
    for place, file in enumerate(named_files):
        found.name = file.name if frames else ""
        # Joining takes what all frames take once more.
        frame, size = _frame(file, left, found, room - 2 * sum(map(_bytes, frames)), said)
        if frame is None:
            return None
        left -= size
        if len(frame.columns) == 0:
            raise DataError(f"{file.name} has no columns. Give a file with a header and rows.")
        frame.columns = pd.Index(named([str(name) for name in frame.columns], found))
        given = frame.columns
        frame = _with_folders(frame, {key: values[place] for key, values in folders.items()})
        for name in frame.columns.difference(given, sort=False):
            found.name = ""
            found.note(f'the folders of the files give the column "{name}"')
        frames.append(_aligned(frame, frames, named_files[0].name, file.name, found))
    found.name = ""
    return _joined(frames)


def _frame(
    file: Named, left: int, found: Findings, room: int, said: Given
) -> tuple[pd.DataFrame | None, int]:
    """Return a file's rows and how many bytes it holds; None where it is large text."""
    head = file.head(8)
    if head.startswith((columnar.PARQUET, columnar.ARROW)) and not file.packed:
        with file.stored() as opened:
            if head.startswith(columnar.ARROW):
                return columnar.arrow(opened, file.name, found, room), file.size
            return columnar.parquet(opened, file.name, found, room), file.size
    data = file.read(min(left, LARGE))
    if len(data) > left:
        raise too_large(file.name, left)
    if not data:
        raise DataError(f"{file.name} is empty. Give a file with a header and rows.")
    if len(data) > LARGE and _is_binary(data[:64]) and not _is_text(data[:64]):
        raise too_large(file.name, LARGE)
    if head.startswith(columnar.PARQUET):
        return columnar.parquet(_opened(data), file.name, found, room), len(data)
    if head.startswith(columnar.ARROW):
        return columnar.arrow(_opened(data), file.name, found, room), len(data)
    if _is_json(data[:64]):
        return columnar.records(data.removeprefix(codecs.BOM_UTF8), file.name, found, room), len(
            data
        )
    if len(data) > LARGE:
        return None, len(data)
    return parse(data, file.name, found, said)[0], len(data)


def _with_folders(frame: pd.DataFrame, folders: dict[str, str]) -> pd.DataFrame:
    """Return a file's rows with the columns that its folders are named by, as text."""
    made: dict[str, Any] = {
        key: pd.Series(value, index=frame.index, dtype="str")
        for key, value in folders.items()
        if key not in frame.columns
    }
    return frame.assign(**made) if made else frame


def _is_text(head: bytes) -> bool:
    """Whether a file that begins with a bracket is CSV all the same."""
    return head.lstrip()[:1] in (b"{", b"[") and not _is_json(head)


def _opened(data: bytes) -> Any:
    import pyarrow as pa

    return pa.BufferReader(data)


def _is_json(head: bytes) -> bool:
    """Whether text begins like a JSON record or a list of such."""
    plain = (
        head.removeprefix(codecs.BOM_UTF8)
        .lstrip()
        .replace(b" ", b"")
        .replace(b"\n", b"")
        .replace(b"\r", b"")
    )
    return plain.startswith((b'{"', b'[{"', b"{}", b"[]", b"[["))


def _aligned(
    frame: pd.DataFrame, before: list[pd.DataFrame], first: str, name: str, found: Findings
) -> pd.DataFrame:
    if not before or list(frame.columns) == list(before[0].columns):
        return frame
    streamed.require_same(list(before[0].columns), list(frame.columns), first, name)
    found.name = ""
    found.note(f"{name} has its columns in another order; they were put in the first file's")
    return frame[list(before[0].columns)]


def _bytes(frame: pd.DataFrame) -> int:
    return int(frame.memory_usage(index=False).sum())


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
