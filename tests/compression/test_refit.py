from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from raymm.compression import refit
from raymm.compression.grove import Grove, reach
from raymm.compression.refit import corrected, refitted
from raymm.compression.sums import margins


@pytest.fixture
def grown(random_trees):
    trees = random_trees(0, count=10)
    grove = Grove.of(trees)
    x = np.random.default_rng(1).uniform(-1, 6, (500, 3)).astype(np.float32)
    return grove, reach(grove, x), np.ones((2, 500)), trees, x


def test_margins_are_those_of_the_reference(grown):
    grove, reached, _, trees, x = grown
    assert np.array_equal(margins(grove, reached).T, trees.margins(x))


def test_leaves_find_back_what_they_were_moved_from(grown):
    grove, reached, weight, *_ = grown
    target = margins(grove, reached)
    noise = np.random.default_rng(2).normal(size=grove.value.shape) * (grove.left < 0)[:, None]
    moved = replace(grove, value=grove.value + noise, base=grove.base + 1.0)
    before = np.mean((margins(moved, reached) - target) ** 2)
    after = [
        np.mean(
            (
                margins(refitted(moved, reached, target, weight, ridge=r, passes=20), reached)
                - target
            )
            ** 2
        )
        for r in (0.1, 100.0, 1e9)
    ]
    assert after[0] < 0.01 * before
    assert after[0] < after[1] < after[2] < before


def test_where_nothing_is_missing_nothing_moves(grown):
    grove, reached, weight, *_ = grown
    same = refitted(grove, reached, margins(grove, reached), weight)
    assert np.allclose(same.value, grove.value, atol=1e-12)


def test_heavy_rows_are_met_first(grown):
    grove, reached, weight, *_ = grown
    target = np.random.default_rng(3).normal(size=weight.shape)
    heavy = np.where(np.arange(500) < 50, 9.0, 0.1111) * np.ones((2, 1))
    errors = [
        np.abs(margins(refitted(grove, reached, target, w, ridge=1.0, passes=20), reached) - target)
        for w in (weight, heavy)
    ]
    assert errors[1][:, :50].mean() < errors[0][:, :50].mean()


@pytest.mark.parametrize("logits", [False, True])
def test_a_step_towards_the_truth_comes_closer_to_it(random_trees, logits):
    grove = Grove.of(random_trees(0, count=10, width=1))
    random = np.random.default_rng(1)
    x = random.uniform(-1, 6, (2000, 3)).astype(np.float32)
    reached = reach(grove, x)
    truth = (x[None, :, 0] > 2).astype(np.float64)

    def loss(margin):
        return np.logaddexp(0, -margin * (2 * truth - 1)) if logits else (margin - truth) ** 2

    small = replace(grove, value=grove.value / 10)
    after = corrected(small, reached, truth, logits=logits)
    assert loss(margins(after, reached)).mean() < 0.9 * loss(margins(small, reached)).mean()


def test_a_step_towards_true_classes_makes_them_likelier(random_trees):
    trees = random_trees(4, count=30)
    grove = Grove.of(trees)
    generator = np.random.default_rng(5)
    x = generator.uniform(-1, 6, (2000, 3)).astype(np.float32)
    reached = reach(grove, x)
    y = generator.integers(len(grove.base), size=2000)
    truth = np.eye(len(grove.base))[:, y]

    def likelihood(one):
        return np.log(softmax(margins(one, reached), axis=0)[y, np.arange(2000)]).mean()

    small = replace(grove, value=0.1 * grove.value, base=np.zeros_like(grove.base))
    assert len(grove.base) > 1
    assert likelihood(corrected(small, reached, truth, logits=True)) > likelihood(small) + 0.01


def test_rows_that_are_surely_wrong_move_others_little(random_trees, monkeypatch):
    grove = Grove.of(random_trees(4, count=30))
    x = np.random.default_rng(5).uniform(-1, 6, (2000, 3)).astype(np.float32)
    reached = reach(grove, x)
    sure = replace(grove, value=np.zeros_like(grove.value), base=np.array([40.0, 0.0]))
    truth = np.zeros((2, 2000))
    truth[1, :5], truth[0, 5:] = 1, 1

    def moved():
        after = margins(corrected(sure, reached, truth, logits=True), reached)
        return np.abs(after - margins(sure, reached)).max()

    bounded = moved()
    monkeypatch.setattr(refit, "LEAST_OF_CLASSES", refit.LEAST_CURVATURE)
    assert bounded < 20 < 1000 < moved()
