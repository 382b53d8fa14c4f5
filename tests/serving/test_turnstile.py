"""When everybody who was inside has left."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from hypothesis import given
from hypothesis import strategies as st

from raymm.serving.turnstile import Turnstile


def test_those_who_came_before_the_turn_are_waited_for():
    turnstile = Turnstile()
    before = turnstile.enter()
    turnstile.turn()
    after = turnstile.enter()
    assert not turnstile.clear()
    turnstile.leave(before)
    assert turnstile.clear()  # whoever came after does not matter
    turnstile.turn()
    assert not turnstile.clear()
    turnstile.leave(after)
    assert turnstile.clear()


@given(st.lists(st.sampled_from(["enter", "leave", "turn"]), max_size=40))
def test_it_is_clear_exactly_when_nobody_older_is_inside(steps):
    turnstile, inside, turns = Turnstile(), [], 0
    for step in steps:
        if step == "enter":
            inside.append((turns, turnstile.enter()))
        elif step == "leave" and inside:
            turnstile.leave(inside.pop(0)[1])
        elif step == "turn":
            turnstile.turn()
            turns += 1
        assert turnstile.clear() == all(since == turns for since, _ in inside)


def test_an_application_is_inside_until_its_answer_is_sent():
    seen = []

    async def app(scope, receive, send):
        turnstile.turn()
        seen.append(turnstile.clear())
        if scope["path"] == "bad":
            raise ValueError

    turnstile = Turnstile()
    counted = turnstile.around(app)
    for path in ("good", "bad"):
        with contextlib.suppress(ValueError):
            asyncio.run(counted({"type": "http", "path": path}, None, None))
        assert turnstile.clear()
    assert seen == [False, False]
    asyncio.run(counted({"type": "lifespan", "path": "good"}, None, None))
    assert seen[-1]
    assert counted.app is app


def test_a_turn_waits_for_who_looks_whether_it_is_clear():
    """Else the turn that is added meanwhile is lost, and a change acknowledged too early."""
    turnstile = Turnstile()
    others = []

    class Slow(list):
        def __iter__(self):
            yield from super().__iter__()
            others.append(threading.Thread(target=turnstile.turn))
            others[0].start()
            others[0].join(0.05)

    turnstile._before = Slow()
    inside = turnstile.enter()
    turnstile.clear()
    others[0].join()
    assert not turnstile.clear()
    turnstile.leave(inside)
    assert turnstile.clear()
