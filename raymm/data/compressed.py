"""Unpacks files by what they begin with, and ends early what would unpack without end."""

from __future__ import annotations

import io
import re
import zipfile
from typing import IO, TYPE_CHECKING, Any, cast

from raymm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

RATIO = 200
"""A file may unpack to this many times its size, once it is past `FLOOR`."""
FLOOR = 64 * 2**20
PIECE = 4 * 2**20

TABLES = re.compile(
    r"\.(csv|tsv|tab|psv|txt|data|dat|parquet|pq|arrow|feather|ipc|jsonl|ndjson)"
    r"(\.(gz|zst|zstd|bz2|xz|lz4|zip))?$",
    re.IGNORECASE,
)
"""Files of a folder that are taken for tables."""

_KINDS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}


def kind_of(head: bytes) -> str:
    """Return how a file that begins so is packed, or an empty string."""
    return next((kind for magic, kind in _KINDS.items() if head.startswith(magic)), "")


class Unpacked(io.RawIOBase):
    """A packed file as a stream of its content, with an end to what it may hold.

    Parameters
    ----------
    base : pyarrow.NativeFile
        The packed bytes, at their beginning.
    packed : int
        Their number.
    limit : int
        The most bytes to unpack.

    Raises
    ------
    DataError
        On reading: when the bytes are damaged, more than ``limit``, or past `RATIO` times the
        packed ones; at once when a ZIP archive holds no or several tables.
    """

    def __init__(self, base: pa.NativeFile, kind: str, packed: int, limit: int, name: str) -> None:
        super().__init__()
        self._name, self._kind = name, kind
        self._packed, self._limit = packed, limit
        self._total = 0
        with _Told(name, kind):
            self._inner = _stream(base, kind, name, limit)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack into a buffer and return how many bytes there were."""
        with _Told(self._name, self._kind):
            data = self._inner.read(len(buffer))
        self._total += len(data)
        if self._total > self._limit:
            raise too_large(self._name, self._limit)
        if self._total > max(FLOOR, RATIO * self._packed):
            raise DataError(
                f"{self._name} unpacks to more than {RATIO} times its {self._packed:,} bytes, as "
                "archives do that are made to fill a memory. Unpack it yourself if it is meant so."
            )
        buffer[: len(data)] = data
        return len(data)


def too_large(source: str, limit: int) -> DataError:
    """Return the error of a source that holds too much."""
    return DataError(
        f"{source} must hold at most {limit:,} bytes unpacked, but holds more. Give a sample of "
        "its rows, or the columns that matter as Parquet."
    )


class _Told:
    """Turns what the unpacking libraries raise into a DataError."""

    def __init__(self, name: str, kind: str) -> None:
        self._name, self._kind = name, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        import lzma
        import zlib

        broken = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError)
        if isinstance(error, (*broken, lzma.LZMAError, zlib.error, zipfile.BadZipFile)):
            raise DataError(
                f"{self._name} is packed with {self._kind} but cannot be unpacked: {error}. Write "
                "it again."
            ) from error


def _stream(base: pa.NativeFile, kind: str, name: str, limit: int) -> IO[bytes]:
    import pyarrow as pa

    if kind == "xz":
        import lzma

        return cast(IO[bytes], lzma.open(base))
    if kind == "zip":
        try:
            archive = zipfile.ZipFile(cast(IO[bytes], base))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{name} is a ZIP archive or an Excel workbook that is damaged: {error}. Save the "
                "table as CSV or Parquet."
            ) from error
        member = _member(archive, name)
        if member.file_size > limit:
            raise too_large(name, limit)
        return archive.open(member)
    return cast(IO[bytes], pa.CompressedInputStream(base, kind))


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the one table of a ZIP archive."""
    names = archive.namelist()
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise DataError(
            f"{name} is an Excel workbook or another office document, not a CSV or Parquet file. "
            "Save the table as CSV or Parquet."
        )
    members = [
        item
        for item in archive.infolist()
        if not item.is_dir()
        and not any(p.startswith((".", "__MACOSX")) for p in item.filename.split("/"))
    ]
    tables = [item for item in members if TABLES.search(item.filename)]
    chosen = tables or members
    if len(chosen) != 1:
        held = ", ".join(item.filename for item in chosen[:5]) or "nothing"
        raise DataError(
            f"{name} must hold one table, but holds {len(chosen)} ({held}). Unpack it, and give "
            "one file or the folder."
        )
    if chosen[0].flag_bits & 1:
        raise DataError(f"{name} is locked with a password. Unpack it and give the table in it.")
    return chosen[0]
