"""Messages are read at a bounded cost."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.errors import InputError
from raymm.serving.grpc_protocol import message
from raymm.serving.grpc_reading import LARGE, at_ease, holds_more, read_message

FIELD = st.tuples(st.integers(1, 40), st.one_of(st.integers(0, 2**40), st.binary(max_size=200)))


def varint(value):
    made = b""
    while value > 127:
        made, value = made + bytes([value & 127 | 128]), value >> 7
    return made + bytes([value])


def within(number, data):
    """Return a field of bytes, which may be a message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        (b"", 0),
        (within(1, b"churn") * 3, 3),
        (within(5, b"") * 7, 7),
        (within(5, within(4, b"") * 9), 10),
        (within(5, within(5, within(8, b"") * 9)) * 2, 4),
        (b"\x78\x01" + b"\x7d1234" + b"\x7912345678" + within(6, b"\x08\x01"), 5),
        (b"\x7b" + within(5, b"") * 3 + b"\x7c", 5),
    ],
)
def test_fields_are_counted_one_level_deep(data, fields):
    assert holds_more(data, fields - 1) == (fields > 0)
    assert not holds_more(data, fields)


@pytest.mark.slow
@settings(max_examples=30)
@given(fields=st.lists(FIELD, max_size=30))
def test_all_fields_of_a_message_are_counted(fields):
    plain = [(number, value) for number, value in fields if number not in (4, 5, 6)]
    data = b"".join(
        within(number, value) if isinstance(value, bytes) else varint(number << 3) + varint(value)
        for number, value in plain
    )
    assert not holds_more(data, len(plain))
    assert holds_more(data, len(plain) - 1) == bool(plain)


@given(data=st.binary(max_size=300), most=st.integers(0, 50))
def test_any_bytes_are_looked_at(data, most):
    assert holds_more(data, most) in (True, False)
    assert not holds_more(data, len(data))


def test_requests_within_bounds_are_read():
    asked = message("ModelInferRequest")(model_name="churn")
    for place in range(3000):
        tensor = asked.inputs.add(name=f"column {place}", datatype="FP32", shape=[1, 1])
        tensor.contents.fp32_contents.append(place)
    data = asked.SerializeToString()
    assert len(data) > LARGE
    assert read_message("ModelInferRequest", data) == asked


def test_many_fields_are_refused_before_they_are_read():
    for data in (within(5, b"") * 60_000, within(5, within(4, b"") * 60_000)):
        with pytest.raises(InputError, match="50000 fields at most"):
            read_message("ModelInferRequest", data)


def test_large_work_is_done_in_one_thread_and_small_work_at_once():
    async def scenario():
        names = [await at_ease(size, lambda: threading.current_thread().name)
                 for size in (0, LARGE, LARGE)]  # fmt: skip
        assert names[0] == threading.current_thread().name
        assert names[1] == names[2] != names[0]

    asyncio.run(scenario())
