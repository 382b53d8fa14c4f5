"""Where replicas say how they stand."""

from __future__ import annotations

import asyncio

import pytest

from raymm.errors import Overloaded
from raymm.serving import desk as desk_module
from raymm.serving.desk import Desk, Line, desk_name
from raymm.serving.tally import Tally


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def standing(sequence, *, canary=None, refused=None, counts=None):
    return {
        "sequence": sequence,
        "champion": 1,
        "canary": canary,
        "shadow": None,
        "refused": refused or {},
        "counts": {number: tally.counts().record() for number, tally in (counts or {}).items()},
    }


def tally(answers, errors=0, seconds=0.002):
    made = Tally()
    for _ in range(answers):
        made.answered(seconds)
    for _ in range(errors):
        made.failed()
    return made


def test_a_change_is_over_when_every_living_replica_has_followed():
    alive = {"a", "b"}
    desk = Desk(alive=lambda: alive)
    assert desk.standing("m")["switched"] == -1
    desk.report("a", "m", standing(3))
    desk.report("b", "m", standing(-1))  # it begins, and may yet load what was before
    desk.report("b", "other", standing(9))
    assert desk.standing("m")["switched"] == -1
    desk.report("b", "m", standing(2))
    assert desk.standing("m")["switched"] == 2
    alive.remove("b")
    assert desk.standing("m")["switched"] == 3
    assert desk.standing("other")["switched"] == -1


def test_a_desk_that_was_started_again_waits_to_hear_of_all():
    clock = Clock()
    desk = Desk(alive=lambda: {"a"}, settles=lambda: 15.0, clock=clock)
    desk.report("a", "m", standing(3))
    assert desk.standing("m")["switched"] == -1
    clock.now = 15.0
    assert desk.standing("m")["switched"] == 3


def test_what_a_dead_replica_counted_condemns_nobody():
    alive, refused = {"a", "b"}, []
    desk = Desk(alive=lambda: alive, refuse=lambda *what, **how: refused.append(what))
    alive.remove("b")  # killed while it failed, and never heard of again
    bad = {"1": tally(400), "2": tally(0, errors=80)}
    desk._replicas["b"] = {"m": standing(5, canary=2, counts=bad)}
    desk.report("a", "m", standing(5, canary=2, counts={"1": tally(400), "2": tally(60)}))
    assert not refused
    alive.add("b")
    desk.report("b", "m", standing(5, canary=2, counts=bad))
    assert refused == [("m", 2)]


def test_a_replica_that_lags_behind_does_not_say_who_is_judged():
    refused = []
    desk = Desk(alive=lambda: {"a", "b"}, refuse=lambda *what, **how: refused.append(what))
    counts = {"1": tally(400), "2": tally(20, errors=40), "3": tally(0, errors=400)}
    desk.report("a", "m", {**standing(6, counts=counts), "champion": 3})  # its canary has ended
    desk.report("b", "m", standing(5, canary=2, counts=counts))
    assert not refused
    # As failing as the champion that the newest release names, and not as the one before.
    desk.report("a", "m", {**standing(6, canary=2, counts=counts), "champion": 3})
    assert not refused


def test_nobody_is_judged_while_it_is_not_known_who_lives():
    def away():
        raise OSError("no answer")

    desk = Desk(alive=away, refuse=pytest.fail)
    counts = {"1": tally(400), "2": tally(20, errors=40)}
    desk.report("a", "m", standing(5, canary=2, counts=counts))


def test_refusals_are_kept_after_the_replica_has_forgotten():
    desk = Desk(alive=lambda: {"a"})
    desk.report("a", "m", standing(3, refused={"7": {"sequence": 3, "reason": "not finite"}}))
    desk.report("a", "m", standing(4))
    told = desk.standing("m")
    assert told["refused"] == {"7": {"sequence": 3, "reason": "not finite"}}
    assert [(one["number"], one["reason"]) for one in told["events"]] == [(7, "not finite")]


def test_a_canary_that_fails_is_ended_once_it_was_looked_at():
    refused = []
    desk = Desk(alive=lambda: {"a", "b"}, refuse=lambda *what, **how: refused.append((what, how)))
    good, bad = tally(400), tally(20, errors=10)
    desk.report("a", "m", standing(5, canary=2, counts={"1": good, "2": bad}))
    assert not refused  # 30 requests are too few
    desk.report("b", "m", standing(5, canary=2, counts={"1": good, "2": bad}))
    ((what, how),) = refused
    assert what == ("m", 2)
    assert how["since"] == 5
    assert "failed 20 of 60 requests, the champion 0 of 800" in how["reason"]
    assert "2" in desk.standing("m")["refused"]


def test_a_canarys_answers_are_judged_by_an_opinion_each_time_its_requests_double():
    asked, refused = [], []

    def opinion(*what):
        asked.append(what)
        return "it is less accurate" if len(asked) == 3 else ""

    desk = Desk(
        alive=lambda: {"a"}, refuse=lambda *what, **how: refused.append(how), opinion=opinion
    )
    for requests in (49, 50, 60, 99, 100, 150, 200):
        counts = {"1": tally(1000), "2": tally(requests)}
        desk.report("a", "m", standing(5, canary=2, counts=counts))
    assert asked == [("m", 1, 2)] * 3
    assert [one["reason"] for one in refused] == ["the canary is worse: it is less accurate"]


def test_an_opinion_is_asked_again_when_no_more_requests_come():
    """Labels come later than what they are of, and a canary of few requests has no doubling."""
    asked, refused, clock = [], [], Clock()

    def opinion(*what):
        asked.append(clock.now)
        return "it is less accurate" if clock.now > 120 else ""

    desk = Desk(
        alive=lambda: {"a"},
        refuse=lambda *what, **how: refused.append(how["reason"]),
        opinion=opinion,
        clock=clock,
    )
    for requests in (49, *[60] * 13):  # a report in ten seconds
        clock.now += 10
        counts = {"1": tally(1000), "2": tally(requests)}
        desk.report("a", "m", standing(5, canary=2, counts=counts))
    assert asked == [20, 80, 140]
    assert refused == ["the canary is worse: it is less accurate"]


class Actor:
    """Stands in for a handle: each method has a ``remote``."""

    def __init__(self, fails=0):
        self.told, self.fails = [], fails
        self.report = self.standing = self

    def remote(self, *what):
        if self.fails:
            self.fails -= 1
            raise ConnectionError("away")
        self.told.append(what)

        async def answer():
            return {"switched": 3}

        return answer() if len(what) == 1 else None


@pytest.mark.slow
def test_a_line_tries_again_before_the_first_look_only():
    actor = Actor(fails=2)
    line = Line("r", find=lambda: actor, wait=lambda made: made)
    line.tell("m", {"sequence": -1})
    assert actor.told == [("r", "m", {"sequence": -1})]
    actor.fails = 5
    line.tell("m", {"sequence": 1})  # nothing is raised, and nobody waits
    assert (len(actor.told), actor.fails) == (1, 4)
    actor.fails = 1
    with pytest.raises(Overloaded, match="away"):
        asyncio.run(line.standing("m"))
    assert asyncio.run(line.standing("m")) == {"switched": 3}


def test_a_desk_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(desk_module, "ANSWERED", 0.01)
    actor = Actor()

    class Hanging:
        remote = staticmethod(lambda model: asyncio.sleep(60))

    actor.standing = Hanging()
    line = Line("r", find=lambda: actor, wait=lambda made: made)
    with pytest.raises(Overloaded, match=r"nothing within 0.01 s"):
        asyncio.run(line.standing("m"))


def test_what_is_made_of_something_else_has_a_desk_of_its_own():
    names = {desk_name("m", made) for made in (("s3://a", 2.0), ("s3://b", 2.0), ("s3://a", 3.0))}
    assert len(names) == 3
    assert all(name.rpartition("-")[0] == "raymm-desk-m" for name in names)
    assert desk_name("m", ("s3://a", 2.0)) in names
