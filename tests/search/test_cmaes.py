import numpy as np
import pytest

from raymm.search import space as spaces
from raymm.search.cmaes import STALLED, CmaEs
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

BOX = {f"x{axis}": Float(-5, 5) for axis in range(4)}
MIXED = {
    "x": Float(1e-4, 1.0, log=True),
    "n": Int(1, 20),
    "m": Int(1, 1000, log=True),
    "c": Categorical(("a", "b", "c")),
    "y": Float(0, 1, when={"c": ("a", "b")}),
}


def _make(space=BOX, seed=0, kind=CmaEs):
    return kind(space, mode="minimize", generator=np.random.default_rng(seed))


def _run(searcher, count, function, at_once=1):
    results = []
    while len(results) < count:
        made = searcher.suggest(at_once)
        results += [Result(s.id, s.config, function(s.config)) for s in made]
        searcher.observe(results[-len(made) :])
    return results


def _ellipsoid(config) -> float:
    return sum(10.0**axis * (at - 1.0) ** 2 for axis, at in enumerate(config.values()))


def _mixed(config) -> float:
    away = (np.log10(config["x"]) + 2) ** 2 + ((config["n"] - 7) / 5) ** 2
    return away + np.log10(config["m"] / 30) ** 2 + "abc".index(config["c"]) + config.get("y", 1)


@pytest.mark.slow
def test_laws() -> None:
    check_searcher(CmaEs, examples=2)


def test_it_converges_on_a_convex_function_of_condition_1000() -> None:
    found = min(r.value for r in _run(_make(), 1000, _ellipsoid))
    # CMA-ES converges linearly; published runs reach 1e-8 from a value of order 1e3 on such a
    # function of four variables in about 1000 evaluations (Hansen & Ostermeier 2001, figure 5)
    assert found < 1e-4


def test_it_goes_by_order_alone() -> None:
    plain = [r.config for r in _run(_make(), 200, _ellipsoid)]
    bent = [r.config for r in _run(_make(), 200, lambda config: np.log(_ellipsoid(config)) ** 3)]
    assert plain == bent


@pytest.mark.slow
def test_mixed_spaces_are_searched_together() -> None:
    ours = [min(r.value for r in _run(_make(MIXED, seed), 150, _mixed)) for seed in range(5)]
    chance = [
        min(r.value for r in _run(_make(MIXED, seed, Random), 150, _mixed)) for seed in range(5)
    ]
    assert np.median(ours) < 0.5 * np.median(chance)


def test_results_of_others_set_where_it_starts() -> None:
    searcher = _make()
    near = {"x0": 4.0, "x1": -4.0, "x2": 4.0, "x3": -4.0}
    far = {"x0": -4.0, "x1": 4.0, "x2": -4.0, "x3": 4.0}
    searcher.expect([Suggestion("a", near)])
    searcher.observe([Result("a", near, 0.0), Result("b", far, 1.0), Result("c", {"z": 1}, -1.0)])
    first = searcher.suggest(6)
    middle = np.mean([[s.config[name] for name in BOX] for s in first], axis=0)
    # the start's deviation is a sixth of the range of 10; the mean of six has 0.7 at most, cut
    # off by the bounds: 4 is more than four of these from the middle of the space
    assert (np.sign(middle) == [1, -1, 1, -1]).all()


def test_late_results_of_parallel_trials_count() -> None:
    results = _run(_make(), 600, _ellipsoid, at_once=16)
    early, late = results[:100], results[-100:]
    assert np.median([r.value for r in late]) < 0.01 * np.median([r.value for r in early])


def test_it_starts_anew_where_it_finds_nothing_new() -> None:
    space = {"a": Int(0, 99), "b": Int(0, 99)}
    results = _run(_make(space), 400, lambda c: abs(c["a"] - 50) + abs(c["b"] - 50))
    keys = {spaces.key(r.config) for r in results}
    assert len(keys) == len(results)
    assert min(r.value for r in results) == 0
    # converged, it would stay within reach of the optimum: 400 points there lie within 20 steps
    assert max(r.value for r in results[-STALLED:]) > 20


def test_a_flat_function_and_a_fixed_space_are_no_trouble() -> None:
    assert len(_run(_make(MIXED), 100, lambda config: 0.0)) == 100
    searcher = _make({"a": Float(2, 2), "b": Categorical(("only",))})
    assert [s.config for s in searcher.suggest(3)] == [{"a": 2.0, "b": "only"}]


@pytest.mark.slow
@pytest.mark.parametrize("space", [BOX, MIXED])
def test_a_suggestion_costs_next_to_nothing_after_ten_thousand_results(space) -> None:
    import time

    searcher = _make(space)
    function = _ellipsoid if space is BOX else _mixed
    configs = [s.config for s in _make(space, 1, Random).suggest(10_000)]
    searcher.observe([Result(f"old-{n}", c, function(c)) for n, c in enumerate(configs)])
    start = time.process_time()
    _run(searcher, 50, function)
    # measured at 0.3 to 1 ms each; thirty times that is still a small share of any trial
    assert time.process_time() - start < 50 * 0.03
