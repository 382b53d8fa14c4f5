"""Arrays as text, for states that are JSON: base64 of little-endian bytes."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt


def to_text(values: npt.NDArray[Any]) -> str:
    """Return an array's bytes as base64; its shape is not kept.

    >>> from_text(to_text(np.array([1.5, -2.0])), np.float64).tolist()
    [1.5, -2.0]
    """
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(np.ascontiguousarray(little).tobytes()).decode("ascii")


def from_text(text: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the array, shape (n,); raises ValueError where the text is not one of ``dtype``."""
    kind = np.dtype(dtype)
    return np.frombuffer(base64.b64decode(text, validate=True), kind.newbyteorder("<")).astype(kind)
