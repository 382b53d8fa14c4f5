"""A table made ready for the checks that look for leakage: tensors, target, a sample of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import NO_TIME, Column, Schema, Tensors
from raymm.features.columns import encode_target, tensor

ROWS = 20_000
"""The most rows that are looked at where a sample will do."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the checks look at.

    Attributes
    ----------
    tensors : mapping of feature name to array, shape (n,)
        As `Tensors`; features that the table lacks are left out.
    y, known : arrays, shape (n,)
        As `raymm.features.columns.encode_target` returns them.
    """

    frame: pd.DataFrame
    schema: Schema
    tensors: Tensors
    y: npt.NDArray[Any]
    known: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema, tensors: Tensors | None = None) -> Evidence:
        """Return the evidence of a table that holds its target, read anew or from tensors."""
        if tensors is None:
            present = [one for one in schema.features if one.name in frame.columns]
            tensors = {one.name: tensor(frame[one.name], one) for one in present}
        y, known = encode_target(frame, schema)
        return cls(frame=frame, schema=schema, tensors=tensors, y=y, known=known)

    @property
    def features(self) -> list[Column]:
        """The features that the table holds."""
        return [column for column in self.schema.features if column.name in self.tensors]

    @property
    def classes(self) -> int:
        """Classes of the target, 0 for regression."""
        return len(self.schema.classes)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Rows with a target, sorted; 20,000 of them drawn with a fixed seed where there are more.

        Drawn, as rows at even distances meet only some hours of a clock, or one row of each pair.
        """
        rows = np.flatnonzero(self.known)
        if len(rows) > ROWS:
            rows = np.sort(np.random.default_rng(0).choice(rows, ROWS, replace=False))
        return rows.astype(np.int64)

    @cached_property
    def truth(self) -> npt.NDArray[Any]:
        """The target of ``rows``: class codes or values."""
        return self.y[self.rows]

    @cached_property
    def ranked(self) -> npt.NDArray[Any]:
        """The target of ``rows``: class codes or ranks, which no outlier rules."""
        return self.truth if self.classes else ranks(self.truth)

    def sampled(self, column: Column) -> npt.NDArray[Any]:
        """Return a feature's tensor at ``rows``."""
        return self.tensors[column.name][self.rows]


def there(values: npt.NDArray[Any], column: Column) -> npt.NDArray[np.bool_]:
    """Return which values of a tensor are not missing."""
    if column.kind == "datetime":
        return np.asarray(values != NO_TIME)
    return np.asarray(values != "" if column.kind in ("category", "text") else ~np.isnan(values))


def ranks(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the ranks of values from 1, equal ones sharing their mean rank."""
    return np.asarray(pd.Series(values).rank().to_numpy(dtype=np.float64))
