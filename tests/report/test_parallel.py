"""Parallel coordinates."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Categorical, Float, Int
from raymm.report.parallel import AXES, HEIGHT, WIDTH, parallel, place

SPACE = {
    "rate": Float(1e-4, 1, log=True),
    "layers": Int(1, 5),
    "solver": Categorical(("a", "b")),
    "<more>": Float(0, 1, when={"solver": ["b"]}),
}


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


@given(st.lists(st.tuples(st.floats(1e-4, 1), st.integers(1, 5), st.floats(-9, 9)), max_size=9))
def test_every_line_crosses_every_axis_inside_the_figure(rows):
    lines = [({"rate": a, "layers": b, "solver": "a", "loss": c}, c > 0) for a, b, c in rows]
    drawn = parallel(lines, SPACE, metric="loss", direction="minimize")
    if not rows:
        assert drawn == ""
        return
    found = list(ET.fromstring(drawn).iter("polyline"))
    assert len(found) == len(rows)
    for line in found:
        assert len(points(line)) == len(SPACE) + 1
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(line))


def test_the_better_end_is_at_the_top_and_what_is_not_active_below():
    lines = [({"rate": 0.01, "loss": loss}, False) for loss in (1.0, 2.0)]
    for direction in ("minimize", "maximize"):
        root = ET.fromstring(parallel(lines, SPACE, metric="loss", direction=direction))
        low, high = (points(line) for line in root.iter("polyline"))
        assert (low[-1][1] < high[-1][1]) == (direction == "minimize")
        axis = next(root.iter("line"))
        assert low[1][1] > float(axis.get("y2"))


def test_at_most_eight_parameters_have_an_axis():
    space = {f"p{i}": Float(0, 1) for i in range(20)}
    lines = [({**dict.fromkeys(space, 0.5), "m": 1.0}, True)]
    root = ET.fromstring(parallel(lines, space, metric="m", direction="maximize"))
    assert sum(1 for _ in root.iter("line")) == AXES + 1


def test_places_are_even_on_the_parameter_s_own_scale():
    assert place(SPACE["rate"], 0.01) == 0.5
    assert place(SPACE["layers"], 3) == 0.5
    assert [place(SPACE["solver"], one) for one in "ab"] == [0.25, 0.75]
    assert place(Float(2, 2), 2) == 0.5
