import time

import numpy as np
import pytest

from raymm.search import auto
from raymm.search import space as spaces
from raymm.search.auto import AFFORDED, SMALL, START, Auto
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

BOX = {"a": Float(-5, 5), "b": Float(-5, 5)}
CONDITIONAL = {
    "kind": Categorical(("p", "q")),
    "p": Float(0, 1, when={"kind": ("p",)}),
    "q": Categorical((4, 2, 1), when={"kind": ("q",)}),
}


def _make(space=BOX, seed=0, mode="minimize", kind=Auto):
    return kind(space, mode=mode, generator=np.random.default_rng(seed))


def _sphere(config) -> float:
    return (config["a"] - 1) ** 2 + (config["b"] + 2) ** 2


def _kinds(config) -> float:
    return abs(config["p"] - 0.7) if "p" in config else 0.5 + config["q"]


def _run(searcher, count, function=_sphere, at_once=1):
    results = []
    while len(results) < count:
        made = searcher.suggest(at_once)
        results += [Result(s.id, s.config, function(s.config)) for s in made]
        searcher.observe(results[-len(made) :])
    return results


def _share(results, name) -> float:
    return sum(r.id.startswith(name) for r in results) / len(results)


@pytest.mark.slow
def test_laws() -> None:
    check_searcher(Auto, examples=1)


def test_a_small_space_is_tried_whole_and_a_large_one_modelled() -> None:
    small = _make({"n": Int(1, SMALL)})
    assert {s.id.split("-")[0] for s in small.suggest(SMALL + 5)} == {"grid"}
    large = _run(_make({"n": Int(1, SMALL + 1)}), SMALL + 1, lambda config: config["n"])
    assert sorted(r.config["n"] for r in large) == list(range(1, SMALL + 2))


@pytest.mark.parametrize(
    ("space", "names"),
    [
        (BOX, ("gp", "parzen", "cmaes")),
        ({**BOX, "c": Categorical("xyz")}, ("gp", "parzen", "cmaes")),
        (CONDITIONAL, ("gp", "parzen", "evolution")),
        ({"a": Categorical("vwxyz"), "b": Categorical("vwxyz"), "c": Int(1, 9)}, None),
    ],
)
def test_the_space_decides_which_algorithms_take_turns(space, names) -> None:
    assert tuple(_make(space)._members) == (names or ("gp", "parzen", "evolution"))


@pytest.mark.slow
def test_every_algorithm_takes_turns_and_learns_from_all_results() -> None:
    results = _run(_make(), 120)
    assert {r.id.split("-")[0] for r in results[:100]} == {"gp", "parzen"}
    assert {r.id.split("-")[0] for r in results} == {"gp", "parzen", "cmaes"}
    assert all(r.id.startswith("gp") for r in results[:START])
    assert len({r.id for r in results}) == len(results)
    assert len({spaces.key(r.config) for r in results}) == len(results)


@pytest.mark.slow
def test_it_comes_close_to_the_optimum_where_random_search_does_not() -> None:
    ours = [min(r.value for r in _run(_make(seed=s), 50)) for s in range(3)]
    chance = [min(r.value for r in _run(_make(seed=s, kind=Random), 50)) for s in range(3)]
    assert np.median(ours) < 0.01 * np.median(chance)


@pytest.mark.slow
def test_credit_gives_more_turns_to_what_improves() -> None:
    searcher = _make()
    results = []
    value = 0.0
    for _ in range(200):
        (made,) = searcher.suggest(1)
        value -= 1.0
        results.append(Result(made.id, made.config, value if "parzen" in made.id else 0.0))
        searcher.observe(results[-1:])
    late = results[110:]
    assert _share(late, "parzen") > 0.5
    # the others keep their least share, so that they can come back
    assert min(_share(late, "gp"), _share(late, "cmaes")) > 0.5 * auto.LEAST


@pytest.mark.slow
def test_the_costly_model_is_asked_ever_more_seldom() -> None:
    searcher = _make()
    configs = [s.config for s in _make(seed=1, kind=Random).suggest(10 * AFFORDED)]
    searcher.observe([Result(f"old-{n}", c, _sphere(c)) for n, c in enumerate(configs)])
    turns = [searcher._turn()]
    for _ in range(99):
        searcher._note(turns[-1], [Suggestion(f"x{len(turns)}", configs[0])])
        searcher._turns.clear()  # it ended
        turns.append(searcher._turn())
    # a tenth of its full share, which is less than half of all turns
    assert 1 <= turns.count("gp") <= 10


@pytest.mark.slow
def test_a_suggestion_stays_cheap_after_many_results() -> None:
    searcher = _make(CONDITIONAL)
    configs = [spaces.sample(CONDITIONAL, np.random.default_rng(n)) for n in range(3000)]
    searcher.observe([Result(f"old-{n}", c, _kinds(c)) for n, c in enumerate(configs)])
    searcher.suggest(5)
    start = time.process_time()
    _run(searcher, 20, _kinds)
    # the bound is 200 ms a suggestion; the mean is measured at about 15 ms
    assert time.process_time() - start < 20 * 0.2


@pytest.mark.slow
def test_suggestions_made_at_once_equal_those_asked_one_by_one() -> None:
    searchers = [_make(), _make()]
    for searcher in searchers:
        _run(searcher, 14)
    together = searchers[0].suggest(8)
    assert together == [s for _ in range(8) for s in searchers[1].suggest(1)]
    assert len({spaces.key(s.config) for s in together}) == 8


@pytest.mark.slow
def test_results_come_back_in_the_users_own_values() -> None:
    results = _run(_make(CONDITIONAL), 60, _kinds)
    assert all(spaces.contains(CONDITIONAL, r.config) for r in results)
    assert min(r.value for r in results) < 0.05
    assert {r.config["q"] for r in results if "q" in r.config} <= {1, 2, 4}


def test_what_others_try_is_not_suggested_and_is_learned_from() -> None:
    space = {"n": Categorical(tuple(range(0, 400, 10)))}
    searcher = _make(space)
    given = [Suggestion(f"other-{n}", {"n": n}) for n in range(0, 200, 10)]
    searcher.expect(given)
    searcher.observe([Result(s.id, s.config, abs(s.config["n"] - 333.0)) for s in given])
    results = _run(searcher, 8, lambda config: abs(config["n"] - 333.0))
    assert all(r.config["n"] >= 200 for r in results)
    # the three best of the twenty that are left are within 13; what others tried points there
    assert min(r.value for r in results) <= 13


def _before_results(searcher, waiting) -> list[str]:
    """Return whose turns come when ``waiting`` are open and no result has come since."""
    _run(searcher, START)
    return [s.id.split("-")[0] for s in searcher.suggest(waiting)]


@pytest.mark.slow
@pytest.mark.parametrize("planned", [False, True])
def test_with_many_trials_at_once_the_densities_get_fewer_turns(planned) -> None:
    few, many = _make(), _make()
    if planned:
        many.plan(trials=200, parallel=64)
    narrow = _before_results(few, 6)
    assert narrow.count("parzen") >= 3  # twice the process's share
    if planned:  # from the first turn on: a quarter of the process's share at most
        assert _before_results(many, 12).count("parzen") <= 4
    else:  # or as soon as the trials that are open show it
        assert _before_results(many, 60)[24:].count("parzen") <= 12
    assert few._parallel == 1
