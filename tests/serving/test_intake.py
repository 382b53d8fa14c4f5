import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from raymm.errors import InputError, Overloaded, TooLarge, TooSlow, Unsupported
from raymm.serving import intake
from raymm.serving.intake import Intake


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
        return await Intake(max_bytes=limit, seconds=10).read(headers or {}, receive)

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


def test_a_body_that_never_ends_is_given_up():
    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read():
        return await Intake(max_bytes=10**6, seconds=0.05).read({}, receive)

    with pytest.raises(TooSlow, match="within"):
        asyncio.run(read())


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"x", b"GZIP", b"identity, gzip"])
def test_a_compressed_body_is_refused_before_it_is_read(encoding):
    async def receive():
        raise AssertionError("it was read")

    with pytest.raises(Unsupported, match="Content-Encoding"):
        asyncio.run(
            Intake(max_bytes=100, seconds=10).read({b"content-encoding": encoding}, receive)
        )
    assert _read([b"x"], 10, {b"content-encoding": b"identity"}) == (b"x", 1)


def _dripping(pieces, wait, size=10):
    """Return a receive that gives so many pieces, each after a wait."""
    left = pieces

    async def receive():
        nonlocal left
        await asyncio.sleep(wait)
        left -= 1
        return {"type": "http.request", "body": b"x" * size, "more_body": left > 0}

    return receive


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "held"), [(0.0, True), (100.0, True), (1e6, False)])
def test_a_body_must_come_at_a_rate_after_a_while(monkeypatch, rate, held):
    monkeypatch.setattr(intake, "GRACE", 0.01)
    monkeypatch.setattr(intake, "_LOOK", 0.005)
    monkeypatch.setattr(intake, "_AGAIN", 0.005)
    taking = Intake(max_bytes=10**6, seconds=60, rate=rate)

    async def read():
        return await taking.read({}, _dripping(20, 0.004, 1000))

    if held:
        assert asyncio.run(read()) == b"x" * 20_000
    else:
        with pytest.raises(TooSlow, match=r"bytes a second after 0\.01 s"):
            asyncio.run(read())
    assert taking.held == 0


@pytest.mark.slow
def test_a_body_that_came_while_the_process_stood_still_is_not_late(monkeypatch):
    monkeypatch.setattr(intake, "GRACE", 0.02)
    taking = Intake(max_bytes=100, seconds=0.05, rate=1000.0)

    async def main():
        come = asyncio.Event()

        async def receive():
            await come.wait()
            await asyncio.sleep(0)  # as a server does, which wakes the reader a turn later
            return {"type": "http.request", "body": b"x", "more_body": False}

        task = asyncio.create_task(taking.read({}, receive))
        await asyncio.sleep(0)
        time.sleep(0.2)
        come.set()
        return await task

    assert asyncio.run(main()) == b"x"


def test_a_reader_that_is_cancelled_by_others_is_not_late():
    async def main():
        taking = Intake(max_bytes=100, seconds=60)
        task = asyncio.create_task(taking.read({}, _dripping(2, 30)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_bodies_that_are_still_coming_hold_so_much_together():
    async def main():
        taking = Intake(max_bytes=1000, seconds=60, most=1500)
        go = asyncio.Event()

        def slow(size):
            begun = False

            async def receive():
                nonlocal begun
                if begun:
                    await go.wait()
                    return {"type": "http.request", "body": b"", "more_body": False}
                begun = True
                return {"type": "http.request", "body": b"x" * size, "more_body": True}

            return receive

        first = asyncio.create_task(taking.read({}, slow(900)))
        await asyncio.sleep(0)
        assert taking.held == 900
        with pytest.raises(Overloaded, match="1500 bytes"):
            await taking.read({}, slow(700))
        assert taking.held == 900
        # what comes in one piece is always taken
        assert len(await taking.read({}, _dripping(1, 0, 900))) == 900
        go.set()
        assert len(await first) == 900
        assert taking.held == 0

    asyncio.run(main())


def _discard(*messages, headers=((b"content-length", b"2"),)):
    """Discard a body; returns whether it was whole, and whether it counts as read."""
    coming = list(messages)

    async def receive():
        if not coming:
            await asyncio.Event().wait()
        return coming.pop(0)

    async def discard():
        scope = {"type": "http", "headers": list(headers)}
        return await intake.discarded(scope, receive), not intake.is_unread(scope)

    return asyncio.run(discard())


def test_a_small_body_is_discarded():
    whole = {"type": "http.request", "body": b"{}", "more_body": False}
    piece = {"type": "http.request", "body": b"", "more_body": True}
    assert _discard(whole) == (True, True)
    assert _discard(*[piece] * 3, whole) == (True, True)
    assert _discard(whole, headers=[(b"content-length", b"65536")]) == (True, True)


def test_a_body_that_does_not_come_is_left(monkeypatch):
    monkeypatch.setattr(intake, "_SOON", 0.05)
    assert _discard() == (False, False)
    piece = {"type": "http.request", "body": b"", "more_body": True}
    assert _discard(piece) == (False, False)
    assert _discard({"type": "http.disconnect"}) == (False, False)


@pytest.mark.parametrize("length", [b"65537", b"9" * 5000, b"-1", b"x"])
def test_a_large_body_is_not_discarded(length):
    whole = {"type": "http.request", "body": b"{}", "more_body": False}
    assert _discard(whole, headers=[(b"content-length", length)]) == (False, False)


def test_a_body_that_waits_to_be_asked_for_is_not_discarded():
    whole = {"type": "http.request", "body": b"{}", "more_body": False}
    asked = [(b"content-length", b"2"), (b"expect", b"100-continue")]
    assert _discard(whole, headers=asked) == (False, False)
    assert _discard(whole, headers=[(b"transfer-encoding", b"chunked")]) == (False, False)
