"""Figures as inline SVG, made by pure functions.

Colours come from the page's style sheet by class, so figures follow its light and dark forms.
Every figure has a title and a description, which screen readers tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import Literal

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 14, 14, 50
_ROW = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Points drawn in one way; ``marked`` layers take the accent colour and larger dots.

    ``faint`` layers stand back behind others.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: Literal["line", "step", "dots", "crosses"] = "line"
    marked: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """What a plot shows: its title, and each axis's label with its unit.

    ``diagonal`` draws the line where both are equal. ``log_x`` and ``log_y`` need values above 0.
    ``places`` are names that stand at 0, 1, 2 and so on of the x axis, in place of numbers.
    ``whole_x`` marks whole numbers only. ``y_ends`` is the least range that the y axis covers, so
    that several plots can be compared.
    """

    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    diagonal: bool = False
    places: Sequence[str] = ()
    whole_x: bool = False
    y_ends: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar and, where ``low`` and ``high`` are given, its interval."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about ``count``, at least one.

    >>> ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(5.6e-13, 8e-13)
    [6e-13, 6.5e-13, 7e-13, 7.5e-13, 8e-13]
    """
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((factor * power for factor in (1, 2, 2.5, 5, 10)), key=lambda size: abs(size - raw))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # A power of ten below the step is as fine as a multiple of 2.5 of it.
    digits = 2 - math.floor(math.log10(step))
    return [round(number * step, digits) for number in range(first, last + 1)] or [low]


def shown(value: float) -> str:
    """Write a number shortly.

    >>> shown(0.25), shown(1234567.0), shown(12345.0), shown(-0.0)
    ('0.25', '1.23M', '12.3k', '0')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value + 0.0:.4g}"


def bars(values: Sequence[Bar], *, title: str, unit: str) -> str:
    """Draw horizontal bars with their intervals; an empty text where there are none.

    Values that are not finite are left out.
    """
    kept = [bar for bar in values if math.isfinite(bar.value)]
    if not kept:
        return ""
    ends = [_end for bar in kept for _end in (bar.value, bar.low, bar.high)]
    finite = [end for end in ends if end is not None and math.isfinite(end)]
    low, high = min(0.0, *finite), max(0.0, *finite)
    high = high if high > low else low + 1
    left = 18 + 7.8 * min(22, max(len(bar.label) for bar in kept))
    height = _ROW * len(kept) + 50

    def at(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 20)

    parts = [
        f'<line class="grid" x1="{at(t):.1f}" x2="{at(t):.1f}" y1="6" y2="{height - 42}"/>'
        f'<text x="{at(t):.1f}" y="{height - 27}" text-anchor="middle">{shown(t)}</text>'
        for t in ticks(low, high, 4)
    ]
    for place, bar in enumerate(kept):
        parts.append(_bar(bar, 8 + place * _ROW, at, left))
    middle = (left + WIDTH - 20) / 2
    parts.append(f'<text x="{middle}" y="{height - 6}" text-anchor="middle">{escape(unit)}</text>')
    told = ", ".join(f"{bar.label} {shown(bar.value)}" for bar in kept[:10])
    return svg(title, f"Bars: {told}.", parts, (WIDTH, height))


def _bar(bar: Bar, top: float, at: Callable[[float], float], left: float) -> str:
    start, end = sorted((at(0.0), at(bar.value)))
    label = cut(bar.label, 22)
    text = f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(label)}</text>'
    told = f"<title>{escape(bar.label)}: {shown(bar.value)}</title>"
    drawn = (
        f'<rect class="bar" x="{start:.1f}" y="{top}" width="{max(end - start, 1):.1f}" '
        f'height="{_ROW - 8}">{told}</rect>'
    )
    if bar.low is None or bar.high is None or not math.isfinite(bar.low + bar.high):
        return text + drawn
    middle = top + (_ROW - 8) / 2
    return (
        text
        + drawn
        + (
            f'<line class="whisker" x1="{at(bar.low):.1f}" x2="{at(bar.high):.1f}" '
            f'y1="{middle}" y2="{middle}"/>'
        )
    )


def plot(layers: Sequence[Layer], axes: Axes) -> str:
    """Draw layers of points on common axes; an empty text where no point is finite."""
    kept = [_finite(layer, axes) for layer in layers]
    xs = [x for layer in kept for x in layer.x]
    ys = [y for layer in kept for y in layer.y]
    if not xs:
        return ""
    if axes.diagonal:
        xs = ys = xs + ys
    ends = [-0.5, len(axes.places) - 0.5] if axes.places else []
    across = _Scale([*_scaled(xs, axes.log_x), *ends], _LEFT, WIDTH - _RIGHT)
    down = _Scale(_scaled([*ys, *axes.y_ends], axes.log_y), HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(axes, across, down)]
    if axes.diagonal:
        low, high = across.low, across.high
        parts.append(
            f'<line class="diagonal" x1="{across(low):.1f}" y1="{down(low):.1f}" '
            f'x2="{across(high):.1f}" y2="{down(high):.1f}"/>'
        )
    for layer in kept:
        x, y = _scaled(layer.x, axes.log_x), _scaled(layer.y, axes.log_y)
        points = [(across(a), down(b)) for a, b in zip(x, y, strict=True)]
        parts.append(_drawn(layer, points))
    told = f"{axes.y} against {axes.x}. " + "; ".join(
        f"{one.name}: {len(one.x)} points, {shown(min(one.y))} to {shown(max(one.y))}"
        for one in kept
        if len(one.y)
    )
    return svg(axes.title, told, parts, (WIDTH, HEIGHT))


class _Scale:
    """From values to pixels, with a little room at both ends."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(values), max(values)
        room = (high - low) * 0.04 or max(abs(high) * 0.1, 0.1)
        self.low, self.high = low - room, high + room
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)


def _scaled(values: Sequence[float], log: bool) -> Sequence[float]:
    return [math.log10(value) for value in values] if log else values


def _finite(layer: Layer, axes: Axes) -> Layer:
    points = [
        (float(x), float(y))
        for x, y in zip(layer.x, layer.y, strict=True)
        if math.isfinite(x)
        and math.isfinite(y)
        and (x > 0 or not axes.log_x)
        and (y > 0 or not axes.log_y)
    ]
    return replace(layer, x=[p[0] for p in points], y=[p[1] for p in points])


def _grid(axes: Axes, across: _Scale, down: _Scale) -> str:
    parts = []
    found = (log_ticks if axes.log_y else ticks)(down.low, down.high)
    for t, value in zip(found, _told([10**t if axes.log_y else t for t in found]), strict=True):
        y = f"{down(t):.1f}"
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text x="{_LEFT - 6}" y="{down(t) + 4:.1f}" text-anchor="end">{value}</text>'
        )
    parts += [
        f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{escape(told)}</text>'
        for x, told in _below(axes, across)
    ]
    floor = HEIGHT - _BOTTOM
    middle, half = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + floor) / 2
    parts.append(
        f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>'
    )
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(axes.x)}</text>'
        f'<text transform="translate(13 {half}) rotate(-90)" text-anchor="middle">'
        f"{escape(axes.y)}</text>"
    )
    return "".join(parts)


def _below(axes: Axes, across: _Scale) -> list[tuple[float, str]]:
    """Return where the x axis has a label, and the label; names are cut to their room."""
    if axes.places:
        room = max(2, int((WIDTH - _LEFT - _RIGHT) / len(axes.places) / 8))
        return [(across(at), cut(name, room)) for at, name in enumerate(axes.places)]
    found = (log_ticks if axes.log_x else ticks)(across.low, across.high)
    if axes.whole_x and not axes.log_x:
        found = sorted({float(round(t)) for t in found if across.low <= round(t) <= across.high})
    told = _told([10**t if axes.log_x else t for t in found])
    return [(across(t), text) for t, text in zip(found, told, strict=True)]


def cut(text: str, length: int) -> str:
    """Return a text of at most ``length`` characters, the last an ellipsis where it was longer."""
    return text if len(text) <= length else text[: max(1, length - 1)] + "…"


def log_ticks(low: float, high: float) -> list[float]:
    """Return logarithms of round numbers between two logarithms, at least three where they can be.

    They are 1, 2 and 5 times powers of ten, powers alone where those are many, and within a decade,
    which holds few of them, evenly spread numbers.

    >>> [round(10**t) for t in log_ticks(0, 2)], [round(10**t) for t in log_ticks(1.6, 1.9)]
    ([1, 2, 5, 10, 20, 50, 100], [40, 50, 60, 70])
    """
    powers = range(math.floor(low), math.ceil(high) + 1)
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    found = [power + math.log10(factor) for power in powers for factor in factors]
    found = [tick for tick in found if low <= tick <= high]
    if len(found) < 3 and high - low < 1:
        even = [math.log10(value) for value in ticks(10**low, 10**high) if value > 0]
        found = max(found, even, key=len)
    return found or [(low + high) / 2]


def _told(values: Sequence[float]) -> list[str]:
    """Write the numbers of an axis, with more digits where they would be alike."""
    told = [shown(value) for value in values]
    return told if len(set(told)) == len(told) else [f"{value:.7g}" for value in values]


def _drawn(layer: Layer, points: Sequence[tuple[float, float]]) -> str:
    mark = (" marked" if layer.marked else "") + (" faint" if layer.faint else "")
    name = f"<title>{escape(layer.name)}</title>"
    if layer.style == "dots":
        size = 5 if layer.marked else 3.5
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>' for x, y in points)
        return f'<g class="dots{mark}">{name}{dots}</g>'
    if layer.style == "crosses":
        lines = "".join(f"M{x - 3:.0f} {y - 3:.0f}l6 6m0-6l-6 6" for x, y in points)
        return f'<path class="crosses{mark}" d="{lines}">{name}</path>' if points else ""
    path = list(points[:1])
    for before, after in pairwise(points):
        path += [(after[0], before[1])] if layer.style == "step" else []
        path.append(after)
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
    return f'<polyline class="line{mark}" points="{text}">{name}</polyline>'


def svg(title: str, description: str, parts: Sequence[str], size: tuple[float, float]) -> str:
    """Return a drawing of (width, height) with the words that screen readers tell."""
    return (
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(title)}: '
        f'{escape(description)}">{"".join(parts)}</svg>'
    )
