"""Grids follow conditions and list each point once; sizes are counted without walking far."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.search import create
from raymm.search import space as spaces
from raymm.search.lattice import grid, size
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import made_spaces

TREE = {
    "solver": Categorical(("adam", "sgd", "none")),
    "schedule": Categorical(("flat", "cosine"), when={"solver": ("adam", "sgd")}),
    "momentum": Float(0.0, 1.0, when={"solver": ("sgd",), "schedule": ("cosine",)}),
    "layers": Int(1, 3),
}


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(space=made_spaces(), resolution=st.integers(1, 3))
def test_a_grid_lists_points_of_the_space_once(space, resolution) -> None:
    points = list(itertools.islice(grid(space, resolution), 400))
    assert all(spaces.contains(space, point) for point in points)
    assert len({spaces.key(point) for point in points}) == len(points) > 0


def test_a_grid_follows_conditions() -> None:
    points = list(grid(TREE, 3))
    # layers 3 × (none 1 + adam 2 schedules + sgd (flat 1 + cosine 3 momenta))
    assert len(points) == 3 * (1 + 2 + 1 + 3)
    assert {p["momentum"] for p in points if "momentum" in p} == {0.0, 0.5, 1.0}
    assert all("schedule" not in p for p in points if p["solver"] == "none")


def test_a_logarithmic_grid_is_geometric() -> None:
    points = [p["x"] for p in grid({"x": Float(1e-4, 1.0, log=True)}, 3)]
    assert points == pytest.approx([1e-4, 1e-2, 1.0])


def test_size_counts_finite_spaces_only() -> None:
    finite = {"a": Int(1, 4), "b": Categorical(("x", "y")), "c": Int(0, 1, when={"b": ("y",)})}
    assert size(finite, 100) == 4 * (1 + 2)
    assert size(finite, 12) == 12
    assert size(finite, 11) is None
    assert size(TREE, 10**6) is None
    assert size({"x": Float(1.0, 1.0)}, 10) == 1
    assert size({"n": Int(0, 10**12)}, 4096) is None


def _wide(count):
    return {f"p{n}": Categorical(("a", "b", "c")) for n in range(count)}


def _deep(count):
    space = {"p0": Categorical(("a", "b"))}
    for n in range(1, count):
        space[f"p{n}"] = Categorical(("a", "b"), when={f"p{n - 1}": ("a",)})
    return space


@pytest.mark.long
def test_wide_and_deep_spaces_are_walked_without_recursion() -> None:
    assert next(grid(_wide(3000), 2)) == dict.fromkeys(_wide(3000), "a")
    assert size(_wide(3000), 10**9) is None
    # each parameter but the last leads on in one of its two choices
    assert size(_deep(1200), 5000) == 1201
    assert [len(point) for point in grid(_deep(1200), 2)][:3] == [1200, 1200, 1199]


def test_a_space_too_large_is_not_counted_one_by_one() -> None:
    started = time.process_time()
    # 3^20 leaves; counted one by one to the limit they would take minutes
    assert size(_wide(20), 3**20 - 1) is None
    assert time.process_time() - started < 5


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["random", "sobol", "grid", "evolution"])
@pytest.mark.parametrize("space", [_wide(1100), _deep(450)], ids=["wide", "deep"])
def test_searches_of_large_finite_spaces_begin(algorithm, space) -> None:
    search = create(algorithm, space, seed=0, mode="min")
    (made,) = search.suggest(1)
    assert spaces.contains(space, made.config)
