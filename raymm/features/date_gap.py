"""The days from one date to another, where a table has a few columns of dates.

A tree compares one column at a time with a constant, so how long a delivery took is hidden from
it in the dates of order and delivery; their difference shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Column, Tensors
from raymm.features.datetime_parts import days, days_onnx, held, held_onnx
from raymm.features.transform import Transform
from raymm.onnx_builder import GraphBuilder

MOST = 6
"""Date columns up to which every pair has its difference: 15 pairs."""


def date_pairs(columns: Sequence[Column]) -> tuple[tuple[Column, Column], ...]:
    """Return every pair of 2 to `MOST` date columns in the order given; else none."""
    dates = [column for column in columns if column.kind == "datetime"]
    return tuple(combinations(dates, 2)) if len(dates) <= MOST else ()


class DateGap(Transform):
    """The second date minus the first in days, missing where either is, taken as a number.

    Seconds are subtracted as int64, after they are held to the years 1 to 9999, so that nothing
    is lost or runs over; float32 comes last.

    Parameters
    ----------
    first, second : Column
        Of kind "datetime". `column`, which the features count for, is the first.
    number : type of Transform
        What the encoding takes numbers by; it is given the days.
    """

    def __init__(self, first: Column, second: Column, number: type[Transform]) -> None:
        super().__init__(first)
        self.second = second
        self.number = number(Column(name=f"{first.name} to {second.name} days", kind="number"))

    @property
    def sources(self) -> tuple[str, ...]:
        """Both columns."""
        return (self.column.name, self.second.name)

    def take(self, tensors: Tensors) -> npt.NDArray[np.float32]:
        """Return the days, shape (n,), NaN where a date is missing."""
        start, end = tensors[self.column.name], tensors[self.second.name]
        span = days(held(end) - held(start))
        span[(start == NO_TIME) | (end == NO_TIME)] = np.nan
        return span

    def take_onnx(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Add the subtraction."""
        start, end = inputs[self.column.name], inputs[self.second.name]
        whole = builder.node("Sub", [held_onnx(builder, end), held_onnx(builder, start)])
        absent = builder.constant(NO_TIME, np.int64)
        gaps = [builder.node("Equal", [side, absent]) for side in (start, end)]
        missing = builder.node("Or", gaps)
        return builder.node("Where", [missing, builder.constant(np.nan), days_onnx(builder, whole)])

    def varies(self, tensors: Tensors) -> bool:
        """Return whether rows that have both dates differ in the days between them."""
        span = self.take(tensors)
        seen = span[~np.isnan(span)]
        return bool(seen.size and np.ptp(seen) > 0)

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn from days what a number's transform learns."""
        self.number.fit(values, y)
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return what is made of days, shape (n, k)."""
        return self.number.transform(values)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the number's nodes; ``tensor`` names the days that `take_onnx` made."""
        return self.number.to_onnx(builder, tensor)

    @property
    def names(self) -> tuple[str, ...]:
        """``first to second days``, and what the number's transform adds to it."""
        return self.number.names
