import numpy as np

from raymm.search import space as spaces
from raymm.search.grid import Grid
from raymm.search.searcher import Result, Suggestion
from raymm.search.space import Categorical, Float, Int


def _make(space, seed=0):
    return Grid(space, mode="minimize", generator=np.random.default_rng(seed))


def _keys(made):
    return [spaces.key(s.config) for s in made]


def test_a_finite_conditional_space_is_exhausted() -> None:
    space = {"s": Categorical(("a", "b")), "n": Int(1, 40, when={"s": ("b",)})}
    made = _make(space).suggest(1000)
    assert len(set(_keys(made))) == len(made) == 1 + 40


def test_numbers_go_from_coarse_to_fine() -> None:
    made = [s.config["x"] for s in _make({"x": Float(0, 1)}).suggest(100)]
    assert made[0] == 0.5
    assert set(made[1:3]) == {0.0, 1.0}
    assert set(made[3:]) == {0.25, 0.75}


def test_the_end_is_told_by_returning_fewer() -> None:
    searcher = _make({"x": Float(0, 1), "y": Float(0, 1)})
    made = searcher.suggest(1000)
    assert len(made) == len(set(_keys(made))) == 25
    assert searcher.suggest(3) == []


def test_a_huge_grid_is_not_listed_and_never_repeats() -> None:
    space = {f"x{n}": Float(0, 1) for n in range(30)}
    made = _make(space).suggest(500)
    assert len(set(_keys(made))) == 500
    # spread: within the first draws every number takes every one of its coarse values
    for name in space:
        assert {s.config[name] for s in made[:200]} >= {0.0, 0.5, 1.0}


def test_a_grid_too_large_to_shuffle_is_still_exhausted(monkeypatch) -> None:
    monkeypatch.setattr("raymm.search.grid.SHUFFLED", 5)
    space = {"x": Float(0, 1), "y": Float(0, 1), "s": Categorical(("a", "b"))}
    made = _make(space).suggest(1000)
    assert len(made) == len(set(_keys(made))) == 50


def test_many_choices_alone_are_exhausted(monkeypatch) -> None:
    monkeypatch.setattr("raymm.search.grid.SHUFFLED", 5)
    made = _make({"s": Categorical(range(9)), "t": Categorical("abc")}).suggest(1000)
    assert len(made) == len(set(_keys(made))) == 27


def test_what_was_tried_is_left_out() -> None:
    searcher = _make({"n": Int(1, 5)})
    searcher.observe([Result("old", {"n": 1}, 0.5)])
    searcher.expect([Suggestion("other", {"n": 2})])
    assert {s.config["n"] for s in searcher.suggest(9)} == {3, 4, 5}


def test_the_generator_decides_the_order() -> None:
    space = {"n": Int(1, 50)}
    assert _make(space).suggest(50) == _make(space).suggest(50)
    assert _make(space, seed=1).suggest(50) != _make(space).suggest(50)
