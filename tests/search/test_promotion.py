import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import ConfigError
from raymm.search import Float, Int
from raymm.search.asha import Ladder
from raymm.search.hyperband import Brackets
from raymm.search.promotion import Promoting, rungs
from raymm.search.random import Random
from raymm.search.searcher import Result

SPACE = {"x": Float(0, 1)}
BUDGETS = (1, 3, 9)


class Listens(Random):
    def observe(self, results) -> None:
        self.told = [*getattr(self, "told", []), *results]
        super().observe(results)


def _search(space=SPACE, mode="minimize") -> Promoting:
    inner = Listens(space, mode=mode, generator=np.random.default_rng(0))
    return Promoting(inner, Ladder(BUDGETS), BUDGETS)


@given(low=st.floats(0.01, 1e3), factor=st.floats(1, 1e4))
def test_rungs_lead_from_one_end_to_the_other_in_even_steps_of_about_three(low, factor) -> None:
    high = low * factor
    made = rungs(low, high)
    assert made[-1] == high
    assert made[0] == (low if len(made) > 1 else high)
    steps = [math.log(b / a, 3) for a, b in itertools.pairwise(made)]
    for step in steps:
        # the nearest whole number of steps is off by at most a half, spread over all of them
        assert abs(step - 1) <= 0.5 / len(steps) + 1e-6


@given(low=st.integers(1, 50), factor=st.integers(1, 200))
def test_whole_ends_give_whole_and_rising_rungs(low, factor) -> None:
    made = rungs(low, low * factor)
    assert all(type(at) is int for at in made)
    assert all(a < b for a, b in itertools.pairwise(made))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0, 1, "min_budget"),
        (1, math.inf, "max_budget"),
        (True, 2, "min_budget"),
        (3, 2, "Swap"),
        (1e-320, 1, "too small"),
        (1, 10**400, "max_budget"),
    ],
)
def test_errors_name_the_rule(low, high, message) -> None:
    with pytest.raises(ConfigError, match=message):
        rungs(low, high)


def test_the_inner_searcher_hears_every_budget_and_full_training_as_none() -> None:
    search = _search()
    for _ in range(60):
        (asked,) = search.suggest(1)
        search.observe([Result(asked.id, asked.config, asked.config["x"], asked.budget)])
    told = search._inner.told
    assert {result.budget for result in told} == {1, 3, None}
    assert len(told) == 60


def test_looks_strangers_and_repeated_results_climb_nothing() -> None:
    search = _search()
    asked = search.suggest(3)
    for n, s in enumerate(asked):
        search.observe([Result(s.id, s.config, -9.0, 1, final=False)])
        search.observe([Result(f"old-{n}", {"x": n / 10}, -5.0, 1)])
    assert search.suggest(1)[0].budget == 1
    for n, s in enumerate(asked):
        search.observe([Result(s.id, s.config, float(n), 1)])
    assert [s.id for s in search.suggest(1)] == [asked[0].id]
    # one result too many for the second, better than all, is not counted twice
    search.observe([Result(asked[1].id, asked[1].config, -1.0, 1)])
    assert search.suggest(1)[0].budget == 1


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_failures_and_what_was_stopped_never_go_on(value) -> None:
    search = _search()
    asked = search.suggest(6)
    search.observe([Result(asked[0].id, asked[0].config, value, 1)])
    search.observe([Result(asked[1].id, asked[1].config, -1.0, 0.5)])
    for n, s in enumerate(asked[2:]):
        search.observe([Result(s.id, s.config, float(n), 1)])
    assert [s.id for s in search.suggest(3) if s.budget == 3] == [asked[2].id]


def test_an_exhausted_space_is_trained_in_full_and_then_ends() -> None:
    search = _search({"n": Int(1, 4)})
    reached = {}
    for _ in range(12):
        (asked,) = search.suggest(1)
        reached[asked.config["n"]] = asked.budget
        search.observe([Result(asked.id, asked.config, asked.config["n"], asked.budget)])
    assert reached == dict.fromkeys((1, 2, 3, 4), 9)
    assert search.suggest(1) == []


@pytest.mark.parametrize("schedule", [Ladder, Brackets])
def test_rungs_that_a_trial_passed_unasked_are_not_asked_for(schedule) -> None:
    inner = Listens(SPACE, mode="minimize", generator=np.random.default_rng(0))
    search = Promoting(inner, schedule(BUDGETS), BUDGETS)
    asked: dict[str, float] = {}
    spent: dict[str, float] = {}
    for turn in range(60):
        (one,) = search.suggest(1)
        assert one.budget > spent.get(one.id, 0.0)
        assert one.budget > asked.get(one.id, 0.0)
        asked[one.id] = one.budget
        spent[one.id] = min(9.0, one.budget * (5 if turn % 2 else 1))
        search.observe([Result(one.id, one.config, one.config["x"], spent[one.id])])

    told = {result.budget for result in inner.told}
    assert told == {1, 3, None}
    assert max(asked.values()) == 9


def test_a_trial_that_passed_a_rung_climbs_from_the_one_it_reached() -> None:
    search = _search()
    first, *rest = search.suggest(3)
    search.observe([Result(first.id, first.config, 0.0, 4.0)])
    search.observe([Result(one.id, one.config, 1.0, 1.0) for one in rest])
    assert search.suggest(1)[0].id != first.id  # alone in the middle rung
    for result in search.suggest(9):
        search.observe([Result(result.id, result.config, 2.0, 4.0)])
    again = {one.id: one.budget for one in search.suggest(9)}
    assert again[first.id] == 9
