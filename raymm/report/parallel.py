"""Parallel coordinates: one axis a parameter, one line a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from raymm.artifacts import Categorical, Direction, Parameter, Space
from raymm.counts import counted
from raymm.report.figures import cut, shown, svg

AXES = 8
WIDTH, HEIGHT = 960, 336
_LEFT, _RIGHT, _TOP, _FLOOR = 60, 60, 56, 290
_UNUSED = 326
_NAME = 24


def parallel(
    lines: Sequence[tuple[Mapping[str, Any], bool]],
    space: Space,
    *,
    metric: str,
    direction: Direction,
) -> str:
    """Draw configurations as lines over the first `AXES` parameters and the metric.

    Parameters
    ----------
    lines : sequence of (values by name, marked)
        The metric is among the values. A parameter that one lacks was not active: its line goes
        below the axis there.
    direction : "maximize" or "minimize"
        The better end of the metric's axis is at the top.
    """
    names = [*list(space)[:AXES], metric]
    values = [float(told[metric]) for told, _ in lines]
    if len(names) < 2 or not values:
        return ""
    across = [_LEFT + i * (WIDTH - _LEFT - _RIGHT) / (len(names) - 1) for i in range(len(names))]
    ends = (min(values), max(values))
    ends = ends if direction == "maximize" else (ends[1], ends[0])

    def height(told: Mapping[str, Any], name: str) -> float:
        if name == metric:
            span = ends[1] - ends[0]
            share = (float(told[metric]) - ends[0]) / span if span else 0.5
        elif name in told:
            share = place(space[name], told[name])
        else:
            return _UNUSED
        return _FLOOR - share * (_FLOOR - _TOP)

    parts = []
    for told, marked in sorted(lines, key=lambda line: line[1]):
        points = zip(across, (height(told, name) for name in names), strict=True)
        path = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="thread{" marked" if marked else ""}" points="{path}"/>')
    for number, (x, name) in enumerate(zip(across, names, strict=True)):
        low, high = ends if name == metric else _ends(space[name])
        parts.append(_axis(x, name, (str(low), str(high)), number))
    marked_lines = sum(marked for _, marked in lines)
    tried = counted(len(lines), "trial")
    told_of = f"{tried} over {', '.join(names)}; marked: {marked_lines}."
    return svg("Parallel coordinates", told_of, parts, (WIDTH, HEIGHT))


def place(parameter: Parameter, value: Any) -> float:
    """Return where a value stands between the ends of its parameter, from 0 to 1."""
    if isinstance(parameter, Categorical):
        known = [repr(choice) for choice in parameter.choices]
        cell = known.index(repr(value)) if repr(value) in known else 0
        return (cell + 0.5) / len(known)
    low, high = float(parameter.low), float(parameter.high)
    at = max(float(value), low)
    if parameter.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5


def _ends(parameter: Parameter) -> tuple[str, str]:
    if isinstance(parameter, Categorical):
        return str(parameter.choices[0]), str(parameter.choices[-1])
    return shown(float(parameter.low)), shown(float(parameter.high))


def _axis(x: float, name: str, ends: tuple[str, str], number: int) -> str:
    anchor = "start" if x < WIDTH * 0.1 else "end" if x > WIDTH * 0.9 else "middle"
    at = {"start": 6.0, "end": WIDTH - 6.0}.get(anchor, x)
    low, high = (shown(float(end)) if _is_float(end) else end for end in ends)
    # Names of neighbours stand on two lines, so that long ones have room.
    top = 14 if number % 2 == 0 else 30
    return (
        f'<line class="axis" x1="{x:.0f}" x2="{x:.0f}" y1="{_TOP}" y2="{_FLOOR}"/>'
        f'<text class="strong" x="{at:.0f}" y="{top}" text-anchor="{anchor}">'
        f"<title>{escape(name)}</title>{escape(cut(name, _NAME))}</text>"
        f'<text x="{x:.0f}" y="{_TOP - 8}" text-anchor="middle">{escape(cut(high, 12))}</text>'
        f'<text x="{x:.0f}" y="{_FLOOR + 16}" text-anchor="middle">{escape(cut(low, 12))}</text>'
    )


def _is_float(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
