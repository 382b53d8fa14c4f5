"""Finds the files that a source names and reads their bytes, unpacked.

Local paths are read directly; every other store is reached through one library, obstore.
"""

from __future__ import annotations

import fnmatch
import glob
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from raymm.errors import DataError

if TYPE_CHECKING:
    from obstore.store import MemoryStore

TABLES = re.compile(r"\.(csv|tsv|psv|txt|data|parquet|pq)(\.(gz|zst|zstd|bz2|xz))?$", re.IGNORECASE)
"""Files of a folder that are taken for tables."""

_WILD = re.compile(r"[*?\[]")
_REMEDY = "Give a CSV or Parquet file, a folder or glob of them, or a URL."


@dataclass(frozen=True, slots=True)
class Named:
    """A file's name and its unpacked bytes."""

    name: str
    data: bytes


@lru_cache(maxsize=1)
def memory() -> MemoryStore:
    """Return this process's store behind ``memory://`` URLs."""
    from obstore.store import MemoryStore

    return MemoryStore()


def files(source: str, limit_bytes: int) -> Iterator[Named]:
    """Yield the files of a source in the order of their names.

    Raises
    ------
    DataError
        When there are none, one cannot be read or unpacked, or there are too many bytes.
    """
    if not source.strip():
        raise DataError(f"data.source is empty. {_REMEDY}")
    url = re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE)
    if url and not source.lower().startswith("file://"):
        found = _remote(source, limit_bytes)
    else:
        path = unquote(urlsplit(source).path) if url else source
        found = _local(path, limit_bytes)
    total = 0
    for name, data in found:
        plain = _unpacked(name, data, limit_bytes - total)
        total += len(plain)
        if total > limit_bytes:
            raise _too_large(source, limit_bytes)
        if not plain:
            raise DataError(f"{name} is empty. Give a file with a header and rows.")
        yield Named(name, plain)


def _too_large(source: str, limit: int) -> DataError:
    return DataError(
        f"{source} must hold at most {limit:,} bytes unpacked, but holds more. Give a sample of "
        "its rows, or the columns that matter as Parquet."
    )


def _local(source: str, limit: int) -> Iterator[tuple[str, bytes]]:
    path = Path(source).expanduser()
    if path.is_dir():
        paths = sorted(
            inner
            for inner in path.rglob("*")
            if inner.is_file() and _is_table(inner.relative_to(path).parts)
        )
        if not paths:
            raise DataError(f"The folder {source} holds no CSV or Parquet file. {_REMEDY}")
    elif path.exists():
        paths = [path]
    elif _WILD.search(source):
        paths = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        paths = [inner for inner in paths if inner.is_file()]
        if not paths:
            raise DataError(f"No file matches {source}. {_REMEDY}")
    else:
        raise DataError(f"{source} does not exist. Check the path; it starts at {Path.cwd()}.")
    try:
        if sum(inner.stat().st_size for inner in paths) > limit:
            raise _too_large(source, limit)
        for inner in paths:
            yield str(inner), inner.read_bytes()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error}. Check its permissions.") from error


def _is_table(parts: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and bool(TABLES.search(parts[-1]))


def _remote(source: str, limit: int) -> Iterator[tuple[str, bytes]]:
    import obstore
    from obstore.exceptions import BaseError

    try:
        store, path = _store(source)
        names = _listed(obstore, store, path)
        if not names:
            raise DataError(f"{source} holds no CSV or Parquet file, or is not there. {_REMEDY}")
        sizes = [int(obstore.head(store, name)["size"]) for name in names]
        if sum(sizes) > limit:
            raise _too_large(source, limit)
        for name in names:
            yield name, bytes(obstore.get(store, name).bytes())
    except (BaseError, OSError, ValueError) as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"{source} cannot be read: {first[0]}. Check the address and the credentials in the "
            "environment."
        ) from error


def _store(source: str) -> tuple[Any, str]:
    """Return the store of a URL and the path within it, which may be a glob."""
    from obstore.store import from_url

    scheme, _, rest = source.partition("://")
    if scheme.lower() == "memory":
        return memory(), rest.strip("/")
    wild = _WILD.search(rest)
    fixed = rest[: wild.start()] if wild else rest.rstrip("/")
    base = fixed.rpartition("/")[0] or fixed
    store: Any = from_url(f"{scheme}://{base}")
    return store, rest.rstrip("/")[len(base) :].lstrip("/")


def _listed(obstore: Any, store: Any, path: str) -> list[str]:
    from obstore.exceptions import NotFoundError

    if path and not _WILD.search(path):
        try:
            obstore.head(store, path)
        except (NotFoundError, FileNotFoundError):
            pass
        else:
            return [path]
    wild = _WILD.search(path)
    prefix = path[: wild.start()].rpartition("/")[0] if wild else path
    found = [item["path"] for batch in obstore.list(store, prefix or None) for item in batch]
    if wild:
        return sorted(name for name in found if fnmatch.fnmatchcase(name, path))
    inner = (name[len(prefix) :].lstrip("/") for name in found)
    return sorted(
        name for name, tail in zip(found, inner, strict=True) if _is_table(tuple(tail.split("/")))
    )


def _unpacked(name: str, data: bytes, limit: int) -> bytes:
    """Return bytes unpacked by what they begin with; at most ``limit`` + 1 of them are made."""
    import pyarrow as pa

    kinds = {
        b"\x1f\x8b": "gzip",
        b"\x28\xb5\x2f\xfd": "zstd",
        b"BZh": "bz2",
        b"\xfd7zXZ": "xz",
    }
    kind = next((kind for magic, kind in kinds.items() if data.startswith(magic)), None)
    if kind is None:
        return data
    try:
        if kind == "xz":
            import lzma

            return lzma.open(io.BytesIO(data)).read(limit + 1)
        with pa.CompressedInputStream(pa.BufferReader(data), kind) as stream:
            plain: bytes = stream.read(limit + 1)
            return plain
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{name} is packed with {kind} but cannot be unpacked: {error}. Write it again."
        ) from error
