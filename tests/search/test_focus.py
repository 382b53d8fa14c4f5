"""The families that lead get the trials; the others are looked at, and none is forgotten."""

from collections import Counter

import numpy as np
import pytest

from raymm import plugins
from raymm.artifacts import Categorical, Float
from raymm.search.focus import REST, TRIES, Focus
from raymm.search.random import Random
from raymm.search.searcher import Result, Searcher, Suggestion

SPACE = {
    "family": Categorical(("good", "near", "bad")),
    "x": Float(0.0, 1.0),
}
HEIGHT = {"good": 1.0, "near": 0.95, "bad": 0.0}


def value(config, mode):
    found = HEIGHT[config["family"]] + 0.2 * config["x"]
    return found if mode == "maximize" else -found


def search(mode="maximize", trials=150, kind=Random, height=value):
    made = Focus(kind(SPACE, mode=mode, generator=np.random.default_rng(0)))
    asked = []
    for _ in range(trials):
        (one,) = made.suggest(1)
        asked.append(one)
        made.observe([Result(one.id, one.config, height(one.config, mode))])
    return made, asked


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["maximize", "minimize"])
@pytest.mark.parametrize("kind", [Random, plugins.searchers.get("auto")])
def test_a_family_that_is_behind_is_tried_now_and_then(mode, kind):
    made, asked = search(mode, trials=60 if kind is not Random else 150, kind=kind)
    counts = Counter(one.config["family"] for one in asked)
    assert made.behind("bad")
    assert not made.behind("good")
    assert counts["bad"] * 5 < counts["good"] + counts["near"]
    if kind is Random:
        # It has been tried before it was known to be behind; then one trial in REST is of it.
        assert 150 / REST <= counts["bad"] <= 150 / REST + 12
        assert counts["near"] > 20


def test_nothing_is_passed_over_before_enough_is_known():
    made = Focus(Random(SPACE, mode="maximize", generator=np.random.default_rng(0)))
    assert not made.behind("bad")
    made.observe([Result("a", {"family": "bad", "x": 0.1}, 0.1)])
    made.observe([Result(f"g{i}", {"family": "good", "x": 0.1}, 1.0) for i in range(9)])
    assert not made.behind("bad")
    made.observe([Result("b", {"family": "bad", "x": 0.2}, 2.0)])
    assert not made.behind("bad")


def test_a_family_that_only_fails_is_behind_and_first_looks_do_not_count():
    made = Focus(Random(SPACE, mode="maximize", generator=np.random.default_rng(0)))
    made.observe([Result(f"g{i}", {"family": "good", "x": 0.1}, 1.0) for i in range(9)])
    made.observe([Result("f", {"family": "near", "x": 0.1}, 0.0, 3.0, False)] * 5)
    assert not made.behind("near")
    made.observe([Result(f"b{i}", {"family": "bad", "x": 0.1}, None) for i in range(2)])
    assert made.behind("bad")


class Stubborn(Searcher):
    """Suggests one family alone."""

    told = 0

    def suggest(self, count):
        return [Suggestion(str(self.told), {"family": "bad", "x": 0.5})][:count]

    def observe(self, results):
        self.told += len(results)


def test_where_a_searcher_insists_a_leading_family_is_drawn():
    inner = Stubborn(SPACE, mode="maximize", generator=np.random.default_rng(0))
    made = Focus(inner)
    made.observe([Result(f"g{i}", {"family": "good", "x": 0.1}, 1.0) for i in range(9)])
    made.observe([Result(f"b{i}", {"family": "bad", "x": 0.1}, 0.0) for i in range(2)])
    before = inner.told
    asked = made.suggest(2 * REST)
    families = Counter(one.config["family"] for one in asked)
    assert families["bad"] <= 2
    assert families["good"] > families["bad"]
    assert len({one.id for one in asked}) == len(asked)
    assert inner.told - before <= 2 * REST * TRIES


def test_families_that_are_all_behind_are_heard_all_the_same():
    inner = Stubborn({"family": Categorical(("bad",))}, mode="maximize",
                     generator=np.random.default_rng(0))  # fmt: skip
    made = Focus(inner)
    made.observe([Result(f"g{i}", {"family": "good"}, 1.0) for i in range(9)])
    made.observe([Result(f"b{i}", {"family": "bad"}, 0.0) for i in range(2)])
    assert [one.config["family"] for one in made.suggest(3)] == ["bad"] * 3


@pytest.mark.slow
def test_replay_goes_the_same_way():
    _, first = search(kind=plugins.searchers.get("auto"), trials=40)
    _, again = search(kind=plugins.searchers.get("auto"), trials=40)
    assert [(one.id, one.config) for one in first] == [(one.id, one.config) for one in again]


def test_an_exhausted_searcher_ends_it():
    small = {"family": Categorical(("good", "bad"))}
    made = Focus(plugins.searchers.get("grid")(
        small, mode="maximize", generator=np.random.default_rng(0)
    ))  # fmt: skip
    assert len(made.suggest(9)) == 2
    assert made.suggest(1) == []
