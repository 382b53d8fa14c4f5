"""What is gathered request by request is what they are when put together at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Batch
from raymm.monitoring.gathering import Gathering
from raymm.monitoring.merging import TOGETHER, merge, size


@st.composite
def batches(draw):
    made = []
    for _ in range(draw(st.integers(0, 12))):
        seconds = draw(st.sampled_from([0.001, 0.01, 0.5]))
        if draw(st.booleans()):
            error = draw(st.sampled_from(["InputError", "TooLarge"]))
            made.append(Batch(rows=0, version=1, seconds=seconds, error=error))
            continue
        rows = draw(st.one_of(st.just(1), st.integers(1, 40)))
        x = np.array(draw(st.lists(st.sampled_from([-1, 1, np.nan]), min_size=rows, max_size=rows)))
        c = draw(
            st.lists(st.sampled_from(["a", "b", "z", "", "café"]), min_size=rows, max_size=rows)
        )
        made.append(
            Batch(
                rows=rows,
                version=draw(st.integers(1, 2)),
                seconds=seconds,
                tensors={
                    "x": x.astype(np.float32),
                    "t": np.full(rows, NO_TIME + 1),
                    "c": np.array(c, dtype=object),
                },
                predictions=np.tile(np.float32([0.25, 0.75]), (rows, 1)),
                ids=draw(st.sampled_from([(), tuple(map(str, range(rows)))])),
            )
        )
    return made


@pytest.mark.slow
@given(batches())
def test_what_is_gathered_as_it_comes_is_what_is_merged_at_once(told):
    gathering = Gathering()
    taken = [gathering.add(batch) for batch in told * 8]
    assert taken == [size(batch) for batch in told * 8]
    one, other = merge(gathering.take()), merge(told * 8)
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert (left.version, left.error, left.rows) == (right.version, right.error, right.rows)
        assert (left.merged or (left.seconds,)) == (right.merged or (right.seconds,))
        assert left.ids == right.ids
        np.testing.assert_array_equal(left.predictions, right.predictions)
        for name, values in left.tensors.items():
            np.testing.assert_array_equal(values, right.tensors[name])
            assert values.dtype == right.tensors[name].dtype
    assert gathering.take() == []


def test_few_wait_one_by_one():
    gathering = Gathering()
    for _ in range(10 * TOGETHER + 1):
        rows = np.zeros(1, np.float32)
        gathering.add(Batch(rows=1, version=1, seconds=0.1, tensors={"x": rows}, predictions=rows))
    assert [batch.rows for batch in gathering.take()] == [TOGETHER] * 10 + [1]


def test_a_request_of_many_rows_is_not_copied_as_it_comes_and_keeps_its_place():
    def told(rows, value):
        values = np.full(rows, value, np.float32)
        return Batch(rows=rows, version=1, seconds=0.1, tensors={"x": values}, predictions=values)

    gathering, large = Gathering(), told(TOGETHER + 1, 3)
    for batch in (told(1, 1), told(1, 2), large, told(1, 4)):
        gathering.add(batch)
    taken = gathering.take()
    assert taken[1] is large
    assert [batch.rows for batch in taken] == [2, TOGETHER + 1, 1]
    assert merge(taken)[0].tensors["x"].tolist() == [1, 2, *[3] * (TOGETHER + 1), 4]


def test_what_has_no_room_is_not_taken_in():
    def told(rows):
        words = np.array(["x" * 1000] * rows, dtype=object)
        return Batch(rows=rows, version=1, seconds=0.1, tensors={"c": words})

    for rows in (1, 2, TOGETHER + 1):
        gathering, batch = Gathering(), told(rows)
        assert gathering.add(batch, size(batch) - 1) == 0
        assert gathering.take() == []
        assert gathering.add(batch, size(batch)) == size(batch)
        (taken,) = gathering.take()
        assert (taken.rows, taken.tensors["c"].tolist()) == (rows, ["x" * 1000] * rows)
