from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.compression import thresholds
from raymm.compression.grove import Grove, reach
from raymm.compression.thresholds import allotted, coarsened, joined, shortened
from raymm.models import trees
from raymm.models.trees import Tree

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 60), st.booleans())
def test_without_leeway_every_row_stays_on_its_side(seed, count, strict):
    random = np.random.default_rng(seed)
    column = np.sort(random.normal(size=count) * 10.0 ** random.integers(-6, 7)).astype(np.float32)
    thresholds = np.unique(random.choice(column, 5).astype(np.float32))
    if random.random() < 0.5:
        thresholds = np.unique((thresholds + random.choice(column, len(thresholds))) / 2)
    thresholds = thresholds.astype(np.float32)
    new = shortened(thresholds, column, strict=strict)
    before, after = (
        column[None] < t[:, None] if strict else column[None] <= t[:, None]
        for t in (thresholds, new)
    )
    if len(column) < 20:  # so that 5 % of the rows up to the next threshold are none
        assert np.array_equal(before, after)
    assert (np.abs(before.sum(axis=1) - after.sum(axis=1)) <= 0.05 * count).all()
    assert (np.diff(new) >= 0).all()


@pytest.mark.parametrize("strict", [False, True])
def test_thresholds_between_round_numbers_become_round(strict):
    column = np.sort(np.repeat(np.arange(50, dtype=np.float32), 3))
    new = shortened(np.array([3.37, 7.623, 20.5], np.float32), column, strict=strict)
    assert new.tolist() == [3.5, 7.5, 20.5]


@given(SEEDS, st.integers(1, 40), st.integers(1, 40))
def test_at_most_so_many_thresholds_are_left_and_they_stand_in_order(seed, count, most):
    random = np.random.default_rng(seed)
    rank = np.sort(random.integers(0, 100, count))
    uses = random.integers(1, 9, count)
    stands, prices = joined(rank, uses, most)
    assert len(prices) == count - len(set(stands.tolist()))
    assert len(set(stands.tolist())) <= most
    assert (np.diff(stands) >= 0).all()
    assert np.array_equal(stands[stands], stands)
    if most >= count:
        assert np.array_equal(rank[stands], rank)


def test_thresholds_are_joined_where_few_rows_and_splits_move():
    rank = np.array([10, 11, 50, 90, 92])
    assert joined(rank, np.array([5, 1, 1, 1, 9]), 3)[0].tolist() == [0, 0, 2, 4, 4]
    assert joined(rank, np.array([1, 9, 1, 9, 9]), 4)[0].tolist() == [1, 1, 2, 3, 4]


@given(SEEDS, st.integers(1, 12))
def test_thresholds_go_where_joining_costs_least_whichever_the_feature(seed, most):
    random = np.random.default_rng(seed)
    prices = [random.exponential(size=size) for size in random.integers(0, 20, 5)]
    left = allotted(prices, most)
    assert min(left) >= 1
    assert sum(left) <= max(5 * most, 5)
    rising = [np.maximum.accumulate(one) for one in prices]
    gone = [one[: len(one) + 1 - kept] for one, kept in zip(rising, left, strict=True)]
    kept = [one[len(one) + 1 - held :] for one, held in zip(rising, left, strict=True)]
    assert np.concatenate(gone).max(initial=0) <= np.concatenate(kept).min(initial=np.inf)
    # No threshold goes that could stay; features with one have no place for others.
    able = sum(len(one) > 0 for one in prices)
    assert sum(left) == 5 + min(sum(map(len, prices)), able * (most - 1))


def test_features_with_one_threshold_give_no_places_away_and_ties_do_not_all_go():
    some = np.arange(1.0, 10.0)
    assert allotted([some] + [np.empty(0)] * 100, 3) == [3] + [1] * 100
    assert allotted([np.ones(4), np.ones(4)], 3) == [1, 5]
    assert allotted([], 3) == []


def grove(random, strict):
    inner = np.array([True, True, True, False, False, False, False])
    made = [
        Tree(
            feature=np.where(inner, random.integers(0, 2, 7), -1),
            threshold=np.where(inner, random.normal(size=7), 0).astype(np.float32),
            missing_left=inner & (random.random(7) < 0.5),
            left=np.array([1, 3, 5, -1, -1, -1, -1]),
            right=np.array([2, 4, 6, -1, -1, -1, -1]),
            value=random.normal(size=(7, 1)).astype(np.float32),
        )
        for _ in range(30)
    ]
    return Grove.of(trees.join(made, np.zeros(1), strict=strict))


@pytest.mark.slow
@given(SEEDS, st.booleans())
@settings(max_examples=20)
def test_trees_keep_their_number_and_their_answers_about(seed, strict):
    random = np.random.default_rng(seed)
    whole = grove(random, strict)
    x = random.normal(size=(300, 2)).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    before = whole.value[reach(whole, x), 0].sum(axis=0)
    for most, correlation in ((1000, 0.95), (15, 0.7), (1, -1.1)):
        made = coarsened(whole, x, most)
        assert len(made.roots) == len(whole.roots)
        splits = made.left >= 0
        used = [np.unique(made.threshold[splits & (made.feature == one)]) for one in (0, 1)]
        assert sum(map(len, used)) <= 2 * most
        after = made.value[reach(made, x), 0].sum(axis=0)
        assert np.corrcoef(before, after)[0, 1] > correlation


def test_columns_of_sets_stay_as_they_are_and_leave_others_no_more_room(monkeypatch):
    random = np.random.default_rng(2)
    whole = grove(random, False)
    feature, threshold = whole.feature.copy(), whole.threshold.copy()
    feature[whole.roots], threshold[whole.roots] = 2 + np.arange(30), 0.5
    whole = replace(whole, feature=feature, threshold=threshold)
    x = np.hstack([random.normal(size=(300, 2)), random.random((300, 30)) < 0.5])
    looked, found = [], thresholds.shortened
    monkeypatch.setattr(
        thresholds, "shortened", lambda *one, **how: looked.append(one) or found(*one, **how)
    )
    made = coarsened(whole, x.astype(np.float32), 10)
    splits = made.left >= 0
    used = [np.unique(made.threshold[splits & (made.feature == one)]) for one in (0, 1)]
    assert 2 < sum(map(len, used)) <= 2 * 10
    assert len(looked) == 2
    assert (made.threshold[splits & (made.feature >= 2)] == 0.5).all()
    assert len(np.unique(made.feature[splits])) == 32


def test_splits_that_no_row_can_pass_go():
    whole = grove(np.random.default_rng(0), False)
    feature = np.where(whole.left >= 0, 0, -1)
    missing = np.zeros(len(feature), bool)
    whole = replace(whole, feature=feature, missing_left=missing)
    x = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    made = coarsened(whole, x, 1)
    # With one threshold a tree is one split, or two ways to the same leaf are one.
    assert (made.left >= 0).sum() == 30
