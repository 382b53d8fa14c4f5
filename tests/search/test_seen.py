import numpy as np

from raymm.search import space as spaces
from raymm.search.lattice import grid
from raymm.search.seen import Seen
from raymm.search.space import Categorical, Float, Int

FINITE = {"a": Int(1, 3), "b": Categorical(("x", "y"))}


def test_a_stubborn_draw_still_exhausts_a_finite_space() -> None:
    seen = Seen(FINITE, np.random.default_rng(0))
    found = [seen.fresh(lambda: {"a": 1, "b": "x"}) for _ in range(7)]
    assert found[0] == {"a": 1, "b": "x"}
    assert found[6] is None
    assert len({spaces.key(config) for config in found[:6]}) == 6


def test_a_stubborn_draw_is_replaced_by_a_sample_in_an_infinite_space() -> None:
    space = {"x": Float(0.0, 1.0)}
    seen = Seen(space, np.random.default_rng(0))
    found = [seen.fresh(lambda: {"x": 0.5})["x"] for _ in range(5)]
    assert len(set(found)) == 5


def test_what_is_added_is_not_found_again() -> None:
    seen = Seen(FINITE, np.random.default_rng(0))
    seen.add(grid(FINITE, 3))
    assert {"b": "y", "a": 2} in seen
    assert seen.fresh(lambda: {"a": 1, "b": "x"}) is None


def test_draws_are_counted() -> None:
    seen = Seen({"x": Float(0.0, 1.0)}, np.random.default_rng(0))
    asked = []

    def draw():
        asked.append(1)
        return {"x": 0.5}

    seen.fresh(draw)
    seen.fresh(draw, tries=4)
    assert len(asked) == 1 + 4
