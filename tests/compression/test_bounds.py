from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from raymm.artifacts import Candidate, Score
from raymm.compression import bounds
from raymm.compression.bounds import unlost, unseen
from raymm.compression.choosing import choose
from raymm.compression.judging import Form, Judge
from raymm.sections import Limits

FORMS, ROWS, DRAWN, TIMES = 12, 300, 200, 200
ALLOWED = 0.02


class Mean:
    name = "loss"
    direction = "minimize"
    bounded = True

    def __call__(self, truth, prediction):
        return float(np.mean(prediction))


def losses(random):
    """Return what forms lose on rows, shape (ROWS, FORMS): each the very limit, on average.

    Half of each row's loss is all forms' own, as forms of one model lose on the same rows.
    """
    common, own = random.normal(size=(ROWS, 1)), random.normal(size=(ROWS, FORMS))
    return ALLOWED + 0.1 * (common + own) / np.sqrt(2)


def drawn(random, lost):
    counts = random.multinomial(ROWS, np.full(ROWS, 1 / ROWS), size=DRAWN)
    return counts @ lost / ROWS


def forms_of(values, resampled):
    """Return the bundle as it is and forms of ever fewer bytes."""
    low, high = np.quantile(resampled, [0.05, 0.95], axis=0)
    made = []
    for number in range(-1, len(values)):
        whole = number < 0
        ends = (0.0, 0.0, 0.0) if whole else (values[number], low[number], high[number])
        candidate = Candidate(
            technique="none" if whole else "made",
            parameters={"number": number},
            score=0.0,
            loss=Score(metric="loss", value=ends[0], low=ends[1], high=ends[2], level=0.9),
            bytes=100 - number,
            row_microseconds=1.0,
        )
        drawn_losses = np.zeros(DRAWN) if whole else resampled[:, number]
        made.append(Form(bundle=None, candidate=candidate, losses=drawn_losses))
    return made


@pytest.mark.slow
def test_the_promised_loss_holds_for_the_smallest_of_many():
    # Every form loses the limit on average: each choice but the bundle itself breaks the promise.
    random = np.random.default_rng(5)
    judge = Judge(
        metric=Mean(),
        tensors={},
        y=np.zeros(ROWS),
        seed=0,
        whole=np.zeros(ROWS),
        max_loss=ALLOWED,
    )
    broken = {"together": 0, "alone": 0}
    for _ in range(TIMES):
        lost = losses(random)
        forms = forms_of(lost.mean(axis=0), drawn(random, lost))
        for name, candidates in (
            ("together", judge.together(forms)),
            ("alone", tuple(form.candidate for form in forms)),
        ):
            (best,) = [one for one in choose(candidates, judge, Limits()) if one.chosen]
            broken[name] += best.technique != "none"
    # Three standard deviations of a share of 5 % in so many tries.
    most = TIMES * 0.05 + 3 * np.sqrt(TIMES * 0.05 * 0.95)
    assert broken["together"] <= most < broken["alone"]


def test_bounds_of_one_are_those_of_a_normal_and_grow_with_how_many_there_are():
    random = np.random.default_rng(0)
    resampled = random.normal(size=(20_000, 10))
    ends = [bounds.together(np.zeros(m), resampled[:, :m], 0.9)[1].max() for m in (1, 10)]
    # 1.645, and the normal quantile at (1 + 0.9 ** (1 / 10)) / 2; both within 2 %.
    assert ends == pytest.approx([1.645, 2.560], rel=0.02)
    same = np.repeat(resampled[:, :1], 10, axis=1)
    assert bounds.together(np.zeros(10), same, 0.9)[1] == pytest.approx(ends[0], rel=1e-6)


def test_what_is_not_defined_has_no_bounds_and_what_never_varies_has_its_value():
    resampled = np.random.default_rng(0).normal(size=(100, 3))
    resampled[:60, 0], resampled[:, 1] = np.nan, 2.0
    resampled[:10, 2] = np.nan
    low, high = bounds.together(np.array([0.0, 2.0, 0.0]), resampled, 0.9)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (2.0, 2.0)
    assert low[2] < 0 < high[2]


@pytest.mark.parametrize("rows", [19, 288])
def test_what_is_lost_by_chance_is_within_the_bound_in_95_of_100_samples(rows: int) -> None:
    """All samples in which no row loses, of any shares of losing and of gaining rows."""
    gained = np.arange(rows)
    bounds = np.array([unlost(rows, int(one), 1, 0.9) for one in gained])
    assert (np.diff(bounds) <= 1e-12).all()
    for losing in np.linspace(0, 8, 25) / rows:
        for gaining in np.linspace(0, 12, 25) / rows:
            if losing + gaining >= 1:
                continue
            chances = (1 - losing) ** rows * binom.pmf(gained, rows, gaining / (1 - losing))
            assert chances[bounds < losing - gaining - 1e-12].sum() <= 0.05


def test_a_gain_of_a_single_row_promises_nothing() -> None:
    assert unlost(19, 1, 1, 0.9) == unseen(19, 1, 0.9)
    assert unlost(288, 288, 1, 0.9) == 0.0


def test_what_is_not_counted_is_bounded_by_itself():
    """Forms that lose far too much widen no other's bounds, and are not known to the digit."""
    random = np.random.default_rng(0)
    values, resampled = (
        np.array([0.5, 0.0]),
        random.normal(size=(10_000, 2)) * [0.02, 0.0] + [0.5, 0],
    )
    for counted in (np.array([False, False]), np.array([False, True])):
        low, high = bounds.together(values, resampled, 0.9, counted)
        assert (high - low)[0] == pytest.approx(2 * 1.645 * 0.02, rel=0.05)
        assert low[1] == high[1] == 0.0
    both = bounds.together(values, random.normal(size=(10_000, 2)), 0.9, np.array([True, True]))
    one = bounds.together(values, random.normal(size=(10_000, 2)), 0.9, np.array([True, False]))
    assert (both[1] - both[0])[0] > (one[1] - one[0])[0] > 3.2
