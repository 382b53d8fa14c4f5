from __future__ import annotations

import math

import numpy as np
import pytest

from raymm.errors import ConfigError
from raymm.search.one_by_one import OneByOne, name_of, rank
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Int


class Counting(OneByOne):
    """Tries 1, 2, 3 and so on, and remembers what is being tried."""

    name = "counting"

    def __init__(self, space):
        super().__init__(space, mode="minimize", generator=np.random.default_rng(0))
        self.awaited = []

    def _next(self):
        numbers = iter(range(1, 100))
        return self._seen.fresh(lambda: {"a": min(3, next(numbers))})

    def _await(self, suggestion):
        self.awaited.append(suggestion.id)


def test_ids_count_on_and_a_space_ends():
    searcher = Counting({"a": Int(1, 3)})
    first = searcher.suggest(2)
    assert [(s.id, s.config["a"], s.budget) for s in first] == [
        ("counting-0", 1, None),
        ("counting-1", 2, None),
    ]
    assert [s.id for s in searcher.suggest(5)] == ["counting-2"]
    assert searcher.suggest(1) == []
    assert searcher.awaited == ["counting-0", "counting-1", "counting-2"]


def test_what_others_try_and_tried_is_not_suggested():
    searcher = Counting({"a": Int(1, 3)})
    searcher.observe([Result("old", {"a": 1}, 0.5), Result("look", {"a": 2}, 0.5, final=False)])
    searcher.expect([Suggestion("theirs", {"a": 3})])
    assert [s.config["a"] for s in searcher.suggest(9)] == [2]
    assert searcher.awaited == ["theirs", "counting-0"]


def test_a_space_is_checked():
    with pytest.raises(ConfigError, match="nowhere"):
        Counting({"a": Int(1, 3, when={"nowhere": ("x",)})})


@pytest.mark.parametrize(("mode", "better"), [("minimize", 0.1), ("maximize", 0.9)])
def test_failures_rank_last_and_what_was_stopped_before_them(mode, better):
    results = [
        Result("failed", {}, None),
        Result("odd", {}, math.nan),
        Result("stopped", {}, better, budget=3),
        Result("longer", {}, 0.5, budget=9),
        Result("full", {}, 0.5),
        Result("best", {}, better),
    ]
    ranked = sorted(results, key=lambda result: rank(result, mode))
    assert [r.id for r in ranked] == ["best", "full", "longer", "stopped", "failed", "odd"]


def test_equal_ids_of_two_runs_are_two_trials():
    assert name_of(Result("t", {"a": 1}, 0.0)) != name_of(Result("t", {"a": 2}, 0.0))
    assert name_of(Result("t", {"a": 1}, 0.0)) == name_of(Result("t", {"a": 1}, 0.7))
