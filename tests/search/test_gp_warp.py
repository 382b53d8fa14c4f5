import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.search.gp_warp import OFFSETS, choose, ranked, warp

LOSSES = st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=40).map(np.array)
TAME = st.lists(st.integers(-1000, 1000), min_size=2, max_size=40).map(
    lambda values: np.array(values, dtype=float)
)


@given(losses=LOSSES, offset=st.sampled_from(OFFSETS))
def test_warped_losses_are_finite_standard_and_in_the_same_order(losses, offset) -> None:
    warped, jacobian = warp(losses, offset)
    assert np.isfinite(warped).all()
    assert math.isfinite(jacobian)
    order = np.argsort(losses, kind="stable")
    assert (np.diff(warped[order]) >= -1e-9).all()
    if warped.any():
        assert abs(warped.mean()) < 1e-6
        assert warped.std() == pytest.approx(1.0, abs=1e-6)


@given(losses=TAME, offset=st.sampled_from(OFFSETS), scale=st.floats(1e-3, 1e3))
def test_the_unit_of_the_losses_does_not_matter(losses, offset, scale) -> None:
    warped, _ = warp(losses, offset)
    again, _ = warp(losses * scale + 7.0 * scale, offset)
    assert again == pytest.approx(warped, abs=1e-6)


@pytest.mark.parametrize("offset", OFFSETS)
def test_the_jacobian_is_the_derivatives(offset) -> None:
    losses = np.random.default_rng(0).random(30)
    step = 1e-6

    def log_derivatives(at):
        # the statistics of the whole are held while one loss moves: with 30 of them the mean and
        # deviation hardly follow, and what they do is the same share for every offset
        height = losses - losses.min()
        scale = np.median(height)
        up = height[at] / scale + step
        down = height[at] / scale - step
        if math.isinf(offset):
            return math.log((up - down) / (2 * step))
        return math.log((math.log(up + offset) - math.log(down + offset)) / (2 * step))

    height = (losses - losses.min()) / np.median(losses - losses.min())
    raw = height if math.isinf(offset) else np.log(height + offset)
    expected = sum(log_derivatives(at) for at in range(30)) - 30 * math.log(raw.std())
    low, high = np.quantile(raw, (0.25, 0.75))
    assert raw.max() <= high + 3 * (high - low)  # no loss is fenced here
    assert warp(losses, offset)[1] == pytest.approx(expected, abs=1e-3)


def test_one_huge_loss_leaves_room_for_the_others() -> None:
    losses = np.append(np.linspace(0, 1, 20), 1e30)
    for offset in OFFSETS:
        warped, _ = warp(losses, offset)
        assert np.ptp(warped[:20]) > 0.2 * np.ptp(warped)


def test_losses_of_many_magnitudes_are_warped_and_even_ones_are_not() -> None:
    rng = np.random.default_rng(0)

    def likelihood(targets):  # independent, standard: the likeliest is the nearest to normal
        return -0.5 * float(targets @ targets)

    assert choose(np.exp(3 * rng.standard_normal(200)), likelihood) < 1.0
    assert math.isinf(choose(rng.standard_normal(200), likelihood))


def test_ranks_become_normal_scores_and_ties_share() -> None:
    scores = ranked([(2.0,), (1.0,), (3.0,), (2.0,)])
    assert scores[0] == scores[3]
    assert scores[1] < scores[0] < scores[2]
    assert scores.sum() == pytest.approx(0.0, abs=1e-12)
