"""Distinct values of columns as hostile as Arrow allows."""

import pyarrow as pa
import pytest

from raymm.errors import InputError, TooLarge
from raymm.serving.cells import TextRoom, encoded, reading


def coded(values, rows=1):
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), values)


@pytest.mark.parametrize(
    "values",
    [
        pa.FixedSizeListArray.from_arrays(pa.nulls(1000), 1000),  # no bytes, and a list of 1000
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([b"x"]),
        pa.array([2**62], pa.timestamp("s")),  # beyond Python's dates
        pa.array([2**31 - 1], pa.date32()),
        pa.array([2**62], pa.duration("s")),
    ],
    ids=lambda values: str(values.type)[:20],
)
def test_only_text_and_numbers_are_laid_out(values):
    for array in (values, coded(values)):
        with pytest.raises(pa.ArrowNotImplementedError, match="neither text nor numbers"):
            encoded(array, TextRoom(100))


def test_a_dictionary_gives_the_values_that_are_used():
    array = pa.DictionaryArray.from_arrays(pa.array([2, None, 2, 0]), ["a", "b", "c"])
    codes, found = encoded(array, TextRoom(100))
    assert [found[code] for code in codes] == ["c", None, "c", "a"]
    assert "b" not in found
    codes, found = encoded(coded(pa.nulls(1), rows=2), TextRoom(100))
    assert [found[code] for code in codes] == [None, None]


def test_a_room_is_for_all_together():
    room = TextRoom(10)
    room.take(6)
    room.take(4)
    with pytest.raises(TooLarge, match="10 bytes, but this one's comes to 11"):
        room.take(1)


@pytest.mark.parametrize("extra", [0, 1, 4, 15, 17])
def test_a_buffer_of_views_may_have_any_length(extra):
    plain = pa.array(["x", None, "a text of some length"], pa.string_view())
    valid, views, *texts = plain.buffers()
    longer = pa.py_buffer(views.to_pybytes() + b"\xff" * extra)
    array = pa.Array.from_buffers(pa.string_view(), 3, [valid, longer, *texts])
    for slid in (array, array.slice(1), array.slice(3)):
        slid.validate(full=True)
        codes, found = encoded(slid, TextRoom(22))
        assert [found[code] for code in codes] == slid.to_pylist()
    with pytest.raises(TooLarge):
        encoded(array, TextRoom(21))
    none = pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), array.slice(3))
    assert encoded(none, TextRoom(0))[1] == [None]


def test_what_nobody_foresaw_is_told_without_its_words():
    with pytest.raises(InputError, match=r"cannot be read \(ValueError\)") as caught, reading():
        raise ValueError("alice@example.org")
    assert "alice" not in str(caught.value)
    assert caught.value.__cause__ is None
    for mine in (TooLarge("x"), MemoryError()):
        with pytest.raises(type(mine)), reading():
            raise mine
