from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raymm.monitoring.answered import Answered, bucket
from raymm.monitoring.verdict import Trial, judge, judge_again
from raymm.sections import MonitoringConfig

TRIAL = Trial(labels=200, requests=100, patience=1000.0)


def took(seconds: float, requests: int = 1000) -> dict[str, Any]:
    """Return a report's latency of so many answers that took as long."""
    return {"within": {str(bucket(seconds)): requests}}


def version(
    value: float | None = None, n: int = 0, *, requests: int = 1000, **more: Any
) -> dict[str, Any]:
    recent = {"metric": "accuracy", "direction": "maximize", "value": value, "n": n}
    recent |= {"low": None if value is None else value - 0.02}
    recent |= {"high": None if value is None else value + 0.02}
    return {
        "requests": requests,
        "errors": {},
        "latency": took(0.01, requests),
        "quality": {"recent": recent, "joined": n},
        **more,
    }


@pytest.mark.parametrize(
    ("old", "new", "waited", "verdict", "words"),
    [
        (version(0.8, 800), version(0.84, 799), 0, "unknown", "too few"),
        (version(0.8, 800), version(0.85, 800), 0, "good", "0.85 on 800"),
        (version(0.8, 800), version(0.81, 800), 0, "worse", "0.81 on 800"),  # it may be chance
        (version(0.8, 800), version(0.7, 300), 0, "worse", "0.7 on 300"),  # surely harm
        (version(0.8, 800), version(0.85, 300), 1001, "good", "0.85 on 300"),
        (version(0.8, 800), version(0.79, 300), 1001, "worse", "0.79 on 300"),
        (version(0.8, 500), version(0.9, 199), 0, "unknown", "too few"),
        (version(0.8, 500), version(0.9, 500, window={"rows": 500}), 0, "good", "0.9 on 500"),
        (version(0.8, 150), version(0.9, 150, window={"rows": 150}), 0, "good", "0.9 on 150"),
        (version(), version(), 1001, "good", "answers were not judged"),
        (version(), version(requests=99), 0, "unknown", "99 of 100"),
        (version(), version(requests=99), 1001, "worse", "99 of 100"),
        (version(), version(0.9, 500, latency=took(0.03)), 0, "worse", "up to 31.2 ms"),
        (version(0.8, 500), version(0.9, 500, errors={"BundleError": 50}), 0, "worse", "failed 50"),
        (version(0.8, 500), version(0.9, 500, errors={"InputError": 500}), 1001, "good", "0.9"),
    ],
)
def test_labels_decide_where_there_are_enough(
    old: Any, new: Any, waited: float, verdict: str, words: str
) -> None:
    found = judge(old, new, TRIAL, waited=waited)
    assert found.verdict == verdict
    assert words in found.reason


def test_the_champion_is_judged_on_the_challengers_rows_where_they_are_known() -> None:
    new = version(0.8, 800)
    assert judge(version(0.9, 900), new, TRIAL, waited=0).verdict == "worse"
    new["champion"] = version(0.7, 800)["quality"]["recent"]
    assert judge(version(0.9, 500), new, TRIAL, waited=0).verdict == "good"


def test_smaller_errors_are_better() -> None:
    old, new = version(2.0, 800), version(1.5, 800)
    for one in (old, new):
        one["quality"]["recent"]["direction"] = "minimize"
    assert judge(old, new, TRIAL, waited=0).verdict == "good"
    assert judge(new, old, TRIAL, waited=0).verdict == "worse"


def test_a_challenger_two_points_worse_is_seldom_called_good_however_often_one_looks() -> None:
    rng, good = np.random.default_rng(0), 0
    for _ in range(200):
        sides = [(rng.random(1000) < rate).cumsum() for rate in (0.80, 0.78)]
        for n in range(200, 1001, 50):
            old, new = (version(hits[n - 1] / n, n) for hits in sides)
            for one in (old, new):
                recent = one["quality"]["recent"]
                reach = 1.96 * (recent["value"] * (1 - recent["value"]) / n) ** 0.5
                recent |= {"low": recent["value"] - reach, "high": recent["value"] + reach}
            verdict = judge(old, new, TRIAL, waited=0).verdict
            if verdict != "unknown":
                break
        good += verdict == "good"
    assert good <= 10


def pair(old: float, new: float, n: int, deviation: float = 0.01) -> dict[str, Any]:
    """Return what the monitor says of two versions on the same rows."""
    return {
        "metric": "accuracy", "direction": "maximize", "n": n, "old": old, "new": new,
        "gain": new - old, "deviation": deviation,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("new", "n", "waited", "verdict", "words"),
    [
        (0.82, 800, 0, "good", "same 800"),  # by rows of its own it may be chance
        (0.80, 800, 0, "worse", "at least -0.0167"),
        (0.82, 799, 0, "unknown", "too few"),
        (0.82, 300, 1001, "good", "same 300"),
        (0.74, 300, 0, "worse", "0.74"),  # surely harm
        (0.74, 150, 0, "unknown", "too few"),
    ],
)
def test_versions_that_answered_the_same_rows_are_compared_on_those(
    new: float, n: int, waited: float, verdict: str, words: str
) -> None:
    challenger = version(new, n, paired=pair(0.8, new, n))
    found = judge(version(0.8, n), challenger, TRIAL, waited=waited)
    assert found.verdict == verdict
    assert words in found.reason


def test_labels_of_before_the_trial_do_not_count() -> None:
    challenger = version(0.82, 800, paired=pair(0.8, 0.82, 800))
    champion = version(0.8, 800)
    assert judge(champion, challenger, TRIAL, waited=0, before=(0, 1)).verdict == "unknown"
    assert judge(champion, challenger, TRIAL, waited=0, before=(0, 0)).verdict == "good"


def test_labels_that_leave_hardly_any_doubt_are_acted_on_before_all_have_come() -> None:
    for new, n, verdict in ((0.83, 200, "good"), (0.82, 799, "unknown"), (0.9, 199, "unknown")):
        challenger = version(new, n, paired=pair(0.8, new, n))
        assert judge(version(0.8, n), challenger, TRIAL, waited=0).verdict == verdict
    earlier = version(0.8, 300, paired=pair(0.795, 0.8, 300))
    assert judge_again(earlier, version(0.795, 300), TRIAL, waited=0).verdict == "good"


def looked(won: float, lost: float, rng: np.random.Generator, again: bool) -> str:
    """Return the verdict on a version that wins and loses so many rows, looked at every 10."""
    draws = rng.random(800)
    gains = np.cumsum((draws < won).astype(int) - (draws > 1 - lost))
    apart = np.cumsum((draws < won) | (draws > 1 - lost))
    for n in range(200, 801, 10):
        gain, spread = gains[n - 1] / n, (apart[n - 1] + 2) / (n + 2)
        figures = pair(0.8, 0.8 + gain, n, ((spread - gain**2) / (n + 2)) ** 0.5)
        one, other = version(0.8, n), version(0.8, n)
        if again:
            one["paired"] = {**figures, "gain": -gain, "old": 0.8 + gain, "new": 0.8}
            found = judge_again(one, other, BARE, waited=0)
        else:
            other["paired"] = figures
            found = judge(one, other, BARE, waited=0)
        if found.verdict != "unknown":
            return found.verdict
    return "unknown"


BARE = Trial(labels=200, requests=100, patience=1000.0, margin=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("part", [pytest.param(0.02, marks=pytest.mark.long), 0.1])
def test_who_looks_at_each_label_promotes_equals_no_oftener_than_is_said(part: float) -> None:
    """5 % where the margin is 0: of 2,000, 7 % is four standard deviations of 0.5 % more.

    The two disagree on twice that ``part`` of the rows; no challenger is left undecided.
    """
    rng = np.random.default_rng(0)
    verdicts = [looked(part, part, rng, again=False) for _ in range(2000)]
    assert verdicts.count("good") <= 140
    assert verdicts.count("unknown") == 0


def test_who_looks_at_each_label_takes_back_what_is_worse_and_seldom_what_is_not() -> None:
    """2.5 % of equals at most, of 1,000 that is 45 with four standard deviations of 0.5 %; of
    champions 8 points worse, 6 deviations of 800 rows, nine in ten are taken back."""
    rng = np.random.default_rng(1)
    equals = [looked(0.05, 0.05, rng, again=True) for _ in range(1000)]
    worse = [looked(0.04, 0.12, rng, again=True) for _ in range(300)]
    assert equals.count("worse") <= 45
    assert worse.count("worse") >= 270


def test_what_is_not_blessed_goes_on_by_labels_of_the_same_rows_alone() -> None:
    apart = version(0.9, 800)
    paired = version(0.82, 800, paired=pair(0.8, 0.82, 800))
    for challenger, waited, verdict in (
        (version(), 0, "unknown"),
        (version(), 1001, "worse"),
        (apart, 0, "unknown"),
        (apart, 1001, "worse"),
        (paired, 0, "good"),
    ):
        found = judge(version(0.8, 800), challenger, TRIAL, waited=waited, blessed=False)
        assert found.verdict == verdict
        assert found.labelled == (verdict == "good")
        assert ("not blessed" in found.reason) == (verdict == "worse")
    # Once labels have settled it, a canary of few labels goes on by its patience.
    settled = {"settled": True, "blessed": False}
    assert judge(version(), version(), TRIAL, waited=1001, **settled).verdict == "good"


def test_of_smaller_errors_the_margin_is_a_share() -> None:
    """A gain of -0.5 in 100 is within one per cent of the champion's error, of 10 it is not."""
    for old, verdict in ((100.0, "good"), (10.0, "worse")):
        figures = {**pair(old, old + 0.5, 800, 0.1), "direction": "minimize", "gain": -0.5}
        challenger = version(0.9, 800, paired=figures)
        assert judge(version(0.8, 800), challenger, TRIAL, waited=0).verdict == verdict


@pytest.mark.parametrize(
    ("before", "now", "n", "waited", "verdict"),
    [
        (0.80, 0.77, 800, 0, "worse"),
        (0.80, 0.79, 800, 0, "good"),  # it may be chance
        (0.80, 0.85, 800, 0, "good"),
        (0.80, 0.77, 500, 0, "unknown"),
        (0.80, 0.77, 300, 1001, "worse"),
        (0.80, 0.74, 300, 0, "worse"),  # surely harm
        (0.80, 0.755, 300, 0, "unknown"),  # by more than chance, and not by more than the margin
        (0.80, 0.775, 800, 0, "good"),  # at most 0.0054 worse: the margin is 0.01
        (0.80, 0.70, 100, 0, "unknown"),
        (0.80, 0.70, 100, 1001, "good"),  # labels are too few to take it back
    ],
)
def test_a_new_champion_is_taken_back_only_where_it_is_surely_worse(
    before: float, now: float, n: int, waited: float, verdict: str
) -> None:
    earlier = version(before, n, paired=pair(now, before, n))
    found = judge_again(earlier, version(now, n), TRIAL, waited=waited)
    assert found.verdict == verdict
    assert found.reason


def test_a_new_champion_is_not_judged_by_other_times_however_far_apart_they_are() -> None:
    earlier, champion = version(0.9, 800), version(0.5, 800)
    for waited, verdict in ((0, "unknown"), (1001, "good")):
        assert judge_again(earlier, champion, TRIAL, waited=waited).verdict == verdict


def test_a_new_champion_that_fails_or_is_slow_is_taken_back() -> None:
    failing = version(errors={"BundleError": 50})
    slow = version(latency=took(0.03))
    for one, words in ((failing, "failed 50"), (slow, "up to 31.2 ms")):
        found = judge_again(version(), one, TRIAL, waited=0)
        assert found.verdict == "worse"
        assert words in found.reason
    assert judge_again(version(), version(), TRIAL, waited=0).verdict == "unknown"
    assert judge_again(version(), version(), TRIAL, waited=1001).verdict == "good"


def known(requests: int = 1000, failed: int = 0, seconds: float = 0.01) -> Answered:
    return Answered(requests=requests, failed=failed, within=((bucket(seconds), requests),))


@pytest.mark.parametrize(
    ("usual", "then", "verdict"),
    [
        (known(failed=50, seconds=0.03), Answered(), "unknown"),  # it failed as much, and as slowly
        (known(seconds=0.03), Answered(failed=50, requests=60), "unknown"),  # in its trial
        (known(seconds=0.03), Answered(), "worse"),
        (known(failed=50, seconds=0.01), Answered(), "worse"),
        (known(), Answered(failed=50, requests=1000, within=((-20, 1000),)), "unknown"),  # all then
    ],
)
def test_a_new_champion_is_compared_with_what_the_other_did_while_it_answered(
    usual: Answered, then: Answered, verdict: str
) -> None:
    """The other, in shadow since, only computes: it takes less time and fails less."""
    champion = version(errors={"Exception": 50}, latency=took(0.03))
    found = judge_again(version(), champion, TRIAL, waited=0, usual=usual, then=then)
    assert found.verdict == verdict


def test_what_was_before_the_stage_counts_for_nothing() -> None:
    """The champion was fast for a year, and both answer requests of many rows since."""
    before = known(1_000_000)
    champion = version(requests=1_000_500, latency={"within": {"-26": 1_000_000, "-10": 500}})
    challenger = version(requests=500, latency={"within": {"-10": 500}})
    assert "up to 177 ms" in judge(champion, challenger, TRIAL, waited=0).reason
    found = judge(champion, challenger, TRIAL, waited=0, then=(before, Answered()))
    assert found.verdict == "unknown"


def test_a_few_failures_more_are_chance_to_who_looks_often() -> None:
    """20 of 1,000 and 8 of 1,000 are 2.3 deviations apart."""
    some, more = version(errors={"Exception": 8}), version(errors={"Exception": 20})
    assert judge_again(some, more, TRIAL, waited=0).verdict == "unknown"
    assert judge(some, more, TRIAL, waited=0).verdict == "unknown"


def test_labels_decide_where_few_are_kept() -> None:
    trial = Trial.of(MonitoringConfig(labels=300))
    assert trial.kept == 300
    for n, verdict in ((149, "unknown"), (150, "good"), (300, "good")):
        challenger = version(0.9, n, paired=pair(0.8, 0.9, n), window={"rows": 1000})
        assert judge(version(0.8, n), challenger, trial, waited=0).verdict == verdict


def test_the_trial_is_as_configured() -> None:
    asked = {"labels": 50, "patience": "2d", "share": 0.3, "rollback": "off"}
    trial = Trial.of(MonitoringConfig.model_validate({"trial": asked}))
    assert trial == Trial(labels=50, patience=172_800.0, share=0.3, rollback=False)
    assert Trial.of(MonitoringConfig()) == Trial()


@pytest.mark.parametrize(
    ("new", "verdict"), [(0.82, "good"), (0.80, "good"), (0.78, "good"), (0.77, "worse")]
)
def test_what_labels_have_settled_is_taken_back_only_where_it_is_surely_worse(
    new: float, verdict: str
) -> None:
    challenger = version(new, 800, paired=pair(0.8, new, 800))
    found = judge(version(0.8, 800), challenger, TRIAL, waited=0, settled=True)
    assert (found.verdict, found.labelled) == (verdict, True)
    same = version(0.8, 800, paired=pair(0.8, 0.8, 800, deviation=0.0))
    bare = Trial(labels=200, requests=100, margin=0.0)
    assert judge(version(0.8, 800), same, bare, waited=0, settled=True).verdict == "good"
    assert not judge(version(), version(), TRIAL, waited=1001).labelled


def late(days: float, joined: int = 500) -> dict[str, Any]:
    """Return the report of a version whose labels come up to so many days late."""
    made = version()
    made["quality"] |= {"joined": joined, "delay": {"p95": days * 86400}}
    return made


@pytest.mark.parametrize(
    ("days", "waited", "verdict", "words"),
    [
        (2, 0.5, "unknown", "still too few"),
        (2, 5.9, "unknown", "up to 2 days late, so it is waited for them until 6 days"),
        (2, 6.1, "good", "not judged, though they were waited for 6 days"),
        (0.1, 0.9, "unknown", "still too few"),
        (0.1, 1.1, "good", "not judged"),
        (300, 89.0, "unknown", "until 90 days"),
        (300, 91.0, "good", "not judged"),
    ],
)
def test_labels_that_are_known_to_be_late_are_waited_for(
    days: float, waited: float, verdict: str, words: str
) -> None:
    """The patience is a day."""
    found = judge(late(days), version(), Trial(), waited=waited * 86400)
    assert (found.verdict, found.overdue) == (verdict, verdict == "unknown" and waited > 1)
    assert words in found.reason
    again = judge_again(late(days), version(), Trial(), waited=waited * 86400)
    assert (again.verdict, again.overdue) == (found.verdict, found.overdue)


def test_late_labels_decide_when_they_come() -> None:
    old, new = late(2), version(0.89, 300)
    old["quality"]["recent"] = version(0.9, 800)["quality"]["recent"]
    found = judge(old, new, Trial(), waited=3 * 86400)
    assert (found.verdict, found.labelled) == ("worse", True)
    # Enough of them were judged in shadow: a canary takes its patience and no longer.
    assert judge(late(2), version(), Trial(), waited=86401, settled=True).verdict == "good"
    # Of few labels it is not known how late they come.
    assert judge(late(2, joined=199), version(), Trial(), waited=86401).verdict == "good"
