import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from raymm.errors import InputError, Overloaded, TooLarge, TooSlow
from raymm.serving import limits
from raymm.serving.limits import Room, read_body


def _read(chunks, limit, headers=(), then_gone=False):
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
        return await read_body({"headers": list(headers)}, receive, limit)

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
    assert _read([b"x"], 10, [(b"content-length", b"11")]) == (None, 0)
    assert _read([b"x"], 10, [(b"content-length", b"9" * 30)]) == (None, 0)
    assert _read([b"x"], 10, [(b"content-length", b"1")]) == (b"x", 1)
    with pytest.raises(InputError):
        _read([b"x"], 10, [(b"content-length", b"-1")])


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


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)

    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read():
        return await read_body({"headers": []}, receive, 10**6)

    with pytest.raises(TooSlow, match="within"):
        asyncio.run(read())
