import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.search.fidelity import PRIOR, Fidelity

BUDGETS = (1, 3, 9)


def _told(noise: tuple[float, float], count=300, seed=0) -> Fidelity:
    """A third of each rung climbs; each rung sees the truth through noise of its own."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count)
    fidelity = Fidelity(BUDGETS)
    standing = np.arange(count)
    for rung, budget in enumerate(BUDGETS):
        spread = (*noise, 0.0)[rung]
        seen = truth[standing] + spread * rng.normal(size=len(standing))
        for n, loss in zip(standing, seen, strict=True):
            fidelity.add(str(n), np.array([truth[n]]), budget, float(loss))
        standing = standing[np.argsort(seen)[: len(standing) // 3]]
    return fidelity


def test_until_pairs_are_seen_small_budgets_are_trusted() -> None:
    assert Fidelity(BUDGETS).trust() == pytest.approx([PRIOR**2, PRIOR, 1.0])


def test_rungs_that_order_well_are_trusted_and_others_are_not() -> None:
    good, blind = _told((0.1, 0.1)).trust(), _told((50.0, 0.1)).trust()
    # truth seen through a tenth of noise correlates by 0.99; a hundred pairs of the best third,
    # corrected for the selection, estimate it to within 0.1
    assert good[0] > 0.85
    assert good[1] > 0.85
    # no correlation: 100 pairs have a standard error of 0.1, doubled by the correction, and the
    # prior's eight pairs add 0.07
    assert blind[0] < 0.07 + 3 * 0.2
    assert blind[1] > 0.85


@given(losses=st.lists(st.floats(-5, 5), min_size=1, max_size=30, unique=True))
def test_one_rung_is_ranked_by_its_losses(losses) -> None:
    fidelity = Fidelity(BUDGETS)
    for n, loss in enumerate(losses):
        fidelity.add(str(n), np.array([loss]), 1, loss)
    points, counted = fidelity.ranked()
    assert [float(p[0]) for p in points] == sorted(losses)
    assert counted == pytest.approx(len(losses) * PRIOR**4)


def test_what_climbed_ranks_by_what_it_reached() -> None:
    fidelity = Fidelity((1, 3))
    for n in range(9):
        fidelity.add(str(n), np.array([float(n)]), 1, float(n))
    for n in range(3):
        fidelity.add(str(n), np.array([float(n)]), 3, float(-n))
    order = [int(p[0]) for p in fidelity.ranked()[0]]
    assert order[0] == 2
    assert [n for n in order if n < 3] == [2, 1, 0]
    assert [n for n in order if n > 2] == [3, 4, 5, 6, 7, 8]


def test_failures_rank_last_wherever_they_happened() -> None:
    fidelity = Fidelity((1, 3))
    for n in range(6):
        fidelity.add(str(n), np.array([float(n)]), 1, float(n))
    fidelity.add("0", np.array([0.0]), 3, math.inf)
    fidelity.add("1", np.array([1.0]), 3, 1.0)
    points, _ = fidelity.ranked()
    assert int(points[-1][0]) == 0
    assert len(points) == 6


def test_budgets_between_rungs_count_for_the_lower_one_once() -> None:
    fidelity = Fidelity((3, 9))
    fidelity.add("a", np.array([0.0]), 1, 0.0)
    assert fidelity.ranked() == ([], 0.0)
    places = {"a": 0.1, "b": 0.2, "c": 0.3}
    for name, budget, loss in (("a", 3, 1.0), ("a", 5, -9.0), ("b", 3.0, 0.0), ("c", 8, 2.0)):
        fidelity.add(name, np.array([places[name]]), budget, loss)
    assert [float(p[0]) for p in fidelity.ranked()[0]] == [0.2, 0.1, 0.3]


def test_a_final_loss_takes_the_place_of_a_first_look():
    fidelity = Fidelity((1.0, 3.0))
    for name, look, loss in (("a", 100.0, 0.0), ("b", 0.0, 1.0), ("c", math.inf, 2.0)):
        fidelity.add(name, np.array([float(ord(name))]), 1, look, final=False)
        fidelity.add(name, np.array([float(ord(name))]), 1, loss)
    points, _ = fidelity.ranked()
    assert [chr(int(point[0])) for point in points] == ["a", "b", "c"]
