from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import NotFound, RegistryError
from raymm.registry.history import History, decode, encode
from raymm.registry.store import Store

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(record=st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_record_is_read_as_it_was_written_in_its_order(record: dict[str, Any]) -> None:
    read = decode(encode(record), "x")
    assert read == record
    assert list(read) == list(record)


@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_never_changes_the_record_unseen(position: int, value: int) -> None:
    record = {"number": 3, "bundle": "abc"}
    data = bytearray(encode(record))
    data[position % len(data)] = value
    try:
        read = decode(bytes(data), "x")
    except RegistryError:
        return
    assert read == record


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_cut_record_is_refused(length: int) -> None:
    with pytest.raises(RegistryError, match="damaged"):
        decode(encode({"a": 1})[:length], "x")


def test_a_newer_format_is_refused_as_such() -> None:
    data = json.dumps({"format": 3, "content": "unknown"}).encode()
    with pytest.raises(RegistryError, match="newer"):
        decode(data, "x")


def test_the_first_format_stays_readable() -> None:
    written = (
        b'{"format": 1, "token": "0", "sha256": '
        b'"f9d86028c6e0d64e225186f96acb69338b2c59764df79162107f5c4bb34d1310", "record": {"a": 1}}'
    )
    assert decode(written, "x") == {"a": 1}


def test_numbers_start_at_one_and_follow_each_other(uri: str) -> None:
    history = History(Store(uri), "models/x/versions")
    assert history.numbers() == []
    for n in (1, 2, 3):
        assert history.append(lambda number, records: {"n": number, "before": len(records)})
        assert history.read(n) == {"n": n, "before": n - 1}
    assert history.numbers() == [1, 2, 3]
    with pytest.raises(NotFound):
        history.read(4)


def test_nothing_is_added_where_nothing_is_made(uri: str) -> None:
    history = History(Store(uri), "models/x/versions")
    assert history.append(lambda number, records: None) is None
    assert history.numbers() == []


@pytest.mark.slow
def test_many_threads_make_one_linear_history(uri: str) -> None:
    def write(writer: int) -> None:
        history = History(Store(uri), "models/x/promotions")
        for _ in range(10):
            history.append(lambda number, records: {"writer": writer, "before": len(records)})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = History(Store(uri), "models/x/promotions")
    assert history.numbers() == list(range(1, 81))
    records = history.records()
    # Each record was made in view of all that come before it: nobody overlooked anybody.
    assert [r["before"] for r in records] == list(range(80))
    assert all(sum(r["writer"] == n for r in records) == 10 for n in range(8))


WRITER = """
import sys
from raymm.registry.history import History
from raymm.registry.store import Store
history = History(Store(sys.argv[1]), "models/x/versions")
for _ in range(20):
    history.append(lambda number, records: {"writer": sys.argv[2], "before": len(records)})
"""


@pytest.mark.slow
def test_many_processes_make_one_linear_history(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(n)]) for n in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    records = History(Store(str(tmp_path)), "models/x/versions").records()
    assert [r["before"] for r in records] == list(range(80))
    assert all(sum(r["writer"] == str(n) for r in records) == 20 for n in range(4))
