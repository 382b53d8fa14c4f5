"""Several objectives by a searcher for one."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import Categorical, Float
from raymm.errors import ConfigError
from raymm.plugins import searchers
from raymm.search.goals import Goals
from raymm.search.parego import Parego
from raymm.search.searcher import Result
from raymm.testing.searchers import check_searcher

SPACE = {f"x{axis}": Float(0, 1) for axis in range(3)}
TWO = Goals(objectives={"a": "min", "b": "min"})


def make(goals=TWO, algorithm="tpe", seed=0, space=SPACE, **more):
    generator = np.random.default_rng(seed)
    return Parego(
        space, mode="minimize", generator=generator, goals=goals, algorithm=algorithm, **more
    )


def values(config):
    x = np.array(list(config.values()))
    return {"a": float(((x - 0.2) ** 2).sum()), "b": float(((x - 0.6) ** 2).sum())}


@pytest.mark.slow
def test_it_keeps_every_law_of_a_searcher():
    # One objective, so that results without further numbers are told apart; random has no cost.
    def one(space, *, mode, generator):
        goals = Goals(objectives={"value": mode})
        return Parego(space, mode=mode, generator=generator, goals=goals, algorithm="random")

    check_searcher(one, examples=2)


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["tchebycheff", "rank"])
def test_suggestions_gather_between_the_two_optima(scoring):
    # Random points lie 0.37 from the segment of the optima in the mean, as 20,000 draws tell.
    searcher = make(seed=1, scoring=scoring)
    tried = []
    for _ in range(36):
        (suggestion,) = searcher.suggest(1)
        tried.append(np.array(list(suggestion.config.values())))
        searcher.observe(
            [Result(suggestion.id, suggestion.config, None, values=values(suggestion.config))]
        )
    line = np.linspace(0.2, 0.6, 41)[:, None] * np.ones(3)
    off = [np.sqrt(((line - x) ** 2).sum(axis=1)).min() for x in tried[20:]]
    assert np.mean(off) < 0.3


def test_failures_and_looks_are_taken():
    searcher = make()
    made = searcher.suggest(4)
    searcher.observe([Result(made[0].id, made[0].config, None)])
    searcher.observe([Result(made[1].id, made[1].config, 1.0, values={"a": 1.0})])
    searcher.observe([Result(made[2].id, made[2].config, 1.0, final=False)])
    searcher.observe(
        [Result(made[3].id, made[3].config, 1.0, values={"a": float("nan"), "b": 1.0})]
    )
    assert len(searcher.suggest(2)) == 2


def test_a_finite_space_is_tried_whole_and_then_ends():
    searcher = make(algorithm="random", space={"c": Categorical(("x", "y", "z"))})
    made = searcher.suggest(5)
    assert {s.config["c"] for s in made} == {"x", "y", "z"}


def test_algorithms_that_plan_budgets_are_refused():
    planning = [name for name in searchers.names() if searchers.get(name).multi_fidelity]
    for name in planning:
        with pytest.raises(ConfigError, match=f"{name} plans budgets"):
            make(algorithm=name)
    with pytest.raises(ConfigError, match="not known"):
        make(algorithm="tqe")
