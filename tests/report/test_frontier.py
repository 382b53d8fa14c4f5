from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from raymm.artifacts import Candidate, Frontier, Score
from raymm.report.frontier import alone, draw, unbeaten


def candidate(technique, count, loss, *, score=0.9, chosen=False, **parameters):
    return Candidate(
        technique=technique,
        parameters=parameters,
        score=score - loss,
        loss=Score(metric="roc_auc", value=loss, low=loss - 0.001, high=loss + 0.001),
        bytes=count,
        row_microseconds=1.0,
        chosen=chosen,
    )


def found(*more):
    return Frontier(
        candidates=(
            candidate("none", 100_000, 0.0),
            candidate("truncate", 50_000, 0.2, keep=0.5),
            candidate("prune", 30_000, 0.002, size=0.3),
            candidate("prune+quantize", 9_000, 0.003, chosen=True, **{"quantize.bits": 8}),
            *more,
        ),
        metric="roc_auc",
        max_loss=0.005,
        rows=100,
    )


def test_every_form_stands_where_its_bytes_and_score_say():
    tree = ElementTree.fromstring(alone(found()))
    dots = [one for one in tree.iter() if one.tag.endswith("circle")]
    x, y = ([float(one.get(key)) for one in dots] for key in ("cx", "cy"))
    assert x == sorted(x, reverse=True)
    # The better a score the higher, and that is a smaller y; the one far below is an arrow.
    assert y == sorted(y)
    assert len(dots) == 3
    whiskers = [one for one in tree.iter() if one.get("class") == "whisker"]
    assert all(float(one.get("y1")) < float(one.get("y2")) for one in whiskers)
    assert len(whiskers) == len(dots)


def test_the_chosen_form_and_what_is_allowed_are_told_without_overlap():
    drawn = draw(found())
    for words in (
        "as it was",
        "prune 0.3",
        "prune + quantize 8",
        "a loss of 0.005 roc_auc is allowed",
    ):
        assert words in drawn
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>(?:as it|prune)', drawn)
    assert len(places) == len(set(places)) == 3
    assert 'font-weight="bold">prune + quantize 8' in drawn


def test_forms_that_gain_much_more_than_may_be_lost_stand_apart():
    """A model from elsewhere is bettered by far; each such dot was drawn at the upper edge."""
    gains = [candidate("retrain", 2_000 + 100 * k, -0.1 * k, size=k) for k in range(1, 5)]
    tree = ElementTree.fromstring(alone(found(*gains)))
    heights = [float(one.get("cy")) for one in tree.iter() if one.tag.endswith("circle")]
    assert len(set(heights)) == len(heights) == 3 + len(gains)


def test_sizes_within_a_decade_have_ticks():
    near = [candidate("none", 8_100, 0.0), candidate("prune", 7_300, 0.002, chosen=True)]
    drawn = draw(Frontier(candidates=tuple(near), metric="roc_auc", max_loss=0.005, rows=100))
    assert len(set(re.findall(r">([\d.]+) kB</text>", drawn))) >= 3


def test_names_that_nothing_leaves_room_for_are_left_out():
    crowd = [candidate("x" * 30, 9_000 + k, 0.003 - k * 1e-6) for k in range(40)]
    drawn = draw(found(*crowd))
    assert drawn.count("<circle") == 43
    assert 1 <= len(re.findall(r"<text[^>]*>x{9}", drawn)) < 20


def crowded():
    """Forms of nearly one size and score, whose intervals cross the line of what is allowed."""
    near = [
        candidate("prune+quantize", 14_000 + 500 * k, 0.0005 - 5e-5 * k, **{"quantize.bits": k + 5})
        for k in range(4)
    ]
    return Frontier(
        candidates=(
            candidate("none", 100_000, 0.0),
            candidate("truncate", 60_000, 0.0002, keep=0.5),
            candidate("prune", 59_000, 0.0003, size=0.3),
            *near[:-1],
            replace(near[-1], chosen=True),
        ),
        metric="roc_auc",
        max_loss=0.001,
        rows=100,
    )


def test_where_forms_are_close_no_text_covers_a_dot_a_whisker_or_another():
    drawn = draw(crowded())
    letter = 7.2  # of the report's font, the widest in use
    texts = [
        (float(x) - (end == "end") * letter * len(text), float(y), text)
        for x, y, end, text in re.findall(
            r'<text(?: class="soft")? x="([\d.]+)" y="([\d.]+)"(?: text-anchor="(end)")?'
            r'(?: font-weight="bold")?>([a-z][^<]+)<',
            drawn,
        )
    ]
    told = [text for *_, text in texts]
    assert {"as it was", "truncate 0.5", "prune 0.3", "prune + quantize 8"} <= set(told)
    assert "a loss of 0.001 roc_auc is allowed" in told
    boxes = [(x, y - 9, x + letter * len(text), y + 2) for x, y, text in texts]
    bars = re.findall(
        r'class="whisker" x1="([\d.]+)" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)"', drawn
    )
    bars = [tuple(map(float, one)) for one in bars]
    taken = [(x, min(ends), x, max(ends)) for x, *ends in bars]
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    taken += [(x - 4, y - 4, x + 4, y + 4) for x, y in (map(float, one) for one in dots)]
    assert len(taken) == 14
    for place, box in enumerate(boxes):
        for other in [*boxes[:place], *taken]:
            apart = box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1]
            assert apart or other[3] <= box[1], (told[place], other)


def test_errors_fall_upwards_and_nothing_is_drawn_of_nothing():
    error = candidate("none", 10, 0.0, score=5.0)
    worse = candidate("prune", 5, -0.1, score=5.0)
    worse = Candidate(
        technique="prune",
        parameters={},
        score=5.1,
        loss=Score(metric="rmse", value=0.1, low=0.05, high=0.15),
        bytes=5,
        row_microseconds=1.0,
    )
    both = Frontier(candidates=(error, worse), metric="rmse", max_loss=0.1, rows=1)
    dots = [float(one) for one in re.findall(r'cy="([\d.]+)"', draw(both))]
    assert dots[0] < dots[1]
    assert draw(Frontier(candidates=(), metric="rmse", max_loss=0.1, rows=1)) == ""
    assert alone(Frontier(candidates=(), metric="rmse", max_loss=0.1, rows=1)) == ""


def test_those_that_no_other_beats_lose_less_the_larger_they_are():
    best = unbeaten(found().candidates)
    assert [one.bytes for one in best] == [9_000, 30_000, 100_000]


@pytest.mark.parametrize("evil", ["<script>", '"&'])
def test_names_are_escaped(evil):
    drawn = alone(found(candidate(evil, 2_000, 0.0001)))
    assert evil not in drawn
    ElementTree.fromstring(drawn)


@pytest.mark.parametrize(
    ("whole", "loss"), [(5.7e-13, 1e-14), (5.7e-10, 3e-13), (1e6, 0.001), (0.9, 0.01), (0.0, 0.0)]
)
def test_numbers_at_the_axis_tell_marks_apart(whole, loss):
    half = loss / 10
    forms = tuple(
        Candidate(
            technique=name, parameters={}, score=whole + lost, bytes=size, row_microseconds=1.0,
            loss=Score(metric="rmse", value=lost, low=lost - half, high=lost + half),
        )
        for name, size, lost in (("none", 9000, 0.0), ("prune", 3000, loss))
    )  # fmt: skip
    drawn = draw(Frontier(candidates=forms, metric="rmse", max_loss=loss, rows=100))
    marks = re.findall(r'class="grid".*?<text[^>]*text-anchor="end">([^<]+)</text>', drawn)
    assert len(marks) >= 3
    assert len(set(marks)) == len(marks)
