import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from raymm.errors import InputError, Overloaded, TooLarge, TooOften, TooSlow, Unsupported
from raymm.serving.limits import Rates, Room, read_body


def _read(chunks, limit, headers=None, then_gone=False):
    """Read a body that comes in chunks; returns it and how many chunks were taken."""
    taken = []

    async def receive():
        position = len(taken)
        if position == len(chunks):
            return {"type": "http.disconnect"}
        taken.append(position)
        more = then_gone or position < len(chunks) - 1
        return {"type": "http.request", "body": chunks[position], "more_body": more}

    async def read():
        return await read_body(headers or {}, receive, limit, 10)

    try:
        return asyncio.run(read()), len(taken)
    except TooLarge:
        return None, len(taken)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8), st.integers(0, 100))
def test_a_body_is_whole_or_refused(chunks, limit):
    body, taken = _read(chunks, limit)
    whole = b"".join(chunks)
    if len(whole) <= limit:
        assert body == whole
    else:
        assert body is None
        # no chunk is taken after the one that went over the limit
        assert len(b"".join(chunks[: taken - 1])) <= limit


def test_content_length_is_believed_before_reading():
    assert _read([b"x"], 10, {b"content-length": b"11"}) == (None, 0)
    assert _read([b"x"], 10, {b"content-length": b"9" * 30}) == (None, 0)
    assert _read([b"x"], 10, {b"content-length": b"1"}) == (b"x", 1)
    with pytest.raises(InputError):
        _read([b"x"], 10, {b"content-length": b"-1"})


def test_a_client_that_leaves():
    with pytest.raises(ClientDisconnect):
        _read([b"x"], 10, then_gone=True)


def test_room_is_given_back():
    room = Room(2)
    with room, room, pytest.raises(Overloaded, match="max_queued"), room:
        pass
    with pytest.raises(KeyError), room:
        raise KeyError
    assert room.held == 0


def test_a_body_that_never_ends_is_given_up():
    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read():
        return await read_body({}, receive, 10**6, 0.05)

    with pytest.raises(TooSlow, match="within"):
        asyncio.run(read())


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"x", b"GZIP", b"identity, gzip"])
def test_a_compressed_body_is_refused_before_it_is_read(encoding):
    async def receive():
        raise AssertionError("it was read")

    with pytest.raises(Unsupported, match="Content-Encoding"):
        asyncio.run(read_body({b"content-encoding": encoding}, receive, 100, 10))
    assert _read([b"x"], 10, {b"content-encoding": b"identity"}) == (b"x", 1)


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
