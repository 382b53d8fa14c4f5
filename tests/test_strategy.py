"""What a function's search is made of follows from its settings, and nothing is dropped unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from raymm import strategy
from raymm.artifacts import Float
from raymm.config import parse
from raymm.errors import ConfigError
from raymm.search.goals import Goals
from raymm.search.halving import Halving
from raymm.search.median import Median
from raymm.search.parego import Parego
from raymm.search.portfolio import Portfolio
from raymm.search.promotion import Promoting
from raymm.search.random import Random
from raymm.search.several import SeveralHalving
from raymm.search.warm import Warm

SPACE = {"x": Float(-1, 1)}
GOALS = Goals(objectives={"near": "min", "far": "min"})


def _config(**search):
    given = {f"search.{name}": value for name, value in search.items()}
    return parse({"name": "f", "data": {"source": "-", "target": "-"}}, given)


def _searcher(goals=None, whole=False, **search):
    return strategy.searcher(SPACE, "minimize", _config(**search), goals=goals, whole=whole)


def _scheduler(goals=None, **search):
    return strategy.scheduler(_config(**search).search, "minimize", goals=goals)


def test_budgets_decide_what_is_made() -> None:
    both = {"min_budget": 1, "max_budget": 9}
    assert isinstance(_searcher(algorithm="random"), Random)
    assert isinstance(_searcher(algorithm="random", max_budget=9), Random)
    assert isinstance(_searcher(algorithm="random", **both), Promoting)
    # what stops trials as they report takes the place of what promotes them
    assert isinstance(_searcher(algorithm="random", scheduler="median", **both), Random)
    assert _searcher(algorithm="bohb", **both).suggest(1)[0].budget == 1


@pytest.mark.parametrize(
    ("search", "whole", "words"),
    [
        ({"min_budget": 2}, False, "max_budget is missing"),
        ({"algorithm": "bohb"}, False, "needs min_budget and max_budget"),
        ({"algorithm": "bohb", "min_budget": 1, "max_budget": 3}, True, "fitted whole"),
        (
            {"algorithm": "bohb", "min_budget": 1, "max_budget": 3, "scheduler": "median"},
            False,
            "nothing to do",
        ),
    ],
)
def test_what_does_not_fit_is_refused(search, whole, words) -> None:
    with pytest.raises(ConfigError, match=words):
        _searcher(whole=whole, **search)


def test_schedulers_by_name() -> None:
    assert _scheduler() is None
    assert _scheduler(min_budget=2, max_budget=9) is None  # the searcher promotes
    median, asha = _scheduler(scheduler="median", min_budget=2, max_budget=9), None
    assert isinstance(median, Median)
    assert median.minimum == 2
    asha = _scheduler(scheduler="asha")
    assert isinstance(asha, Halving)
    assert asha.minimum == 1


def test_several_objectives_stop_early_where_budgets_are_given() -> None:
    assert isinstance(_searcher(GOALS, min_budget=2, max_budget=9), Parego)
    assert isinstance(_scheduler(GOALS, min_budget=2, max_budget=9), SeveralHalving)
    assert isinstance(_scheduler(GOALS, scheduler="asha"), SeveralHalving)
    assert _scheduler(GOALS) is None
    assert _scheduler(GOALS, scheduler="none", min_budget=2, max_budget=9) is None
    with pytest.raises(ConfigError, match="one objective"):
        _scheduler(GOALS, scheduler="median")


def test_a_warm_start_is_told_and_tried_first() -> None:
    said = []
    made = Random(SPACE, mode="minimize", generator=np.random.default_rng(0))
    assert strategy.warmed(made, Warm(), said.append) is made
    assert not said
    start = Warm(runs=("f-1",), configs=({"x": 0.5},))
    first = strategy.warmed(made, start, said.append)
    assert isinstance(first, Portfolio)
    assert first.suggest(1)[0].config == {"x": 0.5}
    assert "f-1" in said[0].message
    planning = _searcher(algorithm="bohb", min_budget=1, max_budget=9)
    assert strategy.warmed(planning, start, said.append).suggest(1)[0].config == {"x": 0.5}
