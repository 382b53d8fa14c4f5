"""What waits to be told is bounded, and a row told alone is what its batch is."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from raymm.artifacts import Batch, Column, Feedback, OneRow, Schema
from raymm.monitoring import buffer as buffer_module
from raymm.monitoring.buffer import _VERSIONS, MOST_BYTES, MOST_ROWS, PAGE, Buffer
from raymm.monitoring.merging import TOGETHER, merge, unpacked
from raymm.monitoring.sampling import sampled
from raymm.serving.protocol import RecordReader


def row(number: int, text: str = "a") -> tuple:
    tensors = {"x": np.float32([number]), "c": np.array([text], object)}
    return 1 + number % 2, 0.1, tensors, np.float32([[0.25, 0.75]]), str(number)


def batch(number: int) -> Batch:
    version, seconds, tensors, prediction, key = row(number)
    return Batch(
        rows=1,
        version=version,
        seconds=seconds,
        tensors=tensors,
        predictions=prediction,
        ids=(key,),
    )


def told_by(buffer: Buffer) -> list[Batch]:
    return [unpacked(one) for one in merge(buffer.take()[0])]


@pytest.mark.parametrize("count", [1, PAGE - 1, PAGE, 5 * PAGE + 3])
def test_rows_told_alone_are_what_their_batches_are(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffer_module, "EVERY", count)
    alone, together = Buffer(), Buffer()
    for number in range(count):
        alone.tell_row(*row(number))
        together.tell(batch(number))
    failed = Batch(rows=0, version=1, seconds=0.2, error="InputError")
    alone.tell(failed)
    together.tell(failed)
    assert alone.rows == together.rows == count + 1
    assert alone._bytes >= together._bytes
    one, other = (told_by(buffer) for buffer in (alone, together))
    assert [left.ids for left in one] == [right.ids for right in other]
    for left, right in zip(one, other, strict=True):
        assert (left.version, left.merged, left.error) == (right.version, right.merged, right.error)
        for name, values in left.tensors.items():
            np.testing.assert_array_equal(values, right.tensors[name])
    assert alone.take() == ([], [])
    assert alone.rows == 0


def test_of_many_rows_a_second_a_sample_is_told_whole_and_the_times_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(buffer_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(buffer_module, "EVERY", 40)
    buffer, count = Buffer(), 4_000
    for number in range(count):
        version, _, *rest = row(2 * number, f"t{number}")
        buffer.tell_row(version, float(number), *rest)
    whole, thin = told_by(buffer)
    assert [whole.thinned, thin.thinned] == [False, True]
    assert whole.rows + thin.rows == count
    numbers = [int(name) // 2 for name in whole.ids]
    first = [n for n in numbers if not sampled(str(2 * n))]
    assert first[-1] < 100  # a second begins with the first row that is not in the sample
    expected = [n for n in range(count) if n in first or sampled(str(2 * n))]
    assert numbers == expected
    assert whole.tensors["c"].tolist() == [f"t{n}" for n in numbers]
    assert sorted((*whole.merged, *thin.merged)) == list(range(count))
    assert (thin.tensors, thin.ids, len(thin.predictions)) == ({}, (), 0)
    assert thin.seconds == sum(thin.merged)
    now[0] += 1.5  # another second begins
    for number in range(39):
        buffer.tell_row(*row(2 * number))
    assert not any(one.thinned for one in told_by(buffer))


def test_a_shadow_s_single_rows_are_sampled_alike_and_others_are_all_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffer_module, "EVERY", 0)
    monkeypatch.setattr(buffer_module, "sampled", lambda name: int(name) % 32 == 2)
    buffer, count = Buffer(), 500
    for number in range(count):
        buffer.tell_row(*row(2 * number))
        buffer.tell(replace(batch(2 * number), version=9))
    told = {(one.version, one.thinned): one for one in told_by(buffer)}
    assert told[1, False].ids[1:] == told[9, False].ids  # a second begins with the first row
    assert told[9, False].rows + told[9, True].rows == count
    failed = Batch(rows=1, version=9, seconds=0.1, error="ServingError", ids=("7",))
    several = replace(batch(0), rows=2, ids=("a-0", "a-1"), predictions=np.zeros((2, 2)))
    for one in (failed, several):
        buffer.tell(one)
    assert [(one.rows, one.thinned) for one in told_by(buffer)] == [(1, False), (2, False)]


def test_times_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_module, "EVERY", 0)
    monkeypatch.setattr(buffer_module, "MOST_ROWS", 7)
    monkeypatch.setattr(buffer_module, "sampled", lambda name: False)
    buffer = Buffer()
    for number in range(12):
        buffer.tell_row(*row(2 * number))
    assert [one.rows for one in told_by(buffer)] == [1, 7]
    assert buffer.dropped == 4
    assert buffer.take() == ([], [])


def test_rows_are_bounded_in_number_and_bytes() -> None:
    buffer = Buffer()
    for number in range(5):
        buffer.tell_row(*row(2 * number, f"{number}" + "x" * (MOST_BYTES // 4)))
    assert (buffer.rows, buffer.dropped) == (3, 2)
    buffer = Buffer()
    buffer.tell(Batch(rows=MOST_ROWS, version=1, seconds=0.1))
    buffer.tell_row(*row(1))
    assert (buffer.rows, buffer.dropped) == (MOST_ROWS, 1)


def test_rows_of_changing_columns_are_told_apart_and_little_is_remembered_of_them() -> None:
    buffer, x = Buffer(), np.float32([1])
    for number in range(3 * _VERSIONS):
        buffer.tell_row(number, 0.1, {"x": x}, x, "a")
        assert len(buffer._plain) <= _VERSIONS
    three = np.float32([[0.2, 0.3, 0.5]])
    for prediction in (x, three, x.astype(np.float64), x):
        buffer.tell_row(0, 0.1, {"y": x}, prediction, "b")
    buffer.tell_row(0, 0.1, {"x": x, "y": x}, x, "c")
    taken = [(one.version, list(one.tensors), one.rows) for one in merge(buffer.take()[0])]
    first = [(number, ["x"], 1) for number in range(3 * _VERSIONS)]
    assert taken == [*first, (0, ["y"], 3), (0, ["y"], 1), (0, ["x", "y"], 1)]


def test_rows_from_a_reader_are_what_was_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_module, "EVERY", 3 * PAGE)
    columns = [Column(name=name, kind="number") for name in ("b", "a")]
    columns += [Column(name=name, kind="category", categories=("u", "v")) for name in ("d", "c")]
    read = RecordReader(Schema(columns=tuple(columns), task="regression", target="y"))
    buffer, count = Buffer(), 2 * PAGE + 3
    for number in range(count):
        record = {"a": number, "b": -number, "c": str(number), "d": None if number % 7 else "u"}
        tensors = read.tensors([record])
        assert (type(tensors) is OneRow) == (number % 7 == 0)
        buffer.tell_row(1, 0.1, tensors, np.float32([number]), str(number))
    taken = buffer.take()[0]
    assert len(taken) == 2 + 3  # the first of both, and pages of those that were cut and others
    (batch,) = map(unpacked, merge(taken))
    rows = np.argsort(batch.predictions, kind="stable")
    told = {name: values[rows].tolist() for name, values in batch.tensors.items()}
    numbers = list(range(count))
    assert told == {
        "a": numbers,
        "b": [-number for number in numbers],
        "c": [str(number) for number in numbers],
        "d": ["" if number % 7 else "u" for number in numbers],
    }
    assert [batch.ids[row] for row in rows] == [str(number) for number in numbers]
    assert all(values.flags.c_contiguous for values in batch.tensors.values())


def test_rows_of_two_orders_of_columns_stay_in_their_columns() -> None:
    def one(name: str, **tensors: object) -> Batch:
        kinds = {"c": object, "x": np.float32, "z": np.float32}
        made = {key: np.array([value], kinds[key]) for key, value in tensors.items()}
        answer = np.float32([0])
        return Batch(rows=1, version=1, seconds=0.1, tensors=made, predictions=answer, ids=(name,))

    buffer = Buffer()
    for batch in (one("a", c="u", x=1, z=2), one("b", x=0, z=3, c="v"), one("c", c="w", z=4, x=5)):
        buffer.tell(batch)
        buffer.tell_row(1, 0.1, batch.tensors, batch.predictions, "again")
    told = {}
    for batch in merge(buffer.take()[0]):
        for row, name in enumerate(batch.ids):
            values = {key: batch.tensors[key][row] for key in ("c", "x", "z")}
            told.setdefault(tuple(values.values()), []).append(name)
    assert told == {
        ("u", 1, 2): ["a", "again"], ("v", 0, 3): ["b", "again"], ("w", 5, 4): ["c", "again"]
    }  # fmt: skip
    assert buffer.take() == ([], [])


def test_an_id_that_names_many_rows_is_sampled_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(buffer_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(buffer_module, "EVERY", 10)
    monkeypatch.setattr(buffer_module, "sampled", lambda name: name == "s-7")
    buffer, told = Buffer(), []
    for number in range(3_000):
        now[0] += 0.001
        version, seconds, tensors, prediction, _ = row(2 * number)
        buffer.tell_row(version, seconds, tensors, prediction, f"s-{number % 20}")
    for one in told_by(buffer):
        told += [] if one.thinned else one.ids
    # Each second begins with the first row after it, of whatever id; before that, all were told.
    assert 3 * 10 <= len(told) <= 4 * (10 + 2)
    assert told.count("s-7") <= 4 * 2


def test_a_row_for_which_there_is_no_room_drops_no_other() -> None:
    buffer = Buffer()
    for number in range(PAGE):
        buffer.tell_row(*row(2 * number, "x" * (MOST_BYTES + 1) if number == 3 else "x"))
    taken = merge(buffer.take()[0])
    assert (sum(batch.rows for batch in taken), buffer.dropped) == (PAGE - 1, 1)


def test_of_mixed_requests_few_are_gathered_together() -> None:
    buffer = Buffer()
    for number in range(2 * TOGETHER):
        buffer.tell_row(*row(2 * number))
        buffer.tell(Batch(rows=0, version=1, seconds=0.2, error="InputError"))
    taken = buffer.take()[0]
    assert len(taken) <= TOGETHER + 8  # blocks, and what is fresh
    assert sum(batch.rows for batch in taken) == 2 * TOGETHER


def test_labels_are_bounded_too() -> None:
    buffer = Buffer()
    labels = tuple(map(str, range(MOST_ROWS)))
    for _ in range(2):
        buffer.learn(Feedback(ids=labels, labels=labels))
    assert (buffer.labels, buffer.dropped_labels) == (MOST_ROWS, MOST_ROWS)
    assert len(buffer.take()[1]) == 1


def test_nothing_is_lost_between_threads() -> None:
    buffer, ends, told = Buffer(), threading.Event(), []
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def fill(start: int) -> None:
        for number in range(start, start + 2000):
            buffer.tell_row(*row(number))

    def empty() -> None:
        while not ends.is_set():
            told.extend(buffer.take()[0])

    try:
        threads = [threading.Thread(target=fill, args=(start,)) for start in (0, 2000)]
        reader = threading.Thread(target=empty)
        for thread in (*threads, reader):
            thread.start()
        for thread in threads:
            thread.join()
        ends.set()
        reader.join()
    finally:
        sys.setswitchinterval(usual)
    told.extend(buffer.take()[0])
    batches = [*map(unpacked, told)]
    ids = [int(one) for batch in batches for one in batch.ids]
    assert len(set(ids)) == len(ids)
    assert {one for one in range(4000) if sampled(str(one))} < set(ids)
    thinned = sum(batch.rows for batch in batches if batch.thinned)
    assert len(ids) + thinned == 4000
    assert thinned > 2000
