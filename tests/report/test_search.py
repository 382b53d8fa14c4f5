"""Figures of a search."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Categorical, Float, Importance, Int, Trial, Trials
from raymm.report.html import ReportInputs, render
from raymm.report.search import DOTS, SLICE_DOTS, Searched, draw, limit, sample

SPACE = {
    "rate": Float(1e-4, 1, log=True),
    "layers": Int(1, 6),
    "solver": Categorical(("adam", "sgd")),
    "momentum": Float(0, 1, when={"solver": ["sgd"]}),
    "fixed": Int(3, 3),
}


def made(count, *, failing=0.1, direction="minimize"):
    generator = np.random.default_rng(0)
    trials = []
    for number in range(count):
        config = {
            "rate": float(10 ** generator.uniform(-4, 0)),
            "layers": int(generator.integers(1, 7)),
            "solver": ("adam", "sgd")[number % 2],
            "fixed": 3,
        }
        config |= {"momentum": float(generator.random())} if number % 2 else {}
        failed = generator.random() < failing
        value = None if failed else float(generator.random() + 0.1)
        trials.append(
            Trial(
                id=str(number),
                number=number,
                config=config,
                status="failed" if failed else "stopped" if number % 3 else "finished",
                value=value,
                rungs=() if failed else tuple((n, value * (1 + 1 / n)) for n in range(1, 20)),
                metrics={} if failed else {"loss": value, "ms": 1 / value},
            )
        )
    objectives = {"loss": direction, "ms": "minimize"}
    return Trials(trials=tuple(trials), direction=direction, metric="loss", objectives=objectives)


def searched(count, **how):
    trials = made(count, **how)
    parameters = [Importance(column="layers", value=0.5, low=0.4, high=0.6)]
    front = frozenset(t.number for t in trials.leaderboard[:3])
    return Searched(trials=trials, space=SPACE, parameters=parameters, front=front)


def elements(drawing, tag):
    return list(ET.fromstring(drawing.svg).iter(tag))


def test_every_kind_is_drawn():
    found = draw(searched(60))
    counts = {kind: len(drawn) for kind, drawn in found.items()}
    assert counts == {
        "history": 1,
        "front": 1,
        "parameters": 1,
        "parallel": 1,
        "slices": 4,  # what cannot vary has no slice
        "curves": 1,
    }
    assert "loss against layers" in found["slices"][0].svg, "the most important comes first"


def test_failures_are_crosses_and_every_value_is_a_dot():
    one = searched(60)
    history = draw(one)["history"][0]
    failed = sum(t.value is None for t in one.trials.trials)
    assert failed > 0
    assert history.svg.count("l6 6m0-6l-6 6") == failed
    assert len(elements(history, "circle")) == 60 - failed
    assert f"Crosses: {failed} trials that failed" in history.caption


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_line_of_the_best_never_gets_worse(direction):
    history = draw(searched(80, direction=direction))["history"][0]
    (line,) = elements(history, "polyline")
    heights = [float(p.split(",")[1]) for p in line.get("points").split()]
    # Down the page is greater in pixels.
    assert heights == sorted(heights, reverse=direction == "maximize")


def test_nothing_is_drawn_of_nothing():
    for trials in (made(0), made(5, failing=1.1)):
        found = draw(Searched(trials=trials, space=SPACE))
        assert not any(found.values())


@pytest.mark.long
def test_a_large_run_makes_a_small_report():
    one = searched(10_000)
    page = render(
        ReportInputs(
            name="large",
            trials=one.trials,
            space=one.space,
            parameters=one.parameters,
            front=one.front,
        )
    )
    assert len(page.encode()) < 1_000_000
    found = draw(one)
    assert len(elements(found["history"][0], "circle")) <= DOTS
    assert all(len(elements(drawing, "circle")) <= SLICE_DOTS for drawing in found["slices"])
    assert "1,200 of 8," in found["history"][0].caption


@given(st.integers(0, 60), st.integers(0, 40), st.sets(st.integers(0, 59), max_size=9))
def test_samples_keep_what_must_be_kept(count, most, keep):
    trials = made(count, failing=0).trials
    found = sample(trials, most, keep)
    numbers = [trial.number for trial in found]
    assert numbers == sorted(set(numbers))
    wanted = {number for number in keep if number < count}
    assert wanted <= set(numbers)
    assert len(found) == max(len(wanted), min(count, most))


def test_a_trial_that_diverged_does_not_flatten_the_others():
    values = [*np.linspace(0, 1, 50).tolist(), 1e9]
    assert limit(values, "minimize") < 4
    assert limit([-v for v in values], "maximize") > -4
    assert limit(values[:50], "minimize") == 1.0
    assert limit([1.0, 1.0, 5.0], "minimize") <= 13
