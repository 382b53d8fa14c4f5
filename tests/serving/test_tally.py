"""Counts of a version's requests, and whether a canary's are worse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from raymm.serving.tally import LEAST_KNOWN, Counts, Tally, bounds, tail, total, verdict


def counted(seconds, errors=0):
    tally = Tally()
    for one in seconds:
        tally.answered(one)
    for _ in range(errors):
        tally.failed()
    return tally.counts()


def test_quantiles_are_within_a_bucket():
    seconds = np.random.default_rng(0).lognormal(-6, 1, 5000)
    counts = counted(seconds)
    for share in (0.5, 0.9, 0.99):
        true = np.quantile(seconds, share)
        assert true / 2**0.26 <= counts.quantile(share) <= true * 2**0.26
    assert counted([]).quantile(0.99) == 0.0
    assert counted([0.0, 1e-9, 1e9]).requests == 3


def test_counts_add_up_and_are_read_back():
    both = total([counted([0.01, 0.02], 1), counted([0.01])])
    assert (both.requests, both.errors, sum(both.within)) == (4, 1, 3)
    assert Counts.of(both.record()) == both
    assert total([]) == Counts()


def test_what_calls_take_follows_the_newest():
    tally = Tally()
    assert tally.call_seconds == 0
    tally.called(1.0)
    assert tally.call_seconds == 1
    for _ in range(40):
        tally.called(3.0)
    assert tally.call_seconds == pytest.approx(3, abs=0.01)


def test_the_tail_is_that_of_the_binomial():
    for least, trials, chance in ((3, 50, 0.01), (1, 1, 0.3), (40, 200, 0.1)):
        assert tail(least, trials, chance) == pytest.approx(
            stats.binom.sf(least - 1, trials, chance)
        )


def test_a_canary_that_is_like_the_champion_goes_on():
    """One test in 2,000 says otherwise by chance; of 200 trials at two tests each, 3 is rare."""
    generator, ended = np.random.default_rng(1), 0
    for _ in range(200):
        champion = counted(generator.lognormal(-6, 0.5, 900), generator.binomial(900, 0.02))
        canary = counted(generator.lognormal(-6, 0.5, 100), generator.binomial(100, 0.02))
        ended += bool(verdict(champion, canary, slowdown=2.0))
    assert ended <= 3


def test_a_canary_that_fails_or_is_slow_is_ended():
    champion = counted([0.002] * 950, 1)
    assert "failed 5 of 50" in verdict(champion, counted([0.002] * 45, 5), slowdown=2)
    slow = verdict(champion, counted([0.002] * 40 + [0.02] * 10), slowdown=2)
    assert "10 of its 50 answers took over 2 times" in slow
    assert not verdict(champion, counted([0.003] * 50), slowdown=2)
    assert not verdict(champion, counted([0.002] * 50), slowdown=2)
    assert not verdict(Counts(), Counts(), slowdown=2)


def test_no_time_is_judged_before_the_champions_is_known():
    """Its 99th percentile of a few answers is whatever those took."""
    slow = counted([0.02] * 50)
    assert not verdict(counted([0.002] * (LEAST_KNOWN - 1)), slow, slowdown=2)
    assert "99th percentile" in verdict(counted([0.002] * LEAST_KNOWN), slow, slowdown=2)
    assert "failed 50" in verdict(counted([0.002] * 20), counted([], 50), slowdown=2)


def test_the_bounds_are_those_of_the_quantiles():
    tally = Tally()
    tally.answered(0.5)
    counts, ends = tally.counts(), bounds()
    place = counts.within.index(1)
    assert counts.quantile(0.5) == ends[place] >= 0.5 > ends[place - 1]
    assert len(ends) == len(counts.within)


def test_the_usual_time_is_that_of_calls_under_light_load():
    tally = Tally()
    assert tally.usual_seconds == 0
    for seconds in (1.0, 3.0):
        tally.called(seconds)
    assert tally.usual_seconds == 2
    assert tally.asked(6.0, 100.0, over=10.0, able=1.2) == 0.5
    tally.called(2.0)
    assert tally.usual_seconds == 2
    assert tally.asked(1.0, 100.0, over=10.0, able=1.2) > 0.5
    for _ in range(40):
        tally.called(9.0)
    assert tally.usual_seconds == 2
    tally.asked(0.0, 110.0, over=10.0, able=1.2)
    for _ in range(100):
        tally.called(4.0)
    assert tally.usual_seconds == pytest.approx(4, abs=0.02)


def test_a_crowd_is_what_comes_within_a_call():
    tally = Tally()
    assert [tally.crowd(10.0, call=2.0) for _ in range(3)] == [1, 2, 3]
    assert tally.crowd(12.0, call=2.0) == pytest.approx(1 + 3 / math.e)
    for second in range(20, 90):
        many = tally.crowd(float(second), call=1.0)
    assert many == pytest.approx(1 / (1 - 1 / math.e))  # one a call


def test_what_is_asked_for_counts_the_less_the_longer_ago_it_was():
    tally = Tally()
    assert tally.asked(2.0, 100.0, over=10.0) == 0.2
    assert tally.asked(0.0, 110.0, over=10.0) == pytest.approx(0.2 / math.e)
    for second in range(111, 200):
        much = tally.asked(3.0, float(second), over=10.0)
    assert much == pytest.approx(3.0, rel=0.06)  # a second
