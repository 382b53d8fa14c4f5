"""Asking and telling with several objectives, and halving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Float
from raymm.errors import ConfigError
from raymm.search import pareto
from raymm.search.goals import Goals
from raymm.search.halving import Halving
from raymm.search.several import Several, SeveralHalving

SPACE = {"x": Float(0, 5), "y": Float(0, 3)}
BINH_KORN = {"c0": (None, 25.0), "c1": (7.7, None)}


def binh_korn(x, y):
    return {
        "f0": 4 * x**2 + 4 * y**2,
        "f1": (x - 5) ** 2 + (y - 5) ** 2,
        "c0": (x - 5) ** 2 + y**2,
        "c1": (x - 8) ** 2 + (y + 3) ** 2,
    }


def make(algorithm="random", seed=0):
    return Several(
        SPACE,
        objectives={"f0": "min", "f1": "min"},
        constraints=BINH_KORN,
        algorithm=algorithm,
        seed=seed,
    )


def filled(search, count):
    for _ in range(count):
        for suggestion in search.suggest(1):
            search.observe(suggestion.id, binh_korn(**suggestion.config))
    return search


def test_the_front_is_allowed_whole_and_undominated():
    search = filled(make(), 30)
    found = search.solutions()
    assert 0 < len(found) < 30
    losses = np.array([[one.values["f0"], one.values["f1"]] for one in found])
    expected = sorted(map(tuple, losses[pareto.front(losses)].tolist()))
    assert [(one.values["f0"], one.values["f1"]) for one in search.front()] == expected
    volume = search.hypervolume({"f0": 140, "f1": 50})
    assert volume == pytest.approx(pareto.hypervolume(losses, [140, 50]))
    for one in found:
        assert one.values["c0"] <= 25
        assert one.values["c1"] >= 7.7


def test_higher_is_better_where_the_mode_says_so():
    search = Several(SPACE, objectives={"up": "max", "down": "min"}, algorithm="random")
    for (suggestion,), told in zip(
        iter(lambda: search.suggest(1), None), [(1, 1), (2, 1), (0, 0)], strict=False
    ):
        search.observe(suggestion.id, dict(zip(("up", "down"), told, strict=True)))
        if len(search.solutions()) == 3:
            break
    assert [dict(one.values) for one in search.front()] == [
        {"up": 2, "down": 1},
        {"up": 0, "down": 0},
    ]
    # (2 - -1) * (3 - 1) and, beside it, (0 - -1) * (1 - 0).
    assert search.hypervolume({"up": -1, "down": 3}) == pytest.approx(7)


def test_the_same_seed_gives_the_same_search():
    first, second = (filled(make(seed=3), 8) for _ in range(2))
    assert [one.config for one in first.solutions()] == [one.config for one in second.solutions()]


def test_failures_and_early_ends_are_no_solutions():
    search = make()
    a, b, c, d = search.suggest(4)
    search.observe(a.id, None)
    search.observe(b.id, {"f0": float("nan"), "f1": 0, "c0": 0, "c1": 9})
    search.observe(c.id, binh_korn(1, 1), budget=3)
    search.observe(d.id, binh_korn(1, 1), final=False)
    assert search.solutions() == []
    assert search.hypervolume({"f0": 140, "f1": 50}) == 0.0
    search.observe(d.id, binh_korn(1, 1))
    assert len(search.front()) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, i: s.observe("nobody", binh_korn(1, 1)),
        lambda s, i: s.observe(i, {"f0": 1.0}),
        lambda s, i: s.observe(i, {**binh_korn(1, 1), "f0": "much"}),
        lambda s, i: s.observe(i, 3.0),
        lambda s, i: s.suggest(-1),
        lambda s, i: s.suggest(True),
        lambda s, i: s.hypervolume({"f0": 1.0}),
        lambda s, i: Several(SPACE, objectives={"a": "min"}, seed=-1),
        lambda s, i: Several([1], objectives={"a": "min"}),
        lambda s, i: Several(SPACE, objectives={"a": "sideways"}),
    ],
)
def test_what_breaks_a_rule_is_refused(wrong):
    search = make()
    (suggestion,) = search.suggest(1)
    with pytest.raises(ConfigError):
        wrong(search, suggestion.id)


def test_values_are_told_once():
    search = make()
    (suggestion,) = search.suggest(1)
    search.observe(suggestion.id, None)
    with pytest.raises(ConfigError, match="already"):
        search.observe(suggestion.id, None)


@pytest.mark.slow
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.sampled_from(["min", "max"]))
def test_with_one_objective_it_halves_as_halving_does(values, mode):
    several = SeveralHalving(Goals(objectives={"a": mode}), minimum=1)
    one = Halving("minimize" if mode == "min" else "maximize", minimum=1)
    for number, value in enumerate(values):
        name = str(number)
        assert several.decide(name, 1, {"a": value}) == one.decide(name, 1, value)


def test_halving_keeps_what_is_not_dominated():
    halving = SeveralHalving(Goals(objectives={"a": "min", "b": "min"}), minimum=3)
    for number in range(9):
        halving.decide(f"bad{number}", 3, {"a": 5.0 + number, "b": 5.0 + number})
    assert halving.decide("left", 3, {"a": 0.0, "b": 9.0})
    assert halving.decide("right", 3, {"a": 9.0, "b": 0.0})
    assert not halving.decide("worse", 3, {"a": 20.0, "b": 20.0})
    assert halving.decide("early", 2, {"a": 20.0, "b": 20.0})
    assert not halving.decide("broken", 3, {"a": float("nan"), "b": 0.0})
    assert halving.decide("worse", 4, {"a": 20.0, "b": 20.0}), "judged once a rung"


def test_halving_lets_go_what_breaks_a_constraint():
    goals = Goals(objectives={"a": "min"}, constraints={"ms": (None, 5.0)})
    halving = SeveralHalving(goals, minimum=1)
    for number in range(6):
        halving.decide(str(number), 1, {"a": 1.0 + number, "ms": 1.0})
    assert not halving.decide("slow", 1, {"a": 0.0, "ms": 9.0})
    assert halving.decide("quick", 1, {"a": 0.5, "ms": 4.0})
