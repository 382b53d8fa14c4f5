"""Create-only storage on a local folder, in memory, or on S3, GCS or Azure.

A file is created once, whole, and never changed: a reader sees all of it or nothing. Blobs are
named by their SHA-256 and checked against it at every load.

Object stores are reached through obstore, whose ``mode="create"`` is atomic; on local disk it calls
no fsync, so files are written here: a staging file, fsync, a hard link to the name (which fails
where that exists), fsync of the folder. `raymm.registry.fsck` removes what a killed writer left.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from raymm.config import NAME_PATTERN
from raymm.errors import ConfigError, Conflict, NotFound, RegistryError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_STAGING = ".staging"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_SCHEMES = ("file", "memory", "s3", "gs", "az")


def check_name(name: str) -> str:
    """Return ``name`` if it may name a model and so stand in a path.

    Raises
    ------
    ConfigError
        When it does not match `raymm.config.NAME_PATTERN`.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        raise ConfigError(
            "A model's name must be 1 to 63 lower-case letters, digits, dots, dashes or "
            f"underscores, the first a letter or digit, but got {str(name)[:80]!r}."
            + (" A model is asked for here, not a version." if "@" in str(name) else "")
        )
    return name


_LIMIT = "{} must have at most {} bytes, but has {}."


class TooLong(RegistryError):
    """A file has more bytes than are to be read."""


def blob_path(sha256: str) -> str:
    """Return where a blob lies; raises RegistryError when ``sha256`` is not 64 hex digits."""
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise RegistryError(f"A blob is named by 64 hex digits, but got {str(sha256)[:80]!r}.")
    return f"blobs/{sha256[:2]}/{sha256}"


class _Backend(Protocol):
    def create(self, path: str, data: bytes) -> None: ...
    def replace(self, path: str, data: bytes) -> None: ...
    def read(self, path: str, limit: int | None) -> bytes: ...
    def list(self, prefix: str) -> tuple[str, ...]: ...
    def strays(self) -> tuple[str, ...]: ...
    def remove_stray(self, path: str) -> None: ...


class Store:
    """Files that are created once and blobs named by their hash.

    Parameters
    ----------
    uri : str
        A folder, ``file://FOLDER``, ``memory://NAME`` (one store a process and a name),
        ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX`` or ``az://CONTAINER/PREFIX``. Credentials
        come from the environment, as the cloud's own tools take them.

    Raises
    ------
    ConfigError
        When the scheme is not one of these.
    RegistryError
        From every method, when storage refuses, is full or is damaged.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        scheme, _, rest = uri.partition("://")
        self._backend: _Backend
        if not _:
            self._backend = _Local(Path(uri).expanduser())
        elif scheme == "file":
            self._backend = _Local(Path(unquote(urlsplit(uri).path)))
        elif scheme == "memory":
            self._backend = _Objects(_memory(rest), uri)
        elif scheme in _SCHEMES:
            self._backend = _Objects(_cloud(uri), uri)
        else:
            known = ", ".join(f"{name}://" for name in _SCHEMES)
            raise ConfigError(f'storage must be a folder or one of {known}, but got "{uri}".')

    def create(self, path: str, data: bytes) -> None:
        """Create a file, whole or not at all; raises Conflict when it exists."""
        self._backend.create(_checked(path), data)

    def replace(self, path: str, data: bytes) -> None:
        """Write a file that is no record, whole or not at all."""
        self._backend.replace(_checked(path), data)

    def read(self, path: str, *, limit: int | None = None) -> bytes:
        """Return a file's content.

        Raises
        ------
        NotFound, TooLong
            When there is none, or it has more than ``limit`` bytes.
        """
        return self._backend.read(_checked(path), limit)

    def list(self, prefix: str) -> tuple[str, ...]:
        """Return the paths of all files under the folder ``prefix``, sorted."""
        return tuple(sorted(self._backend.list(_checked(prefix))))

    def put_blob(self, data: bytes) -> str:
        """Store a blob and return its SHA-256; one that is there is left, unless it is damaged."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = blob_path(sha256)
        try:
            self._backend.create(path, data)
        except Conflict:
            if hashlib.sha256(self._backend.read(path, None)).hexdigest() != sha256:
                self._backend.replace(path, data)
        return sha256

    def get_blob(self, sha256: str, *, limit: int | None = None) -> bytes:
        """Return a blob after checking its content against its name.

        Parameters
        ----------
        limit : int, optional
            The most bytes to read.

        Raises
        ------
        NotFound
            When there is no such blob.
        RegistryError
            When its content does not hash to its name, or is over the limit.
        """
        data = self._backend.read(blob_path(sha256), limit)
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise RegistryError(
                f"Blob {sha256} in {self.uri} is damaged: its content hashes to {found}. "
                "Restore it from a backup, or register the model again."
            )
        return data

    def strays(self) -> tuple[str, ...]:
        """Return staging files that a killed writer left; those of living writers are not told."""
        return tuple(sorted(self._backend.strays()))

    def remove_stray(self, path: str) -> None:
        """Remove one of `strays`; one that is gone already is no error."""
        self._backend.remove_stray(path)


def _checked(path: str) -> str:
    if not all(_SEGMENT.fullmatch(part) for part in path.split("/")):
        raise RegistryError(f"A path must be made of plain names, but got {path[:200]!r}.")
    return path


@contextlib.contextmanager
def _told(action: str, place: object) -> Iterator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise RegistryError(
                f"The disk of {place} is full ({error.strerror}), so raymm could not {action}. "
                "Free some space, or set another storage."
            ) from error
        raise RegistryError(f"raymm could not {action} in {place}: {error}.") from error


class _Local:
    """A folder on local disk, durable before `create` returns."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def create(self, path: str, data: bytes) -> None:
        self._write(path, data, new=True)

    def replace(self, path: str, data: bytes) -> None:
        self._write(path, data, new=False)

    def _write(self, path: str, data: bytes, *, new: bool) -> None:
        target = self.root / path
        with _told(f"create {path}", self.root):
            _folder(self.root / _STAGING)
            _folder(target.parent)
            stage = self.root / _STAGING / f"{_host()}.{os.getpid()}.{uuid.uuid4().hex}"
            try:
                _write_synced(stage, data)
                if new:
                    _link(stage, target)
                else:
                    os.replace(stage, target)
                _sync_folder(target.parent)
            finally:
                with contextlib.suppress(OSError):
                    stage.unlink(missing_ok=True)

    def read(self, path: str, limit: int | None) -> bytes:
        with _told(f"read {path}", self.root):
            try:
                with (self.root / path).open("rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    if limit is not None and size > limit:
                        raise TooLong(_LIMIT.format(path, limit, size))
                    return file.read()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise NotFound(f"There is no {path} in {self.root}.") from error

    def list(self, prefix: str) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        with _told(f"list {prefix}", self.root):
            for folder, _, names in os.walk(self.root / prefix):
                place = Path(folder).relative_to(self.root).as_posix()
                found += tuple(f"{place}/{name}" for name in names)
        return found

    def strays(self) -> tuple[str, ...]:
        folder = self.root / _STAGING
        with _told("list staging files", self.root):
            names = os.listdir(folder) if folder.is_dir() else []
        return tuple(f"{_STAGING}/{name}" for name in names if not self._alive(name))

    def _alive(self, name: str) -> bool:
        """Whether the writer of a staging file may still run; one elsewhere has an hour."""
        host, _, rest = name.partition(".")
        pid = rest.partition(".")[0]
        if host != _host() or not pid.isdigit():
            with contextlib.suppress(OSError):
                return (self.root / _STAGING / name).stat().st_mtime > time.time() - 3600
            return False
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True

    def remove_stray(self, path: str) -> None:
        with _told(f"remove {path}", self.root):
            (self.root / _STAGING / Path(path).name).unlink(missing_ok=True)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60] or "host"


def _folder(folder: Path) -> None:
    """Make a folder and its parents, private, each name durable in its parent."""
    if folder.is_dir():
        return
    _folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _sync_folder(folder.parent)


def _write_synced(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(stage: Path, target: Path) -> None:
    try:
        os.link(stage, target)
    except FileExistsError as error:
        raise Conflict(f"{target} exists already.") from error
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise RegistryError(
                f"The file system of {target.parent} has no hard links ({error.strerror}), which "
                "raymm needs to create a file at once. Set a storage on another file system."
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


# ------------------------------------------------------------------------------ object stores

_memories: dict[str, Any] = {}
_memories_lock = threading.Lock()


def _memory(name: str) -> Any:
    from obstore.store import MemoryStore

    with _memories_lock:
        return _memories.setdefault(name, MemoryStore())


def _cloud(uri: str) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    try:
        return from_url(uri)
    except (BaseError, ValueError) as error:
        raise ConfigError(f'storage "{uri}" cannot be opened: {_first_line(error)}.') from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0].rstrip(".")


class _Objects:
    """A bucket, or memory; an object store makes each object durable and whole by itself."""

    def __init__(self, bucket: Any, uri: str) -> None:
        self._bucket = bucket
        self._uri = uri

    @contextlib.contextmanager
    def _told(self, action: str) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise Conflict(f"raymm could not {action} in {self._uri}: it exists.") from error
        except FileNotFoundError as error:
            raise NotFound(f"raymm could not {action} in {self._uri}: not found.") from error
        except (BaseError, OSError) as error:
            raise RegistryError(
                f"raymm could not {action} in {self._uri}: {_first_line(error)}. "
                "Check the address, the credentials and the network."
            ) from error

    def create(self, path: str, data: bytes) -> None:
        import obstore

        with self._told(f"create {path}"):
            # Conditional creation needs one request: a multipart upload would not be atomic.
            obstore.put(self._bucket, path, data, mode="create", use_multipart=False)

    def replace(self, path: str, data: bytes) -> None:
        import obstore

        with self._told(f"replace {path}"):
            obstore.put(self._bucket, path, data, mode="overwrite")

    def read(self, path: str, limit: int | None) -> bytes:
        import obstore

        with self._told(f"read {path}"):
            found = obstore.get(self._bucket, path)
            if limit is not None and found.meta["size"] > limit:
                raise TooLong(_LIMIT.format(path, limit, found.meta["size"]))
            return bytes(found.bytes())

    def list(self, prefix: str) -> tuple[str, ...]:
        import obstore

        with self._told(f"list {prefix}"):
            pages = obstore.list(self._bucket, prefix)
            return tuple(item["path"] for page in pages for item in page)

    def strays(self) -> tuple[str, ...]:
        return ()

    def remove_stray(self, path: str) -> None:
        raise NotFound(f"There is no staging file {path} in {self._uri}.")
