"""Merged batches tell a monitor the same as the batches themselves."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Batch, ColumnStatistics, Feedback, Statistics
from raymm.monitoring.merging import EACH, merge, packed, parcel, size, unpacked
from raymm.plugins import monitors
from raymm.sections import MonitoringConfig

STATISTICS = Statistics(
    rows=100,
    columns=(
        ColumnStatistics(
            name="x", kind="number", rows=100, missing=0, distinct=4, edges=(0.0,), counts=(50, 50)
        ),
        ColumnStatistics(
            name="c", kind="category", rows=100, missing=0, distinct=2, values=("a", "b"),
            counts=(60, 40),
        ),
    ),
)  # fmt: skip


@st.composite
def batches(draw):
    made = []
    for _ in range(draw(st.integers(0, 12))):
        seconds = draw(st.sampled_from([0.001, 0.01, 0.5]))
        if draw(st.booleans()):
            error = draw(st.sampled_from(["InputError", "TooLarge"]))
            made.append(Batch(rows=0, version=1, seconds=seconds, error=error))
            continue
        rows = draw(st.integers(1, 40))
        x = np.array(draw(st.lists(st.sampled_from([-1, 1, np.nan]), min_size=rows, max_size=rows)))
        c = draw(st.lists(st.sampled_from(["a", "b", "z", ""]), min_size=rows, max_size=rows))
        made.append(
            Batch(
                rows=rows,
                version=draw(st.integers(1, 2)),
                seconds=seconds,
                tensors={"x": x.astype(np.float32), "c": np.array(c, dtype=object)},
                predictions=np.tile(np.float32([0.25, 0.75]), (rows, 1)),
            )
        )
    return made


def reports(told, name):
    config = MonitoringConfig(window=10_000)
    monitor = monitors.get(name)(STATISTICS, config=config, clock=lambda: 0.0)
    for batch in told:
        monitor.update(batch)
    return monitor.state()


@pytest.mark.slow
@given(batches())
def test_traffic_and_quality_are_the_same(told):
    for name in ("traffic", "quality"):
        one, other = reports(told, name), reports(merge(told), name)
        if name == "traffic":
            # The sum of the same seconds in another order differs by rounding alone.
            sums = [float(state["latencies"].pop("sum")) for state in (one, other)]
            assert abs(sums[0] - sums[1]) < 1e-9
        assert one == other


@pytest.mark.slow
@given(batches())
def test_nothing_is_lost_and_versions_stay_apart(told):
    merged = merge(told)
    assert sum(batch.rows for batch in merged) == sum(batch.rows for batch in told)
    assert len({(b.version, b.error) for b in merged}) == len(merged)
    requests = sum(len(batch.merged) or 1 for batch in merged)
    assert requests == len(told)
    for batch in merged:
        assert all(len(values) == batch.rows for values in batch.tensors.values())


@pytest.mark.slow
@given(batches())
def test_merging_twice_changes_nothing_more(told):
    once = merge(told)
    assert [b.merged or (b.seconds,) for b in merge(once)] == [
        b.merged or (b.seconds,) for b in once
    ]


def test_ids_stay_with_their_rows():
    def told(ids, value):
        rows = np.full(2, value, np.float32)
        return Batch(rows=2, version=1, seconds=0.1, tensors={"x": rows}, predictions=rows, ids=ids)

    named, nameless = merge([told(("a", "b"), 1), told((), 2), told(("c", "d"), 3), told((), 4)])
    assert named.ids == ("a", "b", "c", "d")
    assert named.predictions.tolist() == [1, 1, 3, 3]
    assert nameless.ids == ()


def test_sizes_are_of_arrays_texts_and_ids() -> None:
    words = np.array(["x" * 1000, "", "yy"], dtype=object)
    batch = Batch(
        rows=3, version=1, seconds=0.1, tensors={"c": words, "x": np.ones(3, np.float32)},
        predictions=np.ones((3, 2), np.float32), ids=("i" * 40,) * 3,
    )  # fmt: skip
    held = sum(map(sys.getsizeof, (*words, *batch.ids)))
    assert size(batch) == 3 * (8 + 4 + 8) + held + EACH
    name, word = sys.getsizeof("ab"), sys.getsizeof("word")
    assert size(Feedback(ids=("ab",), labels=("word",))) == name + word + EACH
    assert size(Feedback(ids=("ab",), labels=(1,))) == name + EACH


def test_texts_of_wide_characters_count_for_what_they_take() -> None:
    plain, wide = (
        size(
            Batch(
                rows=1, version=1, seconds=0.1, tensors={"c": np.array([text], object)},
                predictions=np.zeros(1, np.float32),
            )
        )
        for text in ("x" * 3000, "x" * 2999 + "\U0001f600")
    )  # fmt: skip
    assert wide > 3.5 * plain


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["a"],
        ["a", "b"],
        ["", ""],
        ["", "Zürich", "x" * 1000, "東京", ""],
        ["a\0b", "c"],
        ["\0", "", "\0"],
        ["\ud800", "b"],
        ["a", None, "b"],
    ],
)
def test_what_is_packed_for_the_way_is_the_same_behind_it(texts):
    numbers = np.arange(len(texts), dtype=np.float32)
    times = np.arange(len(texts), dtype=np.int64)
    batch = Batch(
        rows=len(texts),
        version=1,
        seconds=0.1,
        tensors={"c": np.array(texts, object), "x": numbers, "t": times},
        predictions=numbers,
        ids=tuple(map(str, texts)),
    )
    sent = pickle.loads(pickle.dumps(packed(batch)))
    again = unpacked(sent)
    assert again.tensors["c"].tolist() == texts
    assert {n: v.dtype for n, v in again.tensors.items()} == {
        n: v.dtype for n, v in batch.tensors.items()
    }
    assert again.tensors["x"].tolist() == numbers.tolist()
    assert (again.ids, again.rows, list(again.tensors)) == (batch.ids, batch.rows, ["c", "x", "t"])
    assert unpacked(batch).tensors["c"].tolist() == texts


@pytest.mark.parametrize("ids", [(), ("a", "b", "c"), ("", "", ""), ("a\0", "b", "c"), ("",)])
def test_ids_and_seconds_are_the_same_behind_the_way(ids):
    seconds = (0.1, 1e-9, 3.0)
    batch = Batch(rows=3, version=7, seconds=sum(seconds), merged=seconds, ids=ids, thinned=True)
    sent = pickle.loads(pickle.dumps(packed(batch)))
    assert sent.version == 7
    again = unpacked(sent)
    assert (again.ids, again.merged, again.seconds) == (ids, seconds, batch.seconds)
    assert again.thinned


def test_few_objects_are_pickled_of_many_rows():
    rows = 1000
    batch = Batch(
        rows=rows, version=1, seconds=1.0, merged=(0.1,) * rows, ids=tuple(map(str, range(rows)))
    )
    size = sum(map(len, batch.ids)) + rows + 8 * rows
    assert len(pickle.dumps(packed(batch))) < size + 1000 < len(pickle.dumps(batch))


@pytest.mark.parametrize("named", [True, False])
def test_parcels_and_batches_of_a_kind_come_together_in_their_order(named):
    def told(*numbers, odd=""):
        values = np.array(numbers, np.float64)
        ids = tuple(f"{odd}{one}" for one in numbers) if named else ()
        seconds = tuple(0.5 * one for one in numbers)
        return Batch(
            rows=len(numbers), version=1, seconds=sum(seconds), tensors={"x": values},
            predictions=values, ids=ids, merged=seconds if len(numbers) > 1 else (),
        )  # fmt: skip

    given = [told(1), parcel(told(2, 3)), told(4, odd="\0"), told(5, 6), parcel(told(7))]
    made = [unpacked(one) for one in merge(given)]
    plain = merge([unpacked(one) for one in given])
    # Ids with zeros between them cannot be in a parcel.
    numbers = [[1, 2, 3, 5, 6, 7], [4]] if named else [[1, 2, 3, 4, 5, 6, 7]]
    assert [one.predictions.tolist() for one in made] == numbers
    for one in made:
        assert one.tensors["x"].tolist() == one.predictions.tolist()
        assert one.rows == len(one.predictions)
        assert [*(one.merged or (one.seconds,))] == [0.5 * value for value in one.predictions]
        assert one.seconds == sum(one.merged or (one.seconds,))
        assert [name.strip("\0") for name in one.ids] == [f"{v:g}" for v in one.predictions] * named
    assert len(plain) == 1
    assert (plain[0].rows, plain[0].seconds) == (7, sum(one.seconds for one in made))


def test_rows_without_values_are_merged_apart_from_failures_and_stay_thinned():
    def told(**more):
        return Batch(rows=1, version=1, seconds=0.1, predictions=np.zeros(1), **more)

    made = merge([told(thinned=True), told(tensors={"x": np.zeros(1)}), told(thinned=True)])
    assert [(one.rows, one.thinned) for one in made] == [(2, True), (1, False)]


def test_many_texts_are_sent_as_one():
    batch = Batch(rows=3, version=1, seconds=0.1, tensors={"c": np.array(list("abc"), object)})
    assert packed(batch).tensors["c"].tobytes() == b"a\0b\0c"
