"""Bundles that lie in files of their own, in no registry."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path

from raymm.bundle.packed import LARGEST_GRAPH, LARGEST_MANIFEST, LARGEST_RECORDS, Bundle
from raymm.config import NAME_PATTERN
from raymm.errors import BundleError, ConfigError, NotFound

SUFFIX = ".raymm"
MODELS = (".txt", ".json", ".ubj", ".onnx")
"""How files of models end that other libraries wrote, of which `raymm compress` makes bundles."""
LARGEST_FILE = LARGEST_GRAPH + LARGEST_RECORDS + 2 * LARGEST_MANIFEST
"""Bytes that a bundle file can have: its parts are never larger packed than they are unpacked."""


def path_of(name: str | Path) -> Path | None:
    """Return the file that ``name`` means, which need not exist; None where it names a model.

    A Path is a file. A string is one where it ends in .raymm and either such a file exists or no
    model could be called so, as with a folder before it.
    """
    path = _expanded(name)
    if not isinstance(name, str):
        return path
    if path.suffix.lower() != SUFFIX:
        return None
    if os.path.basename(name) != name or not re.fullmatch(NAME_PATTERN.strip("^$"), name):
        return path
    return path if path.is_file() else None


def other(name: str) -> str:
    """Say why a name is that of a file, but of no bundle, and what helps; "" where it is not.

    It is asked for names that are no model's. One that a model could have means a file where it
    ends as a model file does, or has an ending and exists.
    """
    path, there = _expanded(name), False
    with contextlib.suppress(OSError):  # too long a name
        there = path.is_file()
    if name.lower().endswith(MODELS):
        if not there:
            return f"there is no file {name}, and no model is called so. Check the name."
        return (
            f"{name} is a model file and no bundle. Make one of it: "
            f"raymm compress {shlex.quote(name)} --data TABLE --target COLUMN"
        )
    if there and (path.suffix or path.name != name):
        return (
            f"{name} is a file, but no bundle: those end in {SUFFIX}. Give one, or a model's name."
        )
    return ""


def _expanded(name: str | Path) -> Path:
    """Return a path with the home that it begins with, as it is where no user is called so."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def read(path: Path) -> Bundle:
    """Read a bundle file; its parts are held to the hash in its head before any is parsed.

    Raises
    ------
    NotFound
        When there is no such file.
    ConfigError
        When it cannot be opened.
    BundleError
        As `raymm.bundle.packed.Bundle.from_bytes`, and when it has more bytes than any bundle.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise BundleError(
                f"{path}: a bundle file must have at most {LARGEST_FILE} bytes, but has {size}."
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}. Write one with: raymm compress") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return Bundle.from_bytes(data)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error
