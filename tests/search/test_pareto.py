"""Fronts, ranks, crowding and hypervolume, against brute force and known values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raymm.search import pareto

# Few different values, so that ties and equal points are met often.
POINTS = st.integers(1, 4).flatmap(
    lambda width: arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 14), st.just(width)),
        elements=st.integers(0, 6).map(float),
    )
)


def dominated(points, number):
    return any(
        all(a <= b for a, b in zip(other, points[number], strict=True))
        and any(a < b for a, b in zip(other, points[number], strict=True))
        for other in points
    )


@pytest.mark.slow
@given(POINTS)
def test_the_front_is_what_nothing_dominates(points):
    expected = [not dominated(points, number) for number in range(len(points))]
    assert pareto.front(points).tolist() == expected


@pytest.mark.slow
@given(POINTS)
def test_ranks_peel_one_front_after_another(points):
    expected = np.full(len(points), -1)
    for rank in itertools.count():
        left = np.flatnonzero(expected < 0)
        if not len(left):
            break
        best = [n for n, i in enumerate(left) if not dominated(points[left], n)]
        expected[left[best]] = rank
    assert pareto.ranks(points).tolist() == expected.tolist()


@pytest.mark.slow
@given(POINTS, st.data())
def test_what_is_not_allowed_comes_after_all_that_is(points, data):
    broken = np.array([data.draw(st.sampled_from([0.0, 0.0, 1.0, 2.0])) for _ in points])
    ranks = pareto.ranks(points, broken)
    for a, b in itertools.permutations(range(len(points)), 2):
        if broken[a] < broken[b]:
            assert ranks[a] < ranks[b]
        if broken[a] == broken[b] > 0:
            assert ranks[a] == ranks[b]
    allowed = broken == 0
    assert ranks[allowed].tolist() == pareto.ranks(points[allowed]).tolist()


@pytest.mark.slow
@given(POINTS)
def test_hypervolume_is_the_count_of_the_cells_it_holds(points):
    # On whole numbers the dominated volume is the number of unit cells below the reference.
    width = points.shape[1]
    corner = np.full(width, 5.0)
    cells = np.array(list(itertools.product(range(5), repeat=width)))
    expected = (points[:, None] <= cells).all(axis=2).any(axis=0).sum()
    assert pareto.hypervolume(points, corner) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@given(POINTS, st.randoms())
def test_hypervolume_does_not_depend_on_order_or_on_what_is_dominated(points, random):
    corner = np.full(points.shape[1], 6.5)
    shuffled = points[random.sample(range(len(points)), len(points))]
    kept = points[pareto.front(points)]
    for other in (shuffled, kept, np.vstack([points, points[:1] + 0.25])):
        assert pareto.hypervolume(other, corner) == pytest.approx(
            pareto.hypervolume(points, corner), rel=1e-12
        )


@pytest.mark.slow
def test_known_hypervolumes():
    # ZDT1's front is 1 - sqrt(f): below (1, 1) it leaves 1 - 2/3 dominated, and n steps of a
    # staircase over [0, 1] miss at most 1/n of it.
    x = np.linspace(0, 1, 5001)
    line = np.column_stack([x, 1 - np.sqrt(x)])
    assert pareto.hypervolume(line, [1, 1]) == pytest.approx(2 / 3, abs=1 / 5000)
    # DTLZ2's front is an octant of the unit sphere: below (1, 1, 1) it leaves 1 - pi/6. Cells of
    # side h along it are missed: at most the octant's area pi/2 times the grid's step pi/2/80.
    a, b = np.meshgrid(*[np.linspace(0, np.pi / 2, 81)] * 2)
    sphere = np.column_stack(
        [(np.cos(a) * np.cos(b)).ravel(), (np.cos(a) * np.sin(b)).ravel(), np.sin(a).ravel()]
    )
    found = pareto.hypervolume(np.clip(sphere, 0, 1), [1, 1, 1])
    assert 0 <= 1 - np.pi / 6 - found <= (np.pi / 2) ** 2 / 80


@pytest.mark.parametrize("width", [2, 3])
def test_hypervolume_agrees_with_optuna(width):
    peer = pytest.importorskip("optuna._hypervolume")
    points = np.random.default_rng(0).random((60, width))
    expected = peer.compute_hypervolume(points, np.ones(width))
    assert pareto.hypervolume(points, np.ones(width)) == pytest.approx(expected, rel=1e-12)


def test_crowding_is_the_gap_between_neighbours():
    # Ranges of 4 in both: (2 - 0)/4 + (4 - 2)/4 = 1 and (4 - 1)/4 + (3 - 0)/4 = 1.5.
    found = pareto.crowding([[0, 4], [1, 3], [2, 2], [4, 0]])
    assert found.tolist() == [math.inf, 1.0, 1.5, math.inf]


@pytest.mark.slow
@given(POINTS)
def test_of_equal_points_one_alone_stands_apart(points):
    distance = pareto.crowding(np.vstack([points, points]))
    assert sorted(distance[: len(points)]) == sorted(pareto.crowding(points))
    assert not distance[len(points) :].any()


@pytest.mark.slow
@given(POINTS)
def test_the_order_is_by_rank_then_by_crowding(points):
    order, ranks = pareto.order(points), pareto.ranks(points)
    assert sorted(order.tolist()) == list(range(len(points)))
    assert ranks[order].tolist() == sorted(ranks.tolist())
    for rank in set(ranks.tolist()):
        level = [i for i in order.tolist() if ranks[i] == rank]
        distance = pareto.crowding(points[ranks == rank])
        told = dict(zip(np.flatnonzero(ranks == rank).tolist(), distance, strict=True))
        assert [told[i] for i in level] == sorted((told[i] for i in level), reverse=True)


@pytest.mark.slow
@given(POINTS)
def test_dominance_is_a_strict_order(points):
    for a, b in itertools.product(points, repeat=2):
        assert not (pareto.dominates(a, b) and pareto.dominates(b, a))
        assert not pareto.dominates(a, a)


def test_nothing_is_dominated_where_there_is_nothing():
    assert pareto.front([]).tolist() == []
    assert pareto.hypervolume([], [1.0, 1.0]) == 0.0
    assert pareto.hypervolume([[2.0, 0.0]], [1.0, 1.0]) == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: pareto.front([[math.nan, 1.0]]),
        lambda: pareto.front([1.0, 2.0]),
        lambda: pareto.hypervolume([[1.0, 2.0]], [1.0]),
        lambda: pareto.hypervolume([[1.0, 2.0]], [1.0, math.inf]),
        lambda: pareto.ranks([[1.0, 2.0]], [-1.0]),
        lambda: pareto.ranks([[1.0, 2.0]], [0.0, 0.0]),
    ],
)
def test_what_breaks_a_rule_is_refused(call):
    with pytest.raises(ValueError, match="must"):
        call()


def test_large_sets_are_quick_enough_to_run_after_each_trial():
    # 10,000 points of two objectives are one sort; a search over pairs would take minutes.
    points = np.random.default_rng(0).random((10_000, 2))
    kept = points[pareto.front(points)]
    assert len(kept) < 100
    assert pareto.hypervolume(points, [1, 1]) == pytest.approx(pareto.hypervolume(kept, [1, 1]))
