"""Finds the files that a source names and reads their bytes, unpacked.

Local paths are read directly; every other store is reached through one library, obstore.
"""

from __future__ import annotations

import fnmatch
import glob
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from raymm.data.compressed import PIECE, TABLES, Unpacked, kind_of, too_large
from raymm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from obstore.store import MemoryStore

_WILD = re.compile(r"[*?\[]")
_REMEDY = "Give a CSV or Parquet file, a folder or glob of them, or a URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A file that a source names.

    Attributes
    ----------
    size : int
        Its bytes as they are stored, perhaps packed.
    path : Path or None
        Where it lies; None where ``fetch`` brings its bytes from a store.
    peek : function of int or None
        Brings that many bytes of its beginning from the store.
    """

    name: str
    size: int
    path: Path | None = None
    fetch: Callable[[], bytes] | None = None
    peek: Callable[[int], bytes] | None = None

    def stored(self) -> pa.NativeFile:
        """Return the bytes as they are stored, as a file at its beginning."""
        import pyarrow as pa

        if self.path is not None:
            try:
                return pa.OSFile(str(self.path), "rb")
            except OSError as error:
                raise DataError(
                    f"{self.name} cannot be read: {error}. Check its permissions."
                ) from error
        return pa.BufferReader(self.fetch() if self.fetch else b"")

    @property
    def packed(self) -> str:
        """How it is packed, or an empty string."""
        return kind_of(self._first(8))

    def head(self, count: int) -> bytes:
        """Return the first ``count`` bytes of its content, unpacked, or as many as there are."""
        first = self._first(max(8, count))
        return self.read(count)[:count] if kind_of(first) else first[:count]

    def _first(self, count: int) -> bytes:
        if self.peek is not None:
            return self.peek(min(count, self.size))
        with self.stored() as file:
            return bytes(file.read(count))

    def open(self, limit: int) -> pa.NativeFile:
        """Return its content, unpacked, as a stream of at most ``limit`` bytes.

        Raises
        ------
        DataError
            Also on reading: see `Unpacked`.
        """
        import pyarrow as pa

        file = self.stored()
        kind = kind_of(file.read(8))
        file.seek(0)
        if not kind:
            return file
        unpacked = Unpacked(file, kind, self.size, limit, self.name)
        return pa.PythonFile(io.BufferedReader(unpacked, PIECE), "r")

    def read(self, limit: int) -> bytes:
        """Return its content, unpacked, or its first ``limit`` + 1 bytes where it holds more.

        Raises
        ------
        DataError
            When it cannot be read or unpacked.
        """
        parts: list[bytes] = []
        left = limit + 1
        with self.open(max(left, 2**62)) as stream:
            while left > 0:
                part = stream.read(min(PIECE, left))
                if not part:
                    break
                parts.append(part)
                left -= len(part)
        return b"".join(parts)


@lru_cache(maxsize=1)
def memory() -> MemoryStore:
    """Return this process's store behind ``memory://`` URLs."""
    from obstore.store import MemoryStore

    return MemoryStore()


def files(source: str, limit_bytes: int) -> list[Named]:
    """Return the files of a source in the order of their names.

    Raises
    ------
    DataError
        When there are none, one is empty, or they hold more than ``limit_bytes`` as stored.
    """
    if not source.strip():
        raise DataError(f"data.source is empty. {_REMEDY}")
    here = _here(source)
    found = _remote(source) if here is None else _local(here)
    if sum(file.size for file in found) > limit_bytes:
        raise too_large(source, limit_bytes)
    for file in found:
        if not file.size:
            raise DataError(f"{file.name} is empty. Give a file with a header and rows.")
    return found


def local(source: str) -> list[Path]:
    """Return the files on this machine that a source names; none where it is wrong or elsewhere."""
    try:
        here = _here(source)
        return [file.path for file in _local(here) if file.path] if here else []
    except (DataError, ValueError):
        return []


def _here(source: str) -> str | None:
    """Return a source as a path on this machine; None where it is a URL of another place."""
    if not re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        return source
    return unquote(urlsplit(source).path) if source.lower().startswith("file://") else None


def require_local(source: str) -> None:
    """Check that a source that is a path here is there; a URL is not looked at.

    Raises
    ------
    DataError
        When there is no such file or folder, or none that is a table.
    """
    if not re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
        _local(source)


def _local(source: str) -> list[Named]:
    try:
        path = Path(source).expanduser()
        return [
            Named(name=str(inner), size=inner.stat().st_size, path=inner)
            for inner in _paths(path, source)
        ]
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error}. Check its permissions.") from error
    except (ValueError, RuntimeError) as error:  # a NUL byte, or no such user's home
        raise DataError(f"{source!r} is no path: {error}. {_REMEDY}") from error


def _paths(path: Path, source: str) -> list[Path]:
    if path.is_dir():
        paths = sorted(
            inner
            for inner in path.rglob("*")
            if inner.is_file() and _is_table(inner.relative_to(path).parts)
        )
        if not paths:
            raise DataError(f"The folder {source} holds no CSV or Parquet file. {_REMEDY}")
        return paths
    if path.is_file():
        return [path]
    if path.exists():
        raise DataError(f"{source} is neither a file nor a folder. {_REMEDY}")
    if not _WILD.search(source):
        start = "" if path.is_absolute() else f"; it starts at {Path.cwd()}"
        raise DataError(f"{source} does not exist. Check the path{start}.")
    paths = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    paths = [inner for inner in paths if inner.is_file()]
    if not paths:
        raise DataError(f"No file matches {source}. {_REMEDY}")
    return paths


def _is_table(parts: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and bool(TABLES.search(parts[-1]))


def _remote(source: str) -> list[Named]:
    import obstore
    from obstore.exceptions import BaseError

    try:
        store, path = _store(source)
        names = _listed(obstore, store, path)
        if not names:
            raise DataError(f"{source} holds no CSV or Parquet file, or is not there. {_REMEDY}")
        held: dict[str, bytes] = {}
        fetches = {name: _fetcher(source, store, name, held) for name in names}
        return [
            Named(
                name=name,
                size=int(obstore.head(store, name)["size"]),
                fetch=fetch,
                peek=_peeker(fetch, store, name),
            )
            for name, fetch in fetches.items()
        ]
    except (BaseError, OSError, ValueError) as error:
        raise _unreached(source, error) from error


def _fetcher(source: str, store: Any, name: str, held: dict[str, bytes]) -> Callable[[], bytes]:
    """Return what fetches a file; ``held`` keeps the last one of a source, and no other."""

    def fetch() -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        if name not in held:
            held.clear()
            try:
                held[name] = bytes(obstore.get(store, name).bytes())
            except (BaseError, OSError, ValueError) as error:
                raise _unreached(source, error) from error
        return held[name]

    return fetch


def _peeker(fetch: Callable[[], bytes], store: Any, name: str) -> Callable[[int], bytes]:
    def peek(count: int) -> bytes:
        import obstore
        from obstore.exceptions import BaseError

        try:
            return bytes(obstore.get_range(store, name, start=0, end=count))
        except (BaseError, OSError, ValueError):  # some web servers know no ranges
            return fetch()[:count]

    return peek


def _unreached(source: str, error: Exception) -> DataError:
    first = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(
        f"{source} cannot be read: {first[0]}. Check the address and the credentials in the "
        "environment."
    )


def _store(source: str) -> tuple[Any, str]:
    """Return the store of a URL and the path within it, which may be a glob."""
    from obstore.store import from_url

    scheme, _, rest = source.partition("://")
    if scheme.lower() == "memory":
        return memory(), rest.strip("/")
    wild = _WILD.search(rest)
    fixed = rest[: wild.start()] if wild else rest.rstrip("/")
    base = fixed.rpartition("/")[0] or fixed
    plain: Any = {"client_options": {"allow_http": True}} if scheme.lower() == "http" else {}
    store: Any = from_url(f"{scheme}://{base}", **plain)
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
