import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import Overloaded, TooOften
from raymm.serving.limits import Rates, Room


def test_room_is_given_back():
    room = Room(2)
    with room, room, pytest.raises(Overloaded, match="max_queued"), room:
        pass
    with pytest.raises(KeyError), room:
        raise KeyError
    assert room.held == 0


def test_work_that_outlives_its_request_keeps_its_place():
    room = Room(1)

    async def main():
        with room:
            leave = room.stay()
        with pytest.raises(Overloaded), room:
            pass
        leave()
        await asyncio.sleep(0)
        with room:
            return room.held

    assert asyncio.run(main()) == 1
    assert room.held == 0


@pytest.mark.slow
@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.sampled_from([0.5, 1, 2, 7.5]))
def test_no_window_holds_more_than_its_rate_and_what_was_saved(gaps, rate):
    now, taken, waits = 0.0, [], [1]
    rates = Rates(rate, clock=lambda: now)
    for gap in gaps:
        now += gap
        try:
            rates.spend("alice")
            taken.append(now)
        except TooOften as error:
            waits.append(error.retry_after)
    assert 1 <= min(waits) <= max(waits) <= 1 + 1 / rate
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            allowed = max(1, rate) + (taken[last] - taken[first]) * rate
            assert last - first + 1 <= allowed + 1e-6


def test_who_waits_as_told_is_let_in():
    now = 0.0
    rates = Rates(0.25, clock=lambda: now)
    rates.spend("alice")
    with pytest.raises(TooOften) as caught:
        rates.spend("alice")
    rates.spend("bob")  # nobody else is held up
    now += caught.value.retry_after
    rates.spend("alice")


def test_who_needs_no_place_gives_it_back_for_a_while():
    room = Room(1)
    with room:
        with room.outside():
            room.require()
        with pytest.raises(Overloaded):
            room.require()
        with pytest.raises(ValueError, match="none"), room.outside():
            raise ValueError("none")
        assert room.held == 1
    assert room.held == 0
