"""Checkpoints: what a trial hands on, as bytes.

A checkpoint is any object that can be pickled, or a folder, whose files are read at once. Bytes
are a snapshot: what is trained on afterwards does not change them. They come from this search's
own workers and stay in its memory; none is read from a file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder's files: relative path to content."""

    files: dict[str, bytes]


def pack(checkpoint: Any) -> bytes:
    """Return a checkpoint as bytes.

    Parameters
    ----------
    checkpoint : object or path of a folder
        A text that names no folder is an object like any other.

    Raises
    ------
    TypeError
        When it cannot be pickled.
    ValueError
        When it is a path that leads to no folder.
    """
    held: Any = checkpoint
    if isinstance(checkpoint, os.PathLike) or (
        isinstance(checkpoint, str) and os.path.isdir(checkpoint)
    ):
        held = _read(Path(checkpoint))
    try:
        data: bytes = cloudpickle.dumps(held)
    except Exception as error:
        raise TypeError(
            f"a checkpoint must be an object that can be pickled, or a folder, but "
            f"{type(checkpoint).__name__} cannot be: {error}. Save what can, into a folder, and "
            "report its path."
        ) from error
    return data


def _read(folder: Path) -> Folder:
    if not folder.is_dir():
        raise ValueError(
            f"a checkpoint's path must lead to a folder, but {folder} is none. "
            "Write the files into a folder and report its path."
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return Folder({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def unpack(data: bytes, folder: Path | None = None) -> Any:
    """Return the object that `pack` was given, or ``folder`` with the same files written into it.

    ``folder`` is made where it is needed; without one, a folder's checkpoint stays a `Folder`.
    """
    held = cloudpickle.loads(data)
    if folder is None or not isinstance(held, Folder):
        return held
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in held.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
