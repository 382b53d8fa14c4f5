import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.search import evolution
from raymm.search import space as spaces
from raymm.search.evolution import Evolution, reflected
from raymm.search.one_by_one import rank
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

OPERATIONS = ("none", "skip", "conv1", "conv3", "pool")
CELL = {f"edge{n}": Categorical(OPERATIONS) for n in range(6)}
NET = {
    "layers": Categorical((1, 2, 3)),
    "width": Int(8, 512, log=True),
    "second": Int(8, 512, log=True, when={"layers": (2, 3)}),
    "third": Int(8, 512, log=True, when={"layers": (3,)}),
    "solver": Categorical(("adam", "sgd")),
    "momentum": Float(0, 1, when={"solver": ("sgd",)}),
    "rate": Float(1e-5, 1.0, log=True),
}


def cell(config):
    """Operations have worths of their own, and two edges must agree: smallest at 0."""
    codes = [OPERATIONS.index(config[f"edge{n}"]) for n in range(6)]
    return sum((code - n % 5) ** 2 for n, code in enumerate(codes)) + 3 * (codes[0] != codes[5])


def net(config):
    """Two layers of 64 and 32 with sgd, momentum 0.9 and a rate of 0.01: 0."""
    loss = abs(config["layers"] - 2) + abs(np.log10(config["rate"]) + 2)
    loss += abs(np.log2(config["width"] / 64)) / 2 + abs(np.log2(config.get("second", 4) / 32)) / 2
    return loss + (abs(config["momentum"] - 0.9) if "momentum" in config else 1.0)


def _make(space, seed=0, kind=Evolution):
    return kind(space, mode="minimize", generator=np.random.default_rng(seed))


def _run(searcher, count, function):
    results = []
    for _ in range(count):
        (made,) = searcher.suggest(1)
        results.append(Result(made.id, made.config, function(made.config)))
        searcher.observe(results[-1:])
    return results


@pytest.mark.slow
def test_it_keeps_the_laws_of_searchers() -> None:
    check_searcher(Evolution)


@pytest.mark.slow
@pytest.mark.parametrize(("space", "function"), [(CELL, cell), (NET, net)])
def test_it_beats_random_search(space, function) -> None:
    ours, chance = (
        np.median([min(r.value for r in _run(_make(space, s, k), 120, function)) for s in range(9)])
        for k in (Evolution, Random)
    )
    assert ours < 0.6 * chance


def test_once_begun_every_suggestion_is_a_mutation_of_a_member_of_the_population() -> None:
    searcher = _make(CELL)
    results = _run(searcher, 90, cell)
    apart = []
    for number in range(evolution.POPULATION, 90):
        child, members = results[number].config, results[number - evolution.POPULATION : number]
        apart.append(min(sum(child[n] != m.config[n] for n in CELL) for m in members))
    assert min(apart) >= 1
    # a mutation is followed by another once in ten times, and an edge may be changed twice
    assert np.mean(np.array(apart) == 1) > 0.75


def test_members_die_of_age_however_good_they_are() -> None:
    searcher = _make(CELL)
    best = dict.fromkeys(CELL, "none")
    searcher.observe([Result("old", best, -1e9)])
    for number in range(evolution.POPULATION):
        config = dict.fromkeys(CELL, "pool") | {f"edge{number % 6}": OPERATIONS[number // 6]}
        searcher.observe([Result(f"new-{number}", config, float(number))])
    for made in searcher.suggest(20):
        assert sum(made.config[name] == "pool" for name in CELL) >= 2


def test_numbers_move_near_by_and_whole_numbers_always_move() -> None:
    searcher = _make(NET)
    places = [spaces.place(NET["rate"], searcher._changed(NET["rate"], 1e-3)) for _ in range(400)]
    at = spaces.place(NET["rate"], 1e-3)
    # the mean distance is that of a normal, 0.8 deviations of 0.05 to 0.3, but for the mirrors
    assert 0.05 < np.mean(np.abs(np.array(places) - at)) < 0.2
    assert all(searcher._changed(Int(1, 2), 1) == 2 for _ in range(50))
    assert all(searcher._changed(Int(1, 1000), 7) != 7 for _ in range(200))


def test_what_becomes_active_is_drawn_and_what_does_not_stay_is_dropped() -> None:
    searcher = _make(NET)
    shallow = {"layers": 1, "width": 64, "solver": "adam", "rate": 0.1}
    for _ in range(50):
        made = searcher._mutated(shallow)
        assert spaces.contains(NET, made)
    deep = searcher._completed({**shallow, "layers": 3})
    assert {"second", "third"} <= set(deep)
    assert searcher._completed({**deep, "layers": 2}).keys() == deep.keys() - {"third"}


def test_results_stopped_early_rank_below_those_trained_in_full_and_failures_last() -> None:
    values = [("a", 0.9, None), ("c", 0.2, 9.0), ("b", 0.1, 3.0), ("d", None, None)]
    results = [Result(name, {}, value, budget) for name, value, budget in values]
    odd = Result("e", {}, float("nan"), budget=99.0)
    ranked = sorted([odd, *results[::-1]], key=lambda r: rank(r, "minimize"))
    assert [r.id for r in ranked][:3] == ["a", "c", "b"]
    assert rank(results[0], "maximize")[2] == -0.9


@given(st.floats(-5, 6))
def test_mirrors_keep_coordinates_inside_and_where_they_are(at) -> None:
    assert 0 <= reflected(at) <= 1
    if 0 <= at <= 1:
        # 2 - (2 - x) rounds once at a size of 2
        assert reflected(at) == pytest.approx(at, abs=1e-15)


def test_what_others_try_is_not_suggested_and_a_finite_space_ends() -> None:
    searcher = _make({"n": Int(1, 40), "only": Categorical(("x",)), "fixed": Float(2, 2)})
    searcher.expect([Suggestion("other", {"n": 2, "only": "x", "fixed": 2.0})])
    found = [r.config["n"] for r in _run(searcher, 39, lambda c: float(c["n"]))]
    assert sorted(found) == [1, *range(3, 41)]
    assert searcher.suggest(1) == []


def test_a_trial_that_went_on_is_a_member_once() -> None:
    searcher = _make(CELL)
    config = dict.fromkeys(CELL, "skip")
    searcher.observe([Result("a", config, 1.0, budget=3.0), Result("a", config, 0.5, budget=9.0)])
    assert [(r.value, r.budget) for r in searcher._population.values()] == [(0.5, 9.0)]


def test_a_range_without_a_number_between_its_ends_is_not_left():
    space = {"x": Float(1.0, 1.0000000000000002), "y": Float(0.0, 1.0)}
    searcher = Evolution(space, mode="minimize", generator=np.random.default_rng(0))
    for _ in range(60):
        (made,) = searcher.suggest(1)
        assert 1.0 <= made.config["x"] <= 1.0000000000000002
        searcher.observe([Result(made.id, made.config, made.config["y"])])
