import numpy as np
import pytest

from raymm.search import space as spaces
from raymm.search.grid import Grid
from raymm.search.portfolio import Portfolio
from raymm.search.random import Random
from raymm.search.searcher import Result
from raymm.search.space import Categorical, Float, Int
from raymm.search.tpe import Tpe
from raymm.testing.searchers import check_searcher

SPACE = {"n": Int(1, 6), "s": Categorical(("a", "b"))}
CONFIGS = [{"n": 3, "s": "b"}, {"n": 99, "s": "a"}, {"n": 3, "s": "b"}, {"s": "alien"}]


def _grid(space=SPACE):
    return Grid(space, mode="minimize", generator=np.random.default_rng(0))


def test_given_configurations_come_first_and_once() -> None:
    made = Portfolio(_grid(), CONFIGS).suggest(100)
    assert [s.config for s in made[:2]] == [{"n": 3, "s": "b"}, {"n": 6, "s": "a"}]
    assert len({spaces.key(s.config) for s in made}) == len(made) == 12
    assert len({s.id for s in made}) == 12


def test_the_inner_searcher_learns_from_them() -> None:
    space = {"x": Float(0, 1)}
    inner = Tpe(space, mode="minimize", generator=np.random.default_rng(0))
    searcher = Portfolio(inner, [{"x": 0.7 + n / 1000} for n in range(12)])
    given = searcher.suggest(12)
    results = [Result(s.id, s.config, abs(s.config["x"] - 0.7)) for s in given]
    searcher.observe(results)
    plain = Tpe(space, mode="minimize", generator=np.random.default_rng(0))
    plain.observe(results)
    assert searcher.suggest(3) == plain.suggest(3)


def test_without_configurations_it_is_the_inner_searcher() -> None:
    assert Portfolio(_grid(), []).suggest(5) == _grid().suggest(5)


def test_what_others_try_is_left_out() -> None:
    searcher = Portfolio(_grid(), CONFIGS)
    searcher.expect(_grid().suggest(11))
    assert len(searcher.suggest(100)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Random, Tpe])
def test_a_portfolio_keeps_the_laws_of_searchers(kind) -> None:
    def make(space, *, mode, generator):
        near = spaces.sample(space, np.random.default_rng(5))
        return Portfolio(kind(space, mode=mode, generator=generator), [near])

    check_searcher(make, examples=4)
