"""Rows written side by side are what their batches are when put together."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Batch, OneRow
from raymm.monitoring.merging import merge, packed, unpacked
from raymm.monitoring.pages import _ENTRY, Alike, Page

LAYOUT = (("x", "z"), ("t",), ("d", "c"))
NUMBERS = st.sampled_from([0.0, -1.5, np.nan, np.inf])
TEXTS = st.sampled_from(["a", "b", "", "café", None, "x" * 300])


@st.composite
def rows(draw):
    """Batches of one row each, all alike."""
    made, classes = [], draw(st.integers(0, 3))
    for number in range(draw(st.integers(1, 30))):
        tensors = {
            "c": np.array([draw(TEXTS)], object),
            "x": np.float32([draw(NUMBERS)]),
            "t": np.array([draw(st.sampled_from([NO_TIME, 2**60 + 1]))], np.int64),
            "z": np.float32([draw(NUMBERS)]),
            "d": np.array([draw(TEXTS)], object),
        }
        answer = np.full((1, classes) if classes else 1, number, np.float32)
        made.append(
            Batch(
                rows=1, version=3, seconds=0.25 * number, tensors=tensors, predictions=answer,
                ids=(draw(st.sampled_from(["a", "", "\u00fc", "\ud800"])) + str(number),),
            )
        )  # fmt: skip
    return made


def cut(tensors):
    parts = (np.concatenate([tensors[name] for name in names]) for names in LAYOUT)
    return OneRow(tensors, LAYOUT, tuple(parts))


@given(rows(), st.booleans())
def test_rows_are_what_their_batches_are(told, whole):
    of = [one.tensors if whole else cut(one.tensors) for one in told]
    alike = Alike(3, of[0], told[0].predictions)
    page, taken = Page(alike), 0
    for batch, tensors in zip(told, of, strict=True):
        assert alike.holds(tensors, batch.predictions)
        taken += page.add(batch.seconds, tensors, batch.predictions, batch.ids[0])
    texts = {batch.tensors[name][0] for batch in told for name in ("c", "d")}
    names = sum(len(batch.ids[0].encode("utf-8", "surrogatepass")) for batch in told)
    # Two floats, a date, two numbers of texts, the time, and the zero after the id.
    fixed = len(told) * (4 + 4 + 8 + 4 + 4 + told[0].predictions.nbytes + 8 + 1)
    assert taken == fixed + names + sum(sys.getsizeof(text) + _ENTRY for text in texts)
    made = page.told()
    assert page.rows == made.rows == len(told)
    (expected,) = map(unpacked, merge(told))
    for found in (unpacked(made), unpacked(packed(made))):
        assert (found.version, found.rows, found.error) == (3, expected.rows, "")
        assert (found.merged, found.ids) == (expected.merged, expected.ids)
        assert found.seconds == pytest.approx(expected.seconds)
        np.testing.assert_array_equal(found.predictions, expected.predictions)
        assert found.predictions.dtype == expected.predictions.dtype
        assert [*found.tensors] == [*expected.tensors]
        for name, values in found.tensors.items():
            np.testing.assert_array_equal(values, expected.tensors[name])
            assert values.dtype == expected.tensors[name].dtype
            assert values.flags.c_contiguous


def test_a_row_that_cannot_be_written_leaves_the_others_whole():
    def row(text):
        return {"x": np.float32([1]), "c": np.array([text], object)}

    answer = np.float32([0])
    page = Page(Alike(1, row("u"), answer))
    assert page.add(0.1, row("u"), answer, "a") > 0
    bad = row("u")
    bad["c"][0] = []
    with pytest.raises(TypeError, match="unhashable"):
        page.add(0.1, bad, answer, "b")
    with pytest.raises(TypeError):
        page.add(None, row("u"), answer, "c")
    assert page.add(0.1, row("y" * 1000), answer, "d", 900) == 0
    assert page.add(0.1, row("v"), answer, "e", 900) > 0
    told = unpacked(page.told())
    assert (told.ids, told.tensors["c"].tolist()) == (("a", "e"), ["u", "v"])


def test_a_page_of_many_rows_holds_each_text_once():
    alike = Alike(1, {"c": np.array(["u"], object)}, np.float32([0]))
    page = Page(alike)
    for number in range(1_000):
        page.add(0.1, {"c": np.array([f"text {number % 7}"], object)}, np.float32([0]), "id")
    texts = page.told().batch.tensors["c"]
    assert texts.tolist() == [f"text {number % 7}" for number in range(1_000)]
    assert len({id(one) for one in texts}) == 7


def test_rows_of_other_columns_kinds_or_answers_or_of_another_reader_are_not_alike():
    x = np.zeros(1, np.float32)
    plain, layout = Alike(1, {"x": x, "y": x}, x), (("x", "y"),)
    assert plain.holds({"x": x, "y": x}, x)
    assert not plain.holds({"y": x, "x": x}, x)
    assert not plain.holds({"x": x}, x)
    assert not plain.holds({"x": x, "y": x.astype(np.float64)}, x)
    assert not plain.holds({"x": x, "y": x}, x.astype(np.float64))
    assert not plain.holds({"x": x, "y": x}, x[None])
    row = OneRow({"x": x, "y": x}, layout, (np.zeros(2, np.float32),))
    alike = Alike(1, row, x)
    assert alike.holds(row, x)
    assert not plain.holds(row, x)
    assert not alike.holds({"x": x, "y": x}, x)
    assert not alike.holds(OneRow(row, (("y", "x"),), row.parts), x)
