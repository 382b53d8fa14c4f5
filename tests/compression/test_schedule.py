from __future__ import annotations

import pytest

from raymm.compression import schedule
from raymm.compression.schedule import LATER, Schedule
from raymm.errors import Interrupted


class Clock:
    def __init__(self, left):
        self.now = left

    def __call__(self):
        return self.now


def run(plan, clock, name, seconds, extra=0.0):
    """Say whether a form was allowed, and let it take so long."""
    allowed = plan.allows(name, {"size": 1}, extra)
    if allowed:
        with plan.timed(name):
            clock.now -= seconds
    return allowed


def test_without_a_clock_everything_is_tried():
    plan = Schedule()
    assert not plan.bounded
    assert plan.allows("any", {}, extra=1e9)
    with plan.timed("any"):
        pass
    assert (plan.left_out, plan.took) == ([], {})


def test_where_there_is_no_time_to_come_back_the_finest_comes_first():
    recipes = [{"bits": bits} for bits in (14, 12, 8, 6, 5, 4, 3)]
    clock = Clock(42.0)
    plan = Schedule(left=clock)
    assert plan.some(recipes, 2) == (recipes, 4)
    assert run(plan, clock, "slow", 6.0)
    assert plan.some(recipes, 2) == (recipes, 4)
    clock.now = 35.0
    assert plan.some(recipes, 2) == (recipes, 2)
    assert Schedule().some(recipes, 2) == (recipes, 4)


def test_time_is_kept_for_making_good_forms_of_the_final_bundle():
    clock = Clock(20.0)
    plan = Schedule(left=clock)
    assert plan.free == 20.0
    assert run(plan, clock, "slow", 6.0)
    assert run(plan, clock, "slow", 2.0)
    assert plan.free == 12.0
    plan.found("slow")
    plan.found("slow")
    plan.found("never timed")
    assert plan.free == pytest.approx(12.0 - schedule.AGAIN * 6.0)
    assert run(plan, clock, "slow", 2.5)
    assert not run(plan, clock, "slow", 2.5)
    assert plan.left_out == ["slow size=1: it would take 2.5 s of the 2.3 s there are"]
    assert Schedule().free == float("inf")


def test_the_final_bundle_is_measured_once_however_many_techniques_it_goes_through():
    clock, measured = Clock(20.0), []
    plan = Schedule(left=clock, measured=measured)
    for name, making, measuring in (("prune", 3.0, 2.0), ("prune+quantize", 1.0, 1.0)):
        with plan.timed(name):
            clock.now -= making + measuring
            measured.append((1000, measuring))
        plan.found(name)
    assert plan.took == {"prune": 5.0, "prune+quantize": 2.0}
    assert plan.free == pytest.approx(13.0 - schedule.AGAIN * 4.0 - schedule.PROVING * 2.0)


def test_a_first_form_that_failed_tells_nothing_of_the_final_bundle():
    clock, measured = Clock(40.0), []
    plan = Schedule(left=clock, measured=measured)
    with plan.tried("prune", {}), plan.timed("prune"):
        clock.now -= 1.0
        raise ValueError("no memory")
    with plan.timed("prune"):
        clock.now -= 15.0
        measured.append((1000, 5.0))
    plan.found("prune")
    assert plan.free == pytest.approx(24.0 - schedule.AGAIN * 10.0 - schedule.PROVING * 5.0)


def test_a_form_is_made_only_if_its_final_bundle_finds_time():
    clock = Clock(20.0)
    plan = Schedule(left=clock)
    assert run(plan, clock, "slow", 6.0)
    assert run(plan, clock, "slow", 4.0)
    assert not run(plan, clock, "slow", 4.0)  # 10 s are left, and a final one takes over 7
    assert run(plan, clock, "other", 2.0)
    plan.found("other")
    assert not run(plan, clock, "slow", 4.0)


def test_what_a_form_takes_at_least_counts_where_the_last_took_less():
    plan = Schedule(left=Clock(10.0), took={"quick": 1.0})
    assert plan.allows("quick", {"size": 1}, least=10.0)
    assert not plan.allows("quick", {"size": 1}, least=11.0)
    assert plan.allows("quick", {"size": 1}, least=11.0, due=True)
    assert plan.left_out == ["quick size=1: it would take 11 s of the 10 s there are"]


def test_what_the_last_form_of_a_technique_took_foretells_its_next():
    clock = Clock(10.0)
    plan = Schedule(left=clock)
    assert run(plan, clock, "slow", 6.0)
    plan.first.clear()  # as if the final bundle took no time
    assert not run(plan, clock, "slow", 6.0)
    # Of one that was not tried yet the shortest of the others is foretold.
    assert not run(plan, clock, "new", 0.1)
    plan.took["quick"] = 0.1
    assert run(plan, clock, "new", 0.1)
    assert not run(plan, clock, "new", 0.1, extra=5.0)
    # The first form prepares what the others use.
    plan.took["slow"] = 1.0
    assert run(plan, clock, "slow", 0.5)
    assert plan.left_out == [
        "slow size=1: it would take 6 s of the 4 s there are",
        "new size=1: it would take 6 s of the 4 s there are",
        "new size=1: it would take 5.1 s of the 3.8 s there are",
    ]


def test_nothing_is_allowed_when_no_time_is_left():
    clock = Clock(1.0)
    plan = Schedule(left=clock)
    assert run(plan, clock, "one", 1.5)
    assert not plan.allows("two", {})
    assert plan.over
    assert plan.allows("two", {}, due=True)
    clock.now = 0.0
    assert not Schedule(left=clock).allows("one", {})


def test_some_time_is_kept_for_what_follows():
    clock = Clock(10.0)
    plan = Schedule(left=clock)
    plan.keep(True)
    assert not plan.allows("one", {}, extra=10.0 * (1 - LATER) + 0.1)
    assert plan.allows("one", {}, extra=10.0 * (1 - LATER) - 0.1)
    plan.keep(False)
    assert plan.allows("one", {}, extra=9.9)


def test_recipes_are_thinned_evenly_with_both_ends_kept():
    recipes = [{"size": size} for size in range(9)]
    assert Schedule().some(recipes) == (recipes, len(recipes) // 2)
    assert [one["size"] for one in Schedule(most=3).some(recipes)[0]] == [0, 4, 8]
    assert [one["size"] for one in Schedule(most=1).some(recipes)[0]] == [0]
    # Of four in front that are left to the end one is taken.
    some, middle = Schedule(most=3).some(recipes, 4)
    assert [one["size"] for one in some] == [2, 5, 8]
    assert middle == 1
    assert Schedule().some(recipes, 4)[1] == 6


def test_a_first_form_may_foretell_that_the_next_takes_less():
    clock = Clock(10.0)
    plan = Schedule(left=clock)
    with plan.timed("prune", 0.25):
        clock.now -= 8.0
    plan.first.clear()
    assert plan.took == {"prune": 2.0}
    assert plan.allows("prune", {})


def test_what_raises_is_left_out_with_its_reason_and_its_time():
    clock = Clock(10.0)
    plan = Schedule(left=clock)
    with plan.tried("distill", {"rounds": 8}), plan.timed("distill"):
        clock.now -= 3.0
        raise ValueError("no rows\nat all")
    assert plan.left_out == ["distill rounds=8: it could not be made: ValueError: no rows"]
    assert plan.took == {"distill": 3.0}
    with pytest.raises(Interrupted), plan.tried("distill", {}):
        raise Interrupted("stop")


def test_half_of_the_time_is_left_however_long_training_took(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
    assert schedule.remaining(None, 0.0) is None
    assert schedule.remaining(20.0, 95.0)() == 15.0
    late = schedule.remaining(20.0, 50.0)
    assert late() == 20.0 * schedule.SURE
    now[0] = 103.0
    assert late() == 20.0 * schedule.SURE - 3
    # It begins when it is asked first: until then the bundle is measured as it is.
    waited = schedule.remaining(20.0, 90.0)
    now[0] = 111.0
    assert waited() == 20.0 * schedule.SURE
    soon = schedule.remaining(20.0, 110.0)
    now[0] = 112.0
    assert soon() == 18.0


def test_first_forms_are_begun_where_they_and_a_final_bundle_find_time():
    plan = Schedule(left=Clock(10.0), whole=1.0)
    assert (plan.affordable, plan.short) == (True, False)
    plan.whole = 1.5
    assert (plan.affordable, plan.short) == (True, True)
    plan.whole = 2.1
    assert not plan.affordable
    assert not Schedule(left=Clock(0.0)).affordable
    assert Schedule(whole=100.0).affordable
    assert not Schedule(whole=100.0).short
