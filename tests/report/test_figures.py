from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from raymm.report.figures import (
    HEIGHT,
    WIDTH,
    Axes,
    Bar,
    Layer,
    bars,
    log_ticks,
    plot,
    shown,
    ticks,
)

numbers = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(numbers, st.floats(1e-3, 1e9))
def test_ticks_lie_within_and_are_evenly_spread(low: float, width: float) -> None:
    high = low + width
    found = ticks(low, high)
    assert 1 <= len(found) <= 12
    # The rounding of a step's multiples is at most a billionth of a step, or of the value.
    slack = 1e-6 * width + 1e-9 * max(abs(low), abs(high))
    assert all(low - slack <= tick <= high + slack for tick in found)
    steps = [b - a for a, b in pairwise(found)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-6, abs_tol=slack) for step in steps)


@given(st.floats(-3, 9), st.floats(0.01, 6))
def test_logarithmic_axes_have_several_round_ticks(low: float, width: float) -> None:
    found = log_ticks(low, low + width)
    # Two powers of ten lie in 2.5 decades at least, and three of 1, 2 and 5 in one decade.
    assert (2 if width >= 2.5 else 3) <= len(found) <= 12
    assert found == sorted(found)
    assert all(low - 1e-9 <= tick <= low + width + 1e-9 for tick in found)
    # A step of 1, 2, 2.5 or 5 in a range of at least 2 % has four digits at most.
    assert all(math.isclose(10**one, float(f"{10**one:.4g}"), rel_tol=1e-9) for one in found)


def test_labels_of_an_axis_differ() -> None:
    near = Layer(name="a", x=[81.1101, 81.1107], y=[0.912341, 0.912349], style="dots")
    drawn = plot([near], Axes(title="t", x="x", y="y", log_x=True))
    told = [one.text for one in ET.fromstring(drawn).iter() if one.tag == "text"]
    assert len(told) == len(set(told)) >= 8


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20), st.booleans())
def test_every_point_is_drawn_inside_the_figure(points: list, diagonal: bool) -> None:
    x, y = zip(*points, strict=True)
    svg = plot(
        [Layer(name="a", x=x, y=y, style="dots")], Axes(title="t", x="x", y="y", diagonal=diagonal)
    )
    circles = [one for one in ET.fromstring(svg).iter() if one.tag == "circle"]
    assert len(circles) == len(points)
    for one in circles:
        assert 0 <= float(one.get("cx")) <= WIDTH
        assert 0 <= float(one.get("cy")) <= HEIGHT


def test_greater_values_stand_higher_and_further_right() -> None:
    svg = plot(
        [Layer(name="a", x=[1, 10, 100], y=[0, 1, 2], style="dots")],
        Axes(title="t", x="x", y="y", log_x=True),
    )
    circles = [one for one in ET.fromstring(svg).iter() if one.tag == "circle"]
    xs = [float(one.get("cx")) for one in circles]
    ys = [float(one.get("cy")) for one in circles]
    assert xs == sorted(xs)
    assert ys == sorted(ys, reverse=True)
    # Powers of ten are evenly spread on a logarithmic axis, to a pixel's tenth.
    assert math.isclose(xs[1] - xs[0], xs[2] - xs[1], abs_tol=0.11)


def test_what_is_not_finite_is_left_out() -> None:
    axes = Axes(title="t", x="x", y="y", log_x=True)
    assert plot([Layer(name="a", x=[math.nan, 0, 1], y=[1, 1, math.inf])], axes) == ""
    assert plot([], axes) == ""
    assert bars([Bar(label="a", value=math.nan)], title="t", unit="u") == ""


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=12))
def test_bars_are_as_long_as_their_values(values: list[int]) -> None:
    svg = bars([Bar(label=f"b{i}", value=v) for i, v in enumerate(values)], title="t", unit="u")
    widths = [float(one.get("width")) for one in ET.fromstring(svg).iter() if one.tag == "rect"]
    assert len(widths) == len(values)
    largest = max(map(abs, values))
    scale = widths[[abs(v) for v in values].index(largest)] / largest if largest > 1e-9 else 0
    # Bars are at least a pixel wide, and positions are rounded to a tenth of one.
    assert all(abs(w - max(1, abs(v) * scale)) <= 1.2 for w, v in zip(widths, values, strict=True))


def test_labels_are_escaped_and_long_ones_cut() -> None:
    svg = bars([Bar(label="<b>&" + "x" * 40, value=1.0)], title='"t"', unit="<u>")
    root = ET.fromstring(svg)
    texts = [one.text or "" for one in root.iter() if one.tag == "text"]
    assert any(text.startswith("<b>&x") and text.endswith("…") for text in texts)
    assert "<u>" in texts


def test_a_step_line_never_moves_both_ways_at_once() -> None:
    svg = plot(
        [Layer(name="a", x=[0, 1, 2], y=[0, 3, 5], style="step")], Axes(title="t", x="x", y="y")
    )
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None
    path = [tuple(map(float, point.split(","))) for point in points.group(1).split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(path))


def test_numbers_are_short() -> None:
    assert [shown(v) for v in (0.0, 1234.5, 2e6, 5e9)] == ["0", "1234", "2M", "5G"]
