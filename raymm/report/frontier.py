"""The picture of what compression found: score against bytes, intervals, and what was allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from raymm.allowance import allowed
from raymm.artifacts import Candidate, Frontier
from raymm.counts import counted
from raymm.report.figures import cut, log_ticks, shown, svg, ticks

WIDTH, HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 18, 52
_REACH = 5.0
"""Forms that lose more than so many times what is allowed stand at the lower edge, as arrows."""
_LETTER, _BOLD, _LINE = 7.3, 7.8, 14
"""Widths of a letter, plain and bold, and height of a line of a name."""
_FARTHER = (-30, 30, -48, 48, -66, 66)
"""How far a name may stand above or below its dot, where there is no room beside it."""
_LONGEST = 34


_Box = tuple[float, float, float, float]
"""Left, top, right and bottom of what nothing else may cover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A form in the drawing; ``loss`` is that of its score, and ``ends`` of its interval."""

    candidate: Candidate
    x: float
    y: float
    ends: tuple[float, float]
    inside: bool


def name_of(candidate: Candidate) -> str:
    """Write a form in a few words.

    >>> from raymm.artifacts import Score
    >>> score = Score(metric="m", value=0, low=0, high=0)
    >>> name_of(Candidate(technique="prune+quantize", score=0, loss=score, bytes=1,
    ...     parameters={"prune.size": 0.15, "quantize.bits": 8}, row_microseconds=1))
    'prune 0.15 + quantize 8'
    """
    if candidate.technique == "none":
        return "as it was"
    names = candidate.technique.split("+")
    parts = []
    for name in names:
        own = [
            shown(float(value))
            for key, value in candidate.parameters.items()
            if isinstance(value, (int, float)) and (len(names) == 1 or key.startswith(f"{name}."))
        ]
        parts.append(" ".join([name, "/".join(own)]).strip())
    return " + ".join(parts)


def unbeaten(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that no other beats in bytes and loss at once, smallest first."""
    best: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: (one.bytes, one.loss.value)):
        if not best or one.loss.value < best[-1].loss.value:
            best.append(one)
    return best


def draw(frontier: Frontier) -> str:
    """Draw score against bytes; an empty text where nothing can be drawn.

    A whisker is the interval of a form's loss, taken from the score of the bundle as it was. The
    dashed line is the score below which a form loses more than is allowed.
    """
    known = [one for one in frontier.candidates if one.bytes > 0 and math.isfinite(one.loss.value)]
    whole = next((one for one in known if one.technique == "none"), None)
    if whole is None or not math.isfinite(whole.score):
        return ""
    sign = _sign(known, whole)
    limit = allowed(frontier)
    scale = _Axes(known, whole, sign, limit)
    points = [scale.point(one) for one in known]
    best = {id(one) for one in unbeaten(known)}
    taken = _taken(points)
    drawn = [scale.grid(frontier.metric), scale.limit(limit, frontier.metric, taken)]
    drawn += _names(points, best, taken)
    drawn += [_mark(point, id(point.candidate) in best) for point in points]
    chosen = next((one for one in known if one.chosen), whole)
    said = (
        f"{counted(len(known), 'form')} by bytes and {frontier.metric}; chosen is "
        f"{name_of(chosen)} with {chosen.bytes:,} bytes and {shown(chosen.score)}"
    )
    return svg(f"{frontier.metric} against bytes", said, drawn, (WIDTH, HEIGHT))


def _sign(known: Sequence[Candidate], whole: Candidate) -> float:
    """Return 1 where a larger score is better, from which side forms lose on."""
    total = sum((whole.score - one.score) * one.loss.value for one in known)
    return 1.0 if total >= 0 else -1.0


class _Axes:
    """Where bytes (a logarithmic scale) and losses stand; better scores are higher up."""

    def __init__(
        self, known: Sequence[Candidate], whole: Candidate, sign: float, allowed: float
    ) -> None:
        self.whole, self.sign = whole.score, sign
        losses = [one.loss.value for one in known]
        most = max(losses)
        if allowed > 0:
            most = min(most, _REACH * allowed)
        ends = [one.loss.low for one in known if one.loss.value <= most]
        least = min([-allowed, *losses, *(end for end in ends if math.isfinite(end))])
        most = max(most, allowed, 1e-9 * abs(self.whole) or 1e-12)
        best = min(max(least, -most), *losses)  # whiskers are cut, dots of better scores are not
        room = 0.06 * (most - best)
        self.high, self.low = best - room, most + room
        sizes = [math.log10(one.bytes) for one in known]
        wide = max(max(sizes) - min(sizes), 0.3)
        self.first, self.last = min(sizes) - 0.05 * wide, max(sizes) + 0.12 * wide

    def across(self, size: float) -> float:
        share = (math.log10(size) - self.first) / (self.last - self.first)
        return _LEFT + share * (WIDTH - _LEFT - _RIGHT)

    def down(self, loss: float) -> float:
        share = (loss - self.high) / (self.low - self.high)
        return _TOP + min(max(share, 0.0), 1.0) * (HEIGHT - _TOP - _BOTTOM)

    def point(self, one: Candidate) -> _Point:
        low, high = (end if math.isfinite(end) else one.loss.value for end in _ends(one))
        return _Point(
            candidate=one,
            x=self.across(one.bytes),
            y=self.down(one.loss.value),
            ends=(self.down(low), self.down(high)),
            inside=one.loss.value <= self.low,
        )

    def grid(self, metric: str) -> str:
        floor, parts = HEIGHT - _BOTTOM, []
        scores = sorted((self.whole - self.sign * self.high, self.whole - self.sign * self.low))
        marks = ticks(scores[0], scores[1])
        for score, told in zip(marks, _told(marks), strict=True):
            y = self.down(self.sign * (self.whole - score))
            parts.append(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" '
                f'y2="{y:.1f}"/><text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                f"{told}</text>"
            )
        for size in (10**tick for tick in log_ticks(self.first, self.last)):
            parts.append(
                f'<text x="{self.across(size):.1f}" y="{floor + 18}" text-anchor="middle">'
                f"{_bytes(size)}</text>"
            )
        middle, half = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + floor) / 2
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>'
            f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">size of the file</text>'
            f'<text transform="translate(14 {half}) rotate(-90)" text-anchor="middle">'
            f"{escape(metric)}</text>"
        )
        return "".join(parts)

    def limit(self, allowed: float, metric: str, taken: list[_Box]) -> str:
        """Draw the line and tell what it is, where that covers least; both are then ``taken``."""
        y, text = self.down(allowed), f"a loss of {shown(allowed)} {metric} is allowed"
        width = _LETTER * len(text)
        lefts = np.arange(WIDTH - _RIGHT - width, _LEFT, -_LINE).tolist()
        places = [(left, base) for left in lefts for base in (y + 14, y - 5)]
        boxes = [_box(left, base, width) for left, base in places]
        covered = [
            (box[1] < 0 or box[3] > HEIGHT - _BOTTOM, sum(_cover(box, other) for other in taken))
            for box in boxes
        ]
        best = covered.index(min(covered))
        taken += [boxes[best], (_LEFT, y - 1, WIDTH - _RIGHT, y + 1)]
        left, base = places[best]
        return (
            f'<line class="diagonal" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke-dasharray="5 4"/><text class="soft" x="{left + width:.1f}" '
            f'y="{base:.1f}" text-anchor="end">{escape(text)}</text>'
        )


def _ends(one: Candidate) -> tuple[float, float]:
    return one.loss.low, one.loss.high


def _told(marks: Sequence[float]) -> list[str]:
    """Return numbers with as few digits as tell them apart, six at least."""
    for digits in range(6, 17):
        told = [f"{mark:.{digits}g}" for mark in marks]
        if len(set(told)) == len(marks):
            break
    return told


def _bytes(size: float) -> str:
    for unit, letter in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:g} {letter}"
    return f"{size:g} B"


def _mark(point: _Point, best: bool) -> str:
    one = point.candidate
    told = (
        f"<title>{escape(name_of(one))}: {one.bytes:,} bytes, score {shown(one.score)}, loss "
        f"{shown(one.loss.value)} ({shown(one.loss.low)} to {shown(one.loss.high)})</title>"
    )
    group = "dots marked" if one.chosen else "dots" if best else "dots faint"
    if not point.inside:
        edge = HEIGHT - _BOTTOM - 8
        return (
            f'<path class="crosses faint" d="M{point.x - 4:.1f} {edge:.0f}l4 6l4 -6">{told}</path>'
        )
    whisker = (
        f'<line class="whisker" x1="{point.x:.1f}" x2="{point.x:.1f}" y1="{point.ends[0]:.1f}" '
        f'y2="{point.ends[1]:.1f}"/>'
    )
    dot = f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="{6 if one.chosen else 4}"/>'
    return f'<g class="{group}">{told}{whisker}{dot}</g>'


def _names(points: Sequence[_Point], best: set[int], taken: list[_Box]) -> list[str]:
    """Write the names of the chosen form, the bundle as it was and those not beaten, where there
    is room: the first of a few places around each that covers nothing that is ``taken``. The
    chosen one's may cover a whisker.
    """
    wanted = [p for p in points if p.inside and (id(p.candidate) in best or p.candidate.chosen)]
    wanted += [p for p in points if p.candidate.technique == "none" and p not in wanted]
    wanted.sort(key=lambda p: (not p.candidate.chosen, p.candidate.technique != "none", p.x))
    dots = [_dot(p) for p in points if p.inside]
    made = []
    for point in wanted:
        bold = point.candidate.chosen
        text = cut(name_of(point.candidate), _LONGEST)
        width = (_BOLD if bold else _LETTER) * len(text)
        for avoided in (taken, dots)[: 1 + bold]:
            place = _place(point, width, avoided)
            if place is not None:
                taken.append(_box(*place, width))
                made.append(_name(point, text, *place, width))
                break
    return made


def _place(point: _Point, width: float, taken: Sequence[_Box]) -> tuple[float, float] | None:
    """Return where a name may begin and its base line: beside its dot, else further up or down."""
    x, y = point.x, point.y
    sides = (x + 9, x - 9 - width)
    near = [*((left, y + dy) for left in sides for dy in (-6, 15)), (x - width / 2, y - 16)]
    near.append((x - width / 2, y + 26))
    far = [(left, y + 4 + dy) for dy in _FARTHER for left in sides]
    for left, base in (*near, *far):
        box = _box(left, base, width)
        inside = box[0] >= _LEFT and box[2] <= WIDTH and box[1] >= 0
        inside = inside and box[3] <= HEIGHT - _BOTTOM
        if inside and not any(_cover(box, other) for other in taken):
            return left, base
    return None


def _name(point: _Point, text: str, left: float, base: float, width: float) -> str:
    """Write a name, with a line to its dot where that is not beside it."""
    weight = ' font-weight="bold"' if point.candidate.chosen else ""
    x, anchor, line = left, "", ""
    if left + width < point.x:
        x, anchor = left + width, ' text-anchor="end"'
    if abs(base - 4 - point.y) >= min(map(abs, _FARTHER)):
        end = left - 2 if left > point.x else left + width + 2
        line = (
            f'<line class="grid" x1="{point.x:.1f}" y1="{point.y:.1f}" x2="{end:.1f}" '
            f'y2="{base - 4:.1f}"/>'
        )
    return f'{line}<text x="{x:.1f}" y="{base:.1f}"{anchor}{weight}>{escape(text)}</text>'


def _box(left: float, base: float, width: float) -> _Box:
    return left, base - _LINE + 3, left + width, base + 3


def _dot(point: _Point) -> _Box:
    if not point.inside:
        return point.x - 4, HEIGHT - _BOTTOM - 8, point.x + 4, HEIGHT - _BOTTOM
    return point.x - 5, point.y - 5, point.x + 5, point.y + 5


def _taken(points: Sequence[_Point]) -> list[_Box]:
    """Return the boxes of dots, arrows and whiskers."""
    bars = [(p.x - 2, min(p.ends), p.x + 2, max(p.ends)) for p in points if p.inside]
    return [*map(_dot, points), *bars]


def _cover(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


_STYLE = (
    "<style>svg{background:#fff;font:12px sans-serif}.grid{stroke:#ddd}.axis{stroke:#555}"
    ".diagonal{stroke:#888}.whisker{stroke:#444;stroke-width:1.4}.dots{fill:#4c6ef5}"
    ".dots.faint{fill:#aab4c8}.dots.marked{fill:#d9480f}.crosses{stroke:#aab4c8;fill:none}"
    ".soft{fill:#666}</style>"
)


def alone(frontier: Frontier) -> str:
    """Return the picture as a file of its own, with its colours."""
    drawn = draw(frontier)
    if not drawn:
        return ""
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="1080" height="570" '
    start = drawn.index(">") + 1
    return drawn[:start].replace("<svg ", head, 1) + _STYLE + drawn[start:]
