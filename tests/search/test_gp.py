import math
import time

import numpy as np
import pytest

from raymm.errors import ConfigError
from raymm.plugins import searchers
from raymm.search import gp
from raymm.search import space as spaces
from raymm.search.gp import GaussianProcess
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import check_searcher

BRANCHES = {
    "branch": Categorical(("good", "bad")),
    "x": Float(0, 1, when={"branch": ("good",)}),
    "y": Float(0, 1, when={"branch": ("bad",)}),
    "n": Int(1, 100, log=True),
}
BOX = {f"x{axis}": Float(-5, 5) for axis in range(3)}


def _value(config) -> float:
    at = config.get("x", config.get("y"))
    return (at - 0.3) ** 2 + 0.05 * abs(np.log(config["n"] / 10)) + ("y" in config)


def _sphere(config) -> float:
    return sum((config[name] - 1.7) ** 2 for name in BOX)


def _make(space=BRANCHES, seed=0, mode="minimize", kind=GaussianProcess, **options):
    return kind(space, mode=mode, generator=np.random.default_rng(seed), **options)


def _run(searcher, count, function=_value):
    results = []
    for _ in range(count):
        (suggestion,) = searcher.suggest(1)
        results.append(Result(suggestion.id, suggestion.config, function(suggestion.config)))
        searcher.observe(results[-1:])
    return results


def _best(results) -> float:
    return min(r.value for r in results)


@pytest.mark.slow
def test_it_keeps_the_laws_of_searchers() -> None:
    check_searcher(GaussianProcess, examples=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["gp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gp-ei", "gp-ucb", "gp-pi"))],
)
def test_each_acquisition_ends_far_ahead_of_random_search(name) -> None:
    kind = searchers.get(name)
    ours = [_best(_run(_make(BOX, seed, kind=kind), 25, _sphere)) for seed in range(2)]
    chance = [_best(_run(_make(BOX, seed, kind=Random), 25, _sphere)) for seed in range(2)]
    # a quadratic in three dimensions has ten coefficients: these points pin it down
    assert np.median(ours) < 0.05 * np.median(chance)


def test_an_unknown_acquisition_is_refused() -> None:
    with pytest.raises(ConfigError, match="log_ei"):
        _make(acquisition="luck")


@pytest.mark.slow
def test_it_goes_where_results_are_good() -> None:
    late = [r.config for r in _run(_make(), 30)[15:]]
    # even draws would give 7.5 ± 1.9 of 15
    assert sum(config["branch"] == "good" for config in late) >= 12


@pytest.mark.slow
def test_parallel_suggestions_differ_and_equal_those_asked_one_by_one() -> None:
    together, apart = _make(), _make()
    for searcher in (together, apart):
        _run(searcher, 14)
    batch = together.suggest(5)
    assert batch == [s for _ in range(5) for s in apart.suggest(1)]
    assert len({spaces.key(s.config) for s in batch}) == 5


def test_pending_suggestions_spread() -> None:
    searcher = _make(BOX)
    _run(searcher, 15, _sphere)
    made = [searcher._encoding.units([s.config])[0] for s in searcher.suggest(6)]
    apart = [np.linalg.norm(a - b) for at, a in enumerate(made) for b in made[:at]]
    assert min(apart) > 1e-5


@pytest.mark.slow
def test_a_region_that_fails_is_left() -> None:
    def failing(config):
        return None if config["branch"] == "bad" else _value(config)

    late = [r.config["branch"] for r in _run(_make(), 30, failing)[15:]]
    assert late.count("bad") < late.count("good") / 2


@pytest.mark.slow
def test_a_few_huge_results_do_no_harm() -> None:
    def explosive(config):
        return 1e30 if config["x0"] < -4 else _sphere(config)

    found = [_best(_run(_make(BOX, seed), 30, explosive)) for seed in range(3)]
    assert np.median(found) < 0.05


@pytest.mark.slow
def test_noise_does_no_harm() -> None:
    noise = np.random.default_rng(5)
    results = _run(_make(BOX), 40, lambda c: _sphere(c) + 3 * noise.standard_normal())
    late = np.median([_sphere(r.config) for r in results[20:]])
    # the median of an even draw is near 30, and the noise is a tenth of that
    assert late < 10


@pytest.mark.slow
def test_maximising_the_negative_is_minimising() -> None:
    low = _run(_make(BOX), 15, _sphere)
    high = _run(_make(BOX, mode="maximize"), 15, lambda c: -_sphere(c))
    assert [r.config for r in low] == [r.config for r in high]


def test_results_stopped_early_rank_below_those_trained_in_full() -> None:
    values = np.array([0.9, 0.1, 0.2, math.nan, math.nan])
    budgets = np.array([math.inf, 3, 9, math.inf, 99])
    losses = gp._losses(values, budgets, "minimize")
    assert np.argsort(losses, kind="stable").tolist() == [0, 2, 1, 3, 4]
    assert losses[3] == losses[4]
    same = gp._losses(np.array([0.9, math.nan, 0.2]), np.full(3, math.inf), "maximize")
    assert same.tolist() == [-0.9, -0.2, -0.2]


@pytest.mark.slow
def test_results_outside_the_space_and_first_looks_are_passed_over() -> None:
    searchers_ = [_make(), _make()]
    searchers_[1].observe([Result("old", {"z": 1}, 0.0)])
    (first,) = searchers_[1].suggest(1)
    searchers_[1].observe([Result(first.id, first.config, -99.0, final=False)])
    searchers_[1].observe([Result(first.id, first.config, _value(first.config))])
    _run(searchers_[0], 1)
    assert _run(searchers_[0], 15) == _run(searchers_[1], 15)


def test_results_of_an_earlier_run_take_the_designs_place() -> None:
    configs = [s.config for s in _make(BOX, 3, kind=Random).suggest(25)]
    searcher = _make(BOX)
    searcher.observe([Result(f"old-{n}", c, _sphere(c)) for n, c in enumerate(configs)])
    assert _best(_run(searcher, 8, _sphere)) < 0.2 * min(_sphere(c) for c in configs)


@pytest.mark.slow
def test_a_result_told_again_replaces_the_old_one() -> None:
    told = [_make(BOX), _make(BOX)]
    results = next(iter([_run(searcher, 12, _sphere) for searcher in told]))
    searcher = told[1]
    again = results[-1]
    searcher.observe([Result(again.id, again.config, 1e3)])
    searcher.observe([again])
    assert told[0].suggest(1) == searcher.suggest(1)


def test_a_finite_space_ends() -> None:
    searcher = _make({"a": Int(1, 4), "b": Categorical(("x", "y", "z"))})
    found = [r.config for r in _run(searcher, 12, lambda config: float(config["a"]))]
    assert len({spaces.key(c) for c in found}) == 12
    assert searcher.suggest(1) == []


def test_fixed_parameters_and_constant_values_are_no_trouble() -> None:
    space = {"a": Float(2, 2), "b": Int(3, 3), "c": Categorical(("only",)), "x": Float(-1, 1)}
    results = _run(_make(space), 20, lambda config: config["x"] ** 2)
    assert all({k: r.config[k] for k in "abc"} == {"a": 2.0, "b": 3, "c": "only"} for r in results)
    assert len(_run(_make(BOX), 20, lambda config: 1.0)) == 20


def test_what_others_try_is_not_suggested() -> None:
    searcher = _make({"n": Int(1, 4)})
    searcher.expect([Suggestion("other", {"n": 2})])
    assert {s.config["n"] for s in searcher.suggest(9)} == {1, 3, 4}


@pytest.mark.slow
def test_the_time_of_a_suggestion_stays_bounded() -> None:
    def seconds(observations: int) -> float:
        searcher = _make(BOX)
        configs = [s.config for s in _make(BOX, 1, kind=Random).suggest(observations)]
        searcher.observe([Result(f"o{n}", c, _sphere(c)) for n, c in enumerate(configs)])
        searcher.suggest(1)
        times = []
        for _ in range(3):
            start = time.process_time()
            searcher.suggest(1)
            times.append(time.process_time() - start)
        return min(times)

    # the results modelled are as many in both; sorting them is all that grows
    assert seconds(3000) < 3 * seconds(gp.MODELLED) + 0.05


def test_the_best_results_stay_in_the_model() -> None:
    losses = np.arange(1000.0)
    rows = gp._chosen(losses, 100)
    assert rows.tolist() == [*range(50), *range(950, 1000)]


def test_nothing_is_printed_or_seeded_globally(capfd) -> None:
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    _run(_make(), 14)
    assert (np.random.get_state()[1] == before).all()
    assert capfd.readouterr() == ("", "")
