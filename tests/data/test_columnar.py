import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.columnar import arrow, parquet, records
from raymm.data.findings import Findings
from raymm.data.ingest import from_frame
from raymm.errors import DataError

ROOM = 10**9


def written(table: pa.Table) -> pa.BufferReader:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return pa.BufferReader(sink.getvalue())


def test_records_within_columns_become_columns_and_lists_are_left_out() -> None:
    table = pa.table({"p": [{"a": 1, "b": {"c": "x"}}, None], "l": [[1], [2]], "n": [1.5, None]})
    found = Findings()
    frame = parquet(written(table), "t", found, ROOM)
    assert list(frame.columns) == ["p.a", "p.b.c", "n"]
    assert frame["p.a"].tolist()[0] == 1
    assert frame.isna().to_numpy().tolist() == [[False] * 3, [True] * 3]
    assert [anomaly.column for anomaly in found.anomalies] == ["l"]


def test_text_in_bytes_and_words_kept_once_are_read() -> None:
    table = pa.table({"b": pa.array([b"x", b"y"]), "d": pa.array(["u", "u"]).dictionary_encode()})
    frame = parquet(written(table), "t", Findings(), ROOM)
    assert frame["b"].tolist() == ["x", "y"]
    assert isinstance(frame["d"].dtype, pd.CategoricalDtype)


def test_a_file_that_says_it_is_larger_than_the_memory_is_refused_before_it_is_read() -> None:
    table = pa.table({"x": pa.array([1.0] * 100_000)})  # run lengths: a few bytes
    with pytest.raises(DataError, match="100,000 rows of 1 columns"):
        parquet(written(table), "t", Findings(), 1000)


@pytest.mark.parametrize("bad", ["list", "map"])
def test_what_is_left_out_is_not_read(bad: str) -> None:
    word = "x" * 10_000
    cells = [[(word, word)] if bad == "map" else [word]] * 500
    kind = pa.map_(pa.string(), pa.string()) if bad == "map" else pa.list_(pa.string())
    table = pa.table({"l": pa.array(cells, kind), "n": [1.5] * 500})
    found = Findings()
    assert list(parquet(written(table), "t", found, 10**6).columns) == ["n"]
    assert [anomaly.column for anomaly in found.anomalies] == ["l"]
    assert parquet(written(table.select(["l"])), "t", Findings(), 10**6).shape[1] == 0


REPEATED = pa.array(["x" * 10_000, None]).take(pa.array([0, 0, 1] * 500))


@pytest.mark.parametrize(
    "column",
    [
        REPEATED,
        REPEATED.cast(pa.large_string()),
        REPEATED.cast(pa.binary()),
        pa.StructArray.from_arrays([REPEATED], ["inner"]),
    ],
    ids=["text", "large", "bytes", "record"],
)
def test_words_kept_once_are_counted_as_often_as_they_stand(column: pa.Array) -> None:
    file = written(pa.table({"s": column}))
    assert file.size() < 30_000
    with pytest.raises(DataError, match=r"1,500 rows of 1 columns, which take about 0\.0 GiB"):
        parquet(file, "t", Findings(), 5_000_000)
    frame = parquet(file, "t", Findings(), 11_000_000)
    (cells,) = (frame[name] for name in frame)
    assert str(cells.dtype) == "str"
    assert cells.tolist()[0] == "x" * 10_000
    assert cells.isna().tolist() == [False, False, True] * 500


def test_text_of_many_words_is_read_as_it_was_written() -> None:
    words = [None if i % 7 == 0 else f"wört {i % 900}" for i in range(2000)]
    for options in ({}, {"use_dictionary": False}, {"row_group_size": 300}):
        sink = io.BytesIO()
        pq.write_table(pa.table({"s": words}), sink, **options)
        frame = parquet(pa.BufferReader(sink.getvalue()), "t", Findings(), ROOM)
        assert frame["s"].astype(object).where(frame["s"].notna(), None).tolist() == words


@pytest.mark.parametrize("viewed", [False, True])
def test_arrow_files_are_measured_batch_by_batch(viewed: bool) -> None:
    if viewed:  # rows that look at one word
        _, views, text = pa.array(["x" * 10_000]).cast(pa.string_view()).buffers()
        buffers = [None, pa.py_buffer(views.to_pybytes()[:16] * 1000), text]
        table = pa.table({"s": pa.Array.from_buffers(pa.string_view(), 1000, buffers)})
    else:
        table = pa.table({"s": pa.array(["x" * 1000] * 10_000)})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=500)
    file = pa.BufferReader(sink.getvalue())
    with pytest.raises(DataError, match="rows of 1 columns, which take about"):
        arrow(file, "t", Findings(), 5_000_000)
    assert len(arrow(file, "t", Findings(), 50_000_000)) == len(table)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["lines", "list", "several types", "nested"])
def test_records_each_of_another_key_are_refused_before_they_become_a_table(form: str) -> None:
    rows: list[dict[str, object]] = [{f"k{i}": 1} for i in range(500)]
    if form == "nested":
        rows = [{f"a{i % 25}": {f"b{i // 25}": 1}} for i in range(500)]
    if form == "several types":
        rows[1] = {"k0": "x"}
    data = "\n".join(map(json.dumps, rows)) if form != "list" else json.dumps(rows)
    with pytest.raises(DataError, match="Give a sample of its rows"):
        records(data.encode(), "t", Findings(), 1_000_000)
    assert records(data.encode(), "t", Findings(), ROOM).shape[0] == 500


def test_damaged_arrow_files_are_data_errors() -> None:
    with pytest.raises(DataError, match="Arrow"):
        arrow(pa.BufferReader(b"ARROW1\0\0" + bytes(100)), "t", Findings(), ROOM)


def test_json_lines_lists_and_what_is_neither() -> None:
    lines = b'{"a": 1, "b": {"c": "x"}}\n{"a": 2.5, "b": {"c": null}}\n'
    frame = records(lines, "t", Findings(), ROOM)
    assert frame["a"].tolist() == [1, 2.5]
    assert list(frame.columns) == ["a", "b.c"]
    assert records(b' [{"a": 1}, {"a": "x"}]', "t", Findings(), ROOM)["a"].tolist() == [1, "x"]
    for bad in (b"[1, 2]", b"[]", b'{"a": 1}\n{"a":'):
        with pytest.raises(DataError, match="JSON"):
            records(bad, "t", Findings(), ROOM)


def test_records_nested_without_end_are_data_errors() -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    for data in (deep, b"[" + deep + b"]", b'{"a": 1}\n' + deep):
        with pytest.raises(DataError):
            records(data, "t", Findings(), ROOM)
    told = b'{"a": "' + b"[" * 2_000 + b'"}\n{"a": "x"}'  # brackets in a text nest nothing
    assert records(told, "t", Findings(), ROOM)["a"].tolist() == ["[" * 2_000, "x"]


def test_halves_of_characters_are_replaced_and_told() -> None:
    found = Findings()
    data = b'{"t": "\\ud800x", "n\\udfff": 1}\n{"t": "y", "n\\udfff": 2}\n'
    frame = records(data, "t", found, ROOM)
    assert list(frame.columns) == ["t", "n?"]
    assert frame["t"].tolist() == ["?x", "y"]
    assert any("surrogates" in note for note in found.notes)
    held = from_frame(pd.DataFrame({"t": pd.Series(["\ud800x", "y"], dtype=object), "n": [1, 2]}))
    assert held.frame["t"].tolist() == ["?x", "y"]
    assert any("surrogates" in note for note in held.notes)
