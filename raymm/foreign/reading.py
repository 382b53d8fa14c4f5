"""Finds the reader that a model file needs."""

from __future__ import annotations

from pathlib import Path

from raymm.errors import BundleError, ConfigError
from raymm.foreign import boosters, graphs
from raymm.foreign.model import Foreign

LARGEST = 1 << 30
"""Bytes of a model file at most."""


def read(path: str) -> Foreign:
    """Read a model file: LightGBM's text, XGBoost's JSON or UBJSON, or ONNX.

    The libraries' own readers are used, which are not meant for files of strangers.

    Raises
    ------
    ConfigError
        When there is no such file, or its name or beginning is that of none of these.
    BundleError
        When it cannot be read, or holds what raymm cannot take over.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(64)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Name a model file.") from error
    if size > LARGEST:
        raise BundleError(f"{path} must have at most {LARGEST:,} bytes, but has {size:,}.")
    suffix = file.suffix.lower()
    if suffix == ".onnx":
        return graphs.Graph(file)
    if head.startswith(b"tree\n") or head.startswith(b"tree\r\n"):
        return boosters.LightGBMFile(file)
    if suffix in (".json", ".ubj") and head[:1] == b"{":
        return boosters.XGBoostFile(file)
    raise ConfigError(
        f"{path} must be LightGBM's text (save_model), XGBoost's .json or .ubj (save_model) or an "
        ".onnx graph, but is none of them. Save the model in one of these forms."
    )
