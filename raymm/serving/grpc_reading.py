"""Reads gRPC messages at a bounded cost, the large ones off the event loop.

A message of a megabyte may hold half a million fields that are messages: to read those takes
0.15 s and 50 MB, during which nothing else is answered. So fields are counted first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from raymm.errors import InputError, Overloaded
from raymm.serving.grpc_protocol import message

LARGE = 16_384
"""Bytes of a message, or of an answer in JSON, from which on it is handled in the thread."""
WAITING = 16
"""Pieces of work on which the thread is, or for which it is asked, when no call is begun any more.
They take some 3 s, far less than a body may, so that a call that is begun is also read."""
FIELDS = 50_000
"""Fields of a message and one level below; a tensor has six of them."""
_NESTED = (4, 5, 6)
"""Fields of requests that are messages: parameters, inputs and outputs."""
_FIXED = {1: 8, 3: 0, 4: 0, 5: 4}
"""Bytes of a field by its wire type; those of a group count one by one."""

Made = TypeVar("Made")

_thread = ThreadPoolExecutor(1, thread_name_prefix="raymm-grpc")
_asked: set[asyncio.Future[Any]] = set()


def require_thread(size: int) -> None:
    """Raise Overloaded where a call of so many bytes would wait too long for the thread.

    To be asked before a call is begun, and not again: work on those that are begun is not lost.
    """
    if size >= LARGE and len(_asked) >= WAITING:
        raise Overloaded(
            f"{len(_asked)} large messages wait to be read, and no more are accepted. Try again "
            "in a second, send fewer rows, or raise serving.replicas."
        )


async def at_ease(size: int, work: Callable[..., Made], *given: Any) -> Made:
    """Do work on so many bytes and return what it returns: in the one thread where they are many.

    One thread, so that large messages wait for each other and not everybody for them.
    """
    if size < LARGE:
        return work(*given)
    made = asyncio.get_running_loop().run_in_executor(_thread, work, *given)
    _asked.add(made)
    made.add_done_callback(_asked.discard)
    return await made


def read_message(name: str, data: bytes) -> Any:
    """Return the message of a name, such as "ModelInferRequest".

    Raises
    ------
    InputError
        When the bytes are none, or one of more than `FIELDS` fields.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if len(data) >= LARGE and holds_more(data, FIELDS):
        allowed = f"{FIELDS} fields at most"
        raise InputError(field="message", observed="more fields", allowed=allowed)
    made = message(name)()
    try:
        made.ParseFromString(data)
    except DecodeError:
        observed = "no message of its kind"
        raise InputError(field="message", observed=observed, allowed=f"a {name}") from None
    return made


def holds_more(data: bytes, most: int) -> bool:
    """Whether a message has more than ``most`` fields, its own and those one level below.

    What lies deeper, such as the values of a tensor, is as cheap to read as its bytes are few.
    Bytes that are no message are looked at as far as they might be one.
    """
    count, place, end, whole = 0, 0, 0, len(data)
    while place < whole:
        count += 1
        if count > most:
            return True
        tag, place = data[place], place + 1
        if tag > 127:  # more than a byte
            tag, place = _varint(data, place - 1)
        kind = tag & 7
        if kind == 2:  # a length, and so many bytes
            size = data[place] if place < whole else 0
            place += 1
            if size > 127:
                size, place = _varint(data, place - 1)
            if size and not end and tag >> 3 in _NESTED:
                end = place + size
                continue
            place += size
        elif kind == 0:
            _, place = _varint(data, place)
        else:
            place += _FIXED.get(kind, whole)
        if end and place >= end:
            place, end = end, 0
    return False


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte and the place behind it; no number ends the data."""
    value = shift = 0
    for byte in data[place : place + 10]:
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    return value, len(data)
