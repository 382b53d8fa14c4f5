"""Dates as calendar parts and elapsed days, by whole-number arithmetic that the graph repeats.

Source of the calendar: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", function
``civil_from_days``. Seconds are held to the years 1 to 9999 and shifted to start on 0000-03-01,
so that nothing is negative and truncating and flooring division agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import NO_TIME, Column
from raymm.features.scaled_number import Scaling
from raymm.features.transform import Transform
from raymm.onnx_builder import FLOAT, INT64, GraphBuilder
from raymm.plugins import transform

_DAY = 86_400
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_SHIFT = 719_468
_DOUBLE = 11
PARTS = ("year", "month", "day", "weekday", "hour", "minute", "elapsed")

Operation = Callable[[str, Any, Any], Any]


def _parts(seconds: Any, do: Operation) -> dict[str, Any]:
    """Take seconds apart; ``do`` carries out "Add", "Sub", "Mul", "Div" and "Mod" on int64.

    The one description of the arithmetic serves arrays and graphs alike. Weekday 0 is Monday.
    """
    shifted = do("Add", seconds, _SHIFT * _DAY)
    days = do("Div", shifted, _DAY)
    rest = do("Mod", shifted, _DAY)
    era = do("Div", days, 146_097)
    doe = do("Mod", days, 146_097)
    leaps = do("Sub", do("Div", doe, 36_524), do("Div", doe, 1_460))
    yoe = do("Div", do("Sub", do("Add", doe, leaps), do("Div", doe, 146_096)), 365)
    before = do("Sub", do("Add", do("Mul", yoe, 365), do("Div", yoe, 4)), do("Div", yoe, 100))
    doy = do("Sub", doe, before)
    moon = do("Div", do("Add", do("Mul", doy, 5), 2), 153)
    day = do("Add", do("Sub", doy, do("Div", do("Add", do("Mul", moon, 153), 2), 5)), 1)
    month = do("Add", do("Mod", do("Add", moon, 2), 12), 1)
    late = do("Div", moon, 10)
    return {
        "year": do("Add", do("Add", yoe, do("Mul", era, 400)), late),
        "month": month,
        "day": day,
        "weekday": do("Mod", do("Add", days, 2), 7),
        "hour": do("Div", rest, 3_600),
        "minute": do("Mod", do("Div", rest, 60), 60),
    }


def _compute(operator: str, left: Any, right: Any) -> Any:
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.floor_divide,
        "Mod": np.mod,
    }
    return functions[operator](left, right)


def split_seconds(
    seconds: npt.NDArray[np.int64], origin: int
) -> dict[str, npt.NDArray[np.float32]]:
    """Return each of `PARTS` for dates in seconds since 1970 UTC, each of shape (n,).

    ``elapsed`` is in days since ``origin``. A missing date is NaN in all of them.

    >>> parts = split_seconds(np.array([951_782_399]), 0)  # 2000-02-28 23:59:59
    >>> [int(parts[name][0]) for name in ("year", "month", "day", "weekday", "hour", "minute")]
    [2000, 2, 28, 0, 23, 59]
    """
    dates = held(seconds)
    parts = {name: part.astype(np.float32) for name, part in _parts(dates, _compute).items()}
    parts["elapsed"] = days(dates - origin)
    missing = seconds == NO_TIME
    for part in parts.values():
        part[missing] = np.nan
    return parts


def held(seconds: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return dates in seconds, shape (n,), held to the years 1 to 9999."""
    return np.clip(np.asarray(seconds, dtype=np.int64), _FIRST, _LAST)


def held_onnx(builder: GraphBuilder, tensor: str) -> str:
    """Add the node that does what `held` does."""
    limits = [builder.constant(limit, np.int64) for limit in (_FIRST, _LAST)]
    return builder.node("Clip", [tensor, *limits])


def days(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return spans of seconds, shape (n,), as days, divided in float64 and then rounded."""
    return (seconds.astype(np.float64) / _DAY).astype(np.float32)


def days_onnx(builder: GraphBuilder, seconds: str) -> str:
    """Add the nodes that do what `days` does, to an int64 tensor."""
    span = builder.node("Cast", [seconds], to=_DOUBLE)
    quotient = builder.node("Div", [span, builder.constant(float(_DAY), np.float64)])
    return builder.node("Cast", [quotient], to=FLOAT)


class _Dates(Transform):
    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.origin = 0
        self.parts: tuple[str, ...] = ()
        self.days = 0

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the origin and which parts differ between training rows."""
        present = values[values != NO_TIME].astype(np.int64)
        # Midnight, so that the whole part of the elapsed days is a day's number.
        self.origin = int(held(present).min()) // _DAY * _DAY if present.size else 0
        found = split_seconds(present, self.origin)
        varying = [name for name in PARTS if present.size and np.ptp(found[name]) > 0]
        self.parts = tuple(varying) or ("elapsed",)
        self.days = int(held(present).max() - self.origin) // _DAY + 1 if present.size else 0
        return self

    def _graph_parts(self, builder: GraphBuilder, tensor: str) -> dict[str, str]:
        def whole(value: int) -> str:
            return builder.constant(value, np.int64)

        def add(operator: str, left: Any, right: Any) -> str:
            sides = [side if isinstance(side, str) else whole(side) for side in (left, right)]
            return builder.node(operator, sides)

        missing = builder.node("Equal", [tensor, whole(NO_TIME)])
        dates = held_onnx(builder, tensor)
        found = _parts(dates, add) if set(self.parts) != {"elapsed"} else {}
        parts = {
            name: builder.node("Cast", [found[name]], to=FLOAT)
            for name in found
            if name in self.parts
        }
        if "elapsed" in self.parts:
            parts["elapsed"] = days_onnx(builder, add("Sub", dates, self.origin))
        gap = builder.constant(np.nan)
        return {name: builder.node("Where", [missing, gap, parts[name]]) for name in self.parts}

    @property
    def names(self) -> tuple[str, ...]:
        """``column part`` for each part that varies."""
        return tuple(f"{self.column.name} {part}" for part in self.parts)


@transform("datetime")
class DatetimeParts(_Dates):
    """The parts that vary in training as they are; missing is NaN."""

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the parts, shape (n, k)."""
        found = split_seconds(np.asarray(values, dtype=np.int64), self.origin)
        return np.stack([found[name] for name in self.parts], axis=1)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the arithmetic."""
        parts = self._graph_parts(builder, tensor)
        return builder.node("Concat", [parts[name] for name in self.parts], axis=1)

    @property
    def nominal(self) -> tuple[int, ...]:
        """The days from the first to the last in training."""
        return tuple(self.days if name == "elapsed" else 0 for name in self.parts)


_CYCLES = {"month": 12, "weekday": 7, "hour": 24}


def _cycle(period: int) -> npt.NDArray[np.float32]:
    """Return sine and cosine by position in the cycle, shape (period + 1, 2).

    The last row stands for a missing date: zeros, the middle of the circle.
    """
    angle = 2.0 * np.pi * np.arange(period) / period
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.vstack([circle, np.zeros((1, 2))]).astype(np.float32)


@transform("scaled_datetime")
class ScaledDatetimeParts(_Dates):
    """The parts scaled as numbers are, an indicator of missing, and circles of the cyclic parts.

    The circles come from small tables, looked up on both sides, so they are equal to the last
    bit.
    """

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn which parts vary, and the scale of each."""
        super().fit(values, y)
        found = split_seconds(np.asarray(values, dtype=np.int64), self.origin)
        self.scales = {name: Scaling().fit(found[name]) for name in self.parts}
        self.indicator = bool((values == NO_TIME).any())
        self.cycles = tuple(name for name in self.parts if name in _CYCLES)
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, k)."""
        found = split_seconds(np.asarray(values, dtype=np.int64), self.origin)
        missing = np.asarray(values == NO_TIME)
        columns = [self.scales[name](found[name]) for name in self.parts]
        if self.indicator:
            columns.append(missing.astype(np.float32))
        for name in self.cycles:
            start = 1 if name == "month" else 0
            place = np.where(missing, _CYCLES[name] + start, found[name]).astype(np.int64)
            columns.extend(_cycle(_CYCLES[name])[place - start].T)
        return np.stack(columns, axis=1)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the arithmetic, the scales and the look-ups."""
        parts = self._graph_parts(builder, tensor)
        columns = [self.scales[name].to_onnx(builder, parts[name]) for name in self.parts]
        missing = builder.node("Equal", [tensor, builder.constant(NO_TIME, np.int64)])
        if self.indicator:
            columns.append(builder.node("Cast", [missing], to=FLOAT))
        for name in self.cycles:
            start = 1 if name == "month" else 0
            gap = builder.constant(float(_CYCLES[name] + start))
            filled = builder.node("Where", [missing, gap, parts[name]])
            place = builder.node("Sub", [filled, builder.constant(float(start))])
            place = builder.node("Cast", [place], to=INT64)
            place = builder.node("Reshape", [place, builder.constant([-1], np.int64)])
            columns.append(builder.node("Gather", [builder.constant(_cycle(_CYCLES[name])), place]))
        return builder.node("Concat", columns, axis=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The parts, the indicator and two a cycle."""
        column = self.column.name
        gap = (f"{column} missing",) if self.indicator else ()
        circles = [f"{column} {part} {wave}" for part in self.cycles for wave in ("sine", "cosine")]
        return (*super().names, *gap, *circles)
