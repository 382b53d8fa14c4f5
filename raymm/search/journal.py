"""Where a ledger's lines lie: a local file, or create-only objects in a bucket."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from raymm.errors import RegistryError, SearchError

_MEMORY: dict[str, Any] = {}


BLOCK = 65536
"""Bytes that are looked at together for the last whole line."""


class Journal(ABC):
    """An append-only sequence of lines, of which eight bytes each are kept in memory."""

    def __init__(self) -> None:
        self._ends = array("Q")

    @abstractmethod
    def lines(self) -> Iterator[tuple[bytes, str]]:
        """Return each line and where it stands, in order."""

    @abstractmethod
    def _reading(self) -> contextlib.AbstractContextManager[int]:
        """Open the local file that holds every line seen so far, one behind the other."""

    def again(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Return lines that `lines` gave or `append` took, by their numbers.

        Raises
        ------
        RegistryError
            When somebody else has changed the file meanwhile.
        """
        with self._reading() as handle:
            for number in numbers:
                start = self._ends[number - 1] if number else 0
                line = os.pread(handle, self._ends[number] - start, start)
                if len(line) != self._ends[number] - start or not line.endswith(b"\n"):
                    raise RegistryError(
                        f"Record {number} of a ledger in use was changed by another program. "
                        "Restore the ledger from a copy."
                    )
                yield line

    def _passed(self, line: bytes) -> None:
        self._ends.append((self._ends[-1] if self._ends else 0) + len(line))

    @abstractmethod
    def append(self, line: bytes, number: int, *, durable: bool = True) -> None:
        """Write a line (ending in a newline) as the given number.

        On return it outlives this process; a ``durable`` one, and all before it, any loss of
        power too.
        """

    def close(self) -> None:  # noqa: B027 - not every place holds something open
        """Let go of what is held open."""


class LocalJournal(Journal):
    """One file, locked by its one writer."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        super().__init__()
        self._path = path
        self._file = self._lock = -1
        try:
            if writable:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = _lock(path.with_name("lock"))
                fresh = not path.exists()
                self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
                if fresh:
                    _sync_folders(path.parent, 3)
            self._size, torn = _whole(path)
            if writable and torn:
                os.ftruncate(self._file, self._size)
                os.fsync(self._file)
        except OSError as error:
            self.close()
            raise _refused(path, error) from error
        except BaseException:
            self.close()
            raise

    def lines(self) -> Iterator[tuple[bytes, str]]:
        """Return each line that was whole when the file was opened, and where it stands."""
        self._ends = array("Q")
        with self._path.open("rb") as file:
            left = self._size
            while left > 0 and (line := file.readline(left)):
                left -= len(line)
                self._passed(line)
                yield line, f"{self._path}, line {len(self._ends)},"

    @contextlib.contextmanager
    def _reading(self) -> Iterator[int]:
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except OSError as error:
            raise _refused(self._path, error) from error
        try:
            yield handle
        finally:
            os.close(handle)

    def append(self, line: bytes, number: int, *, durable: bool = True) -> None:
        """Write the line at the end; after a failure the file is as it was."""
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(self._file)
        except OSError as error:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                # A torn line has no newline and is cut off when the file is opened next; going
                # on behind it would damage the file.
                self.close()
            raise _refused(self._path, error) from error
        self._size += len(line)
        self._passed(line)

    def close(self) -> None:
        """Close the file and let go of the lock."""
        for handle in (self._file, self._lock):
            if handle >= 0:
                os.close(handle)
        self._file = self._lock = -1


class RemoteJournal(Journal):
    """One object a line, ``PREFIX/000000000000`` and on, each created once.

    What was read or written lies in a nameless temporary file too, so that it is fetched once.
    """

    def __init__(self, storage: str, prefix: str) -> None:
        super().__init__()
        self._store, self._prefix, self._place = _store(storage), prefix, f"{storage}/{prefix}"
        self._copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the journal

    def lines(self) -> Iterator[tuple[bytes, str]]:
        """Return each object's content and its address."""
        import obstore

        try:
            batches = obstore.list(self._store, prefix=self._prefix)
            paths = sorted(str(item["path"]) for batch in batches for item in batch)
            with ThreadPoolExecutor(max_workers=32) as pool:
                contents = list(pool.map(self._get, paths))
        except Exception as error:
            raise RegistryError(f"{self._place} cannot be read: {error}") from error
        self._ends = array("Q")
        os.ftruncate(self._copy.fileno(), 0)
        os.lseek(self._copy.fileno(), 0, os.SEEK_SET)
        for content, path in zip(contents, paths, strict=True):
            self._note(content)
            yield content, path

    def _note(self, line: bytes) -> None:
        os.write(self._copy.fileno(), line)
        self._passed(line)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[int]:
        yield self._copy.fileno()

    def _get(self, path: str) -> bytes:
        import obstore

        return bytes(obstore.get(self._store, path).bytes())

    def append(self, line: bytes, number: int, *, durable: bool = True) -> None:
        """Create the object of that number, which is always durable."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        path = f"{self._prefix}/{number:012d}"
        try:
            obstore.put(self._store, path, line, mode="create")
        except AlreadyExistsError as error:
            # A store may repeat a request whose answer was lost: then what stands there is ours.
            if not self._stands(path, line):
                raise SearchError(
                    f"Another process writes to {self._place}: record {number} is there already. "
                    "Let it end, then run the command again to go on from there."
                ) from error
        except Exception as error:
            raise RegistryError(f"{self._place} cannot be written: {error}") from error
        self._note(line)

    def _stands(self, path: str, line: bytes) -> bool:
        try:
            return self._get(path) == line
        except Exception as error:
            raise RegistryError(f"{self._place} cannot be read: {error}") from error


def _whole(path: Path) -> tuple[int, bool]:
    """Return the size of a file up to its last newline, and whether anything stands behind it."""
    with path.open("rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1, start + found + 1 < size
            end = start
    return 0, size > 0


def is_remote(storage: str) -> bool:
    """Return whether a storage is a URL of a bucket rather than a local folder.

    ``file://FOLDER`` is local: the library for buckets calls no fsync there.
    """
    return "://" in storage and not storage.startswith("file://")


def folder_of(storage: str) -> Path:
    """Return the folder of a local storage, given as a path or as ``file://FOLDER``.

    >>> folder_of("file:///var/my%20runs")
    PosixPath('/var/my runs')
    """
    if storage.startswith("file://"):
        return Path(unquote(urlsplit(storage).path))
    return Path(storage).expanduser()


def remote_runs(storage: str) -> Sequence[str]:
    """Return the names of the runs in a bucket, sorted."""
    import obstore

    try:
        found = obstore.list_with_delimiter(_store(storage), prefix="runs")["common_prefixes"]
    except Exception as error:
        raise RegistryError(f"{storage} cannot be read: {error}") from error
    return sorted(str(prefix).rstrip("/").rsplit("/", 1)[-1] for prefix in found)


def _store(storage: str) -> Any:
    from obstore.store import from_url

    try:
        if storage.startswith("memory://"):
            # Each memory store is empty when made; one a URL lets a process find its own again.
            return _MEMORY.setdefault(storage, from_url("memory:///"))
        return from_url(storage)
    except Exception as error:
        raise RegistryError(f"{storage} cannot be used as storage: {error}") from error


def _lock(path: Path) -> int:
    import fcntl

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise SearchError(
            f"The run in {path.parent} is being worked on by process {holder}. "
            "Wait for it or end it, then run the command again to go on from there."
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _sync_folders(folder: Path, levels: int) -> None:
    for place in (folder, *folder.parents)[:levels]:
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refused(path: Path, error: OSError) -> RegistryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RegistryError(
            f"The disk that holds {path} is full. Everything before is safe: free some space, "
            "then run the command again to go on from there."
        )
    return RegistryError(f"{path} cannot be used: {error.strerror or error}")
