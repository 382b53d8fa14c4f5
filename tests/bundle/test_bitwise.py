from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle.bitwise import LONGEST, Coder
from raymm.errors import BundleError

STEPS = st.lists(
    st.tuples(st.just("bit"), st.integers(0, 1))
    | st.tuples(st.just("even"), st.integers(0, 2**12 - 1))
    | st.tuples(st.just("number"), st.integers(0, 2**LONGEST - 1))
    | st.tuples(st.just("signed"), st.integers(-(2**60), 2**60))
    | st.tuples(st.just("among"), st.integers(0, 31)),
    max_size=60,
)


def walk(coder: Coder, kinds, told):
    """Code what is told, in the order of the kinds; return what was coded."""
    found = []
    for place, kind in enumerate(kinds):
        given_ = None if told is None else told[place]
        contexts = [(kind, "a"), (kind, found[-1] if found else None)]
        if kind == "even":
            found.append(coder.even(12, given_))
        elif kind == "among":
            found.append(coder.among(contexts, 5, given_))
        elif kind == "bit":
            found.append(coder.bit(["bit", *contexts], given_))
        else:
            found.append(getattr(coder, kind)(contexts, given_))
    return found


@given(STEPS)
def test_what_is_read_is_what_was_written(steps):
    kinds, told = [kind for kind, _ in steps], [value for _, value in steps]
    writer = Coder()
    assert walk(writer, kinds, told) == told
    data = writer.finish()
    reader = Coder(data)
    assert walk(reader, kinds, None) == told
    reader.finish()


def test_what_repeats_takes_next_to_nothing_and_what_does_not_its_bits():
    writer = Coder()
    for _ in range(10_000):
        writer.bit(["x"], 1)
    assert len(writer.finish()) < 10
    writer = Coder()
    for number in range(1000):
        writer.even(8, number * 167 % 256)
    assert 1000 <= len(writer.finish()) <= 1004


def test_one_begins_with_what_another_saw_and_leaves_it_alone():
    first = Coder()
    first.trains = True
    for _ in range(200):
        first.bit(["x"], 1)
    sizes = []
    for _ in range(2):
        second = Coder(like=first)
        for _ in range(100):
            second.bit(["x"], 1)
        sizes.append(len(second.finish()))
    assert sizes[0] == sizes[1] <= 1


def test_a_stream_that_goes_on_or_ends_early_is_an_error():
    writer = Coder()
    told = [number * 37 % 4096 for number in range(50)]
    walk(writer, ["even"] * 50, told)
    data = writer.finish()
    longer = Coder(data + b"12345")
    walk(longer, ["even"] * 50, None)
    with pytest.raises(BundleError, match="goes on after its end"):
        longer.finish()
    with pytest.raises(BundleError, match="ends too early"):
        walk(Coder(data), ["even"] * 100, None)


def test_a_few_bytes_do_not_take_long():
    writer = Coder(most=100)
    for _ in range(100):
        writer.bit(["x"], 1)
    with pytest.raises(BundleError, match="longer than"):
        writer.bit(["x"], 1)
    writer = Coder()
    for count in range(LONGEST + 1):
        writer.bit([("n", "length", count)], 1)
    reader = Coder(writer.finish())
    with pytest.raises(BundleError, match="too large"):
        reader.number(["n"])
