"""Words and array types that every stage shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Task = Literal["binary", "multiclass", "regression"]
Kind = Literal["number", "boolean", "category", "datetime", "text"]
Role = Literal["feature", "target", "time", "group", "ignored"]
Direction = Literal["maximize", "minimize"]
Encoding = Literal["ordinal", "dense", "compact"]
Operation = Literal["sum", "difference", "product", "ratio"]
Scalar = str | int | float | bool | None
Config = Mapping[str, Scalar]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Tensors = Mapping[str, npt.NDArray[Any]]
"""Raw columns as the graph takes them, one array of shape (n,) a feature column: float32 for
numbers (missing NaN) and booleans (0, 1, NaN), int64 seconds since 1970 UTC for dates (missing
`NO_TIME`), object arrays of str for categories and text (missing the empty string)."""

NO_TIME = int(np.iinfo(np.int64).min)
"""The int64 that stands for a missing date in tensors and in the graph."""
