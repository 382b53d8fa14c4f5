"""Predictions wait as they would in an ordered dictionary."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.monitoring.arrays import to_text
from raymm.monitoring.waiting import KEY_BYTES, Prediction, Waiting


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "little")


def add(waiting: Waiting, first: int, rows: list[bytes], told_at: float = 1.0) -> None:
    numbers = np.arange(first, first + len(rows))
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)
    waiting.add([key(number) for number in numbers.tolist()], numbers, told_at, data)


@pytest.mark.slow
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 400), st.sampled_from([4, 8, 12])),
            st.tuples(st.just("pop"), st.integers(0, 10**6), st.just(0)),
            st.tuples(st.just("keep"), st.integers(2, 5), st.just(0)),
            st.tuples(st.just("restore"), st.just(0), st.just(0)),
        ),
        max_size=15,
    )
)
def test_it_holds_what_a_dictionary_would(events: list[tuple[str, int, int]]) -> None:
    waiting, known, first = Waiting(), {}, 0
    for what, value, width in events:
        if what == "add":
            rows = [bytes([number % 251] * width) for number in range(first, first + value)]
            add(waiting, first, rows, float(first))
            known |= {
                key(first + place): Prediction(first + place, float(first), row)
                for place, row in enumerate(rows)
            }
            first += value
        elif what == "pop" and known:
            chosen = list(known)[value % len(known)]
            assert waiting.pop(chosen) == known.pop(chosen)
        elif what == "keep":
            stays = np.arange(len(known)) % value != 0
            waiting.keep(stays)
            known = {
                name: one for (name, one), stay in zip(known.items(), stays, strict=True) if stay
            }
        elif what == "restore":
            waiting = Waiting().restore(json.loads(json.dumps(waiting.state())))
        assert len(waiting) == len(known)
        assert all(name in waiting for name in known)
        assert not waiting.shares_any({key(first): None})
        assert not known or waiting.shares_any({key(first): None, next(iter(known)): None})
    assert waiting.keys().tobytes() == b"".join(known)
    assert waiting.numbers().tolist() == [one.number for one in known.values()]
    assert [waiting.pop(name) for name in known] == list(known.values())
    with pytest.raises(KeyError):
        waiting.pop(key(first))


@pytest.mark.parametrize(
    "wrong",
    [
        {"numbers": to_text(np.array([1, 0], np.int64))},
        {"numbers": to_text(np.array([1], np.int64))},
        {"keys": to_text(np.zeros(2 * KEY_BYTES, np.uint8))},
        {"keys": to_text(np.zeros(KEY_BYTES + 1, np.uint8))},
        {"widths": to_text(np.array([3, 4], np.int32))},
        {"widths": to_text(np.array([-4, 12], np.int32))},
        {"rows": "no base64"},
    ],
)
def test_a_state_that_does_not_add_up_is_refused(wrong: dict[str, Any]) -> None:
    waiting = Waiting()
    add(waiting, 0, [b"abcd", b"efgh"])
    state = waiting.state()
    assert Waiting().restore(state).state() == state
    with pytest.raises(ValueError, match=r"add up|twice|reshape|base64|padding|multiple"):
        Waiting().restore(state | wrong)
