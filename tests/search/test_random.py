import numpy as np

from raymm.search import space as spaces
from raymm.search.random import Random
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int


def _make(space, seed=0):
    return Random(space, mode="minimize", generator=np.random.default_rng(seed))


def test_a_finite_space_ends() -> None:
    searcher = _make({"a": Int(1, 3), "b": Categorical(("x", "y"))})
    assert len(searcher.suggest(100)) == 6
    assert searcher.suggest(1) == []


def test_what_was_tried_elsewhere_is_not_tried() -> None:
    space = {"a": Int(1, 4)}
    searcher = _make(space)
    searcher.observe([Result("old", {"a": 2}, 0.0), Result("open", {"a": 4}, 0.0, final=False)])
    searcher.expect([Suggestion("elsewhere", {"a": 3})])
    assert {s.config["a"] for s in searcher.suggest(9)} == {1, 4}


def test_draws_do_not_depend_on_how_many_are_asked_for_at_once_or_on_results() -> None:
    space = {"x": Float(0, 1), "s": Categorical(("a", "b")), "m": Float(0, 1, when={"s": ("b",)})}
    together = _make(space).suggest(6)
    apart = _make(space)
    made = []
    for _ in range(6):
        made += apart.suggest(1)
        apart.observe([Result(made[-1].id, made[-1].config, 1.0)])
    assert made == together
    assert _make(space, seed=1).suggest(6) != together


def test_it_is_even() -> None:
    # the mean of n uniform draws has standard deviation 1 / sqrt(12 n); six of them
    n = 2000
    mean = np.mean([s.config["x"] for s in _make({"x": Float(0, 1)}).suggest(n)])
    assert abs(mean - 0.5) < 6 / np.sqrt(12 * n)
    assert spaces.contains({"x": Float(0, 1)}, {"x": float(mean)})
