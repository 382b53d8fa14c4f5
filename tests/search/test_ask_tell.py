import math

import pytest

from raymm.errors import ConfigError
from raymm.search import Categorical, Float, Int, create

SPACE = {"x": Float(-1, 1), "s": Categorical(("a", "b"))}


def _loss(config) -> float:
    return config["x"] ** 2 + (config["s"] == "b")


@pytest.mark.parametrize("algorithm", ["auto", "grid", "random", "tpe"])
@pytest.mark.parametrize(("mode", "sign"), [("min", 1), ("maximize", -1)])
def test_a_loop_finds_a_good_point(algorithm, mode, sign) -> None:
    search = create(algorithm, SPACE, seed=1, mode=mode)
    assert search.best is None
    values = []
    for _ in range(30):
        for suggestion in search.suggest(1):
            assert suggestion.budget is None
            values.append(sign * _loss(suggestion.config))
            search.observe(suggestion.id, values[-1])
    best = search.best
    assert best.value == (min(values) if sign == 1 else max(values))
    assert best.value == sign * _loss(best.config)
    # thirty even draws all miss |x| < 0.3, s = a with probability 0.85 ** 30 < 1 %
    assert sign * best.value < 0.09


def test_short_and_long_modes_are_the_same_search() -> None:
    for pair in (("min", "minimize"), ("max", "maximize")):
        runs = []
        for mode in pair:
            search = create("tpe", SPACE, seed=3, mode=mode)
            configs = []
            for _ in range(14):
                (s,) = search.suggest(1)
                configs.append(s.config)
                search.observe(s.id, _loss(s.config))
            runs.append(configs)
        assert runs[0] == runs[1]


def test_the_space_may_be_written_as_in_a_file() -> None:
    search = create("random", {"x": {"float": [0, 1]}, "n": {"int": [1, 3]}}, seed=0, mode="max")
    assert set(search.suggest(1)[0].config) == {"x", "n"}


def test_a_maximum_alone_is_the_budget_of_every_suggestion() -> None:
    search = create("random", SPACE, seed=0, mode="min", max_budget=9)
    assert {s.budget for s in search.suggest(5)} == {9}


def test_the_best_third_of_each_rung_is_promoted() -> None:
    search = create("random", SPACE, seed=0, mode="min", min_budget=1, max_budget=9)
    tried = {1: [], 3: [], 9: []}
    asked = None
    while sum(map(len, tried.values())) < 60 or asked.budget > 1:
        (asked,) = search.suggest(1)
        tried[asked.budget].append(asked)
        search.observe(asked.id, _loss(asked.config), budget=asked.budget)
    ids = [s.id for made in tried.values() for s in made]
    assert len(set(ids)) == len(ids)
    for low, high in ((1, 3), (3, 9)):
        below = [s.config for s in tried[low]]
        above = [s.config for s in tried[high]]
        assert all(config in below for config in above)
        # the last at the lowest rung was asked for when nothing was left to promote
        known = below[:-1] if low == 1 else below
        best = sorted(known, key=_loss)[: len(known) // 3]
        assert best
        assert all(config in above for config in best)
        # one that was in the best third once may have left it since, but few do
        assert len(above) < len(below) / 2 + 2
    assert search.best.budget == 9


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [(1, 10, {1, 3, 10}), (2, 5, {5}), (4, 4, {4}), (0.5, 4.5, {0.5, 1.5, 4.5})],
)
def test_the_last_rung_is_the_maximum(low, high, allowed) -> None:
    search = create("random", SPACE, seed=0, mode="min", min_budget=low, max_budget=high)
    budgets = set()
    for _ in range(40):
        (suggestion,) = search.suggest(1)
        budgets.add(suggestion.budget)
        search.observe(suggestion.id, _loss(suggestion.config))
    assert budgets == allowed


def test_failures_are_never_promoted_and_never_best() -> None:
    search = create("random", SPACE, seed=0, mode="min", min_budget=1, max_budget=3)
    for number in range(20):
        (suggestion,) = search.suggest(1)
        assert suggestion.budget == 1
        search.observe(suggestion.id, [None, math.nan, math.inf][number % 3])
    assert search.best is None


def test_looks_before_the_final_one_are_allowed() -> None:
    search = create("tpe", SPACE, seed=0, mode="min")
    (suggestion,) = search.suggest(1)
    search.observe(suggestion.id, 5.0, budget=1, final=False)
    search.observe(suggestion.id, 4.0, budget=2, final=False)
    assert search.best is None
    search.observe(suggestion.id, 3.0)
    assert search.best.value == 3.0


def test_an_unknown_id_and_a_second_final_value_are_refused() -> None:
    search = create("random", SPACE, seed=0, mode="min")
    (suggestion,) = search.suggest(1)
    with pytest.raises(ConfigError, match='"alien" was never suggested'):
        search.observe("alien", 0.0)
    with pytest.raises(ConfigError, match=r"number or None, but got '0\.5'"):
        search.observe(suggestion.id, "0.5")
    search.observe(suggestion.id, 0.0)
    for final in (True, False):
        with pytest.raises(ConfigError, match="final value already"):
            search.observe(suggestion.id, 0.0, final=final)


def test_an_exhausted_space_gives_fewer() -> None:
    search = create("random", {"n": Int(1, 3)}, seed=0, mode="min")
    assert len(search.suggest(10)) == 3
    assert search.suggest(10) == []
    assert search.suggest(0) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "maximise"}, 'mode must be "min" or "max", but got \'maximise\''),
        ({"mode": None}, "mode must be"),
        ({"algorithm": "tpee"}, 'Did you mean "tpe"'),
        ({"seed": -1}, "seed must be"),
        ({"seed": 0.5}, "seed must be"),
        ({"space": {}}, "at least one parameter"),
        ({"space": [1]}, "space must map"),
        ({"min_budget": 1}, "max_budget is missing"),
        ({"min_budget": 3, "max_budget": 2}, "at most max_budget"),
        ({"max_budget": 0}, "max_budget must be a number above 0"),
        ({"max_budget": math.nan}, "max_budget must be a number above 0"),
        ({"min_budget": "1", "max_budget": 2}, "min_budget must be a number"),
    ],
)
def test_errors_name_the_rule(changes, message) -> None:
    options = {"algorithm": "random", "space": SPACE, "seed": 0, "mode": "min", **changes}
    with pytest.raises(ConfigError) as caught:
        create(options.pop("algorithm"), options.pop("space"), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("count", [-1, 1.5, True, "2"])
def test_a_count_is_a_whole_number(count) -> None:
    with pytest.raises(ConfigError, match="count must be"):
        create("random", SPACE, seed=0, mode="min").suggest(count)
