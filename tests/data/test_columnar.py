import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.columnar import arrow, parquet, records
from raymm.data.findings import Findings
from raymm.data.ingest import from_frame
from raymm.errors import DataError


def written(table: pa.Table) -> pa.BufferReader:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return pa.BufferReader(sink.getvalue())


def test_records_within_columns_become_columns_and_lists_are_left_out() -> None:
    table = pa.table({"p": [{"a": 1, "b": {"c": "x"}}, None], "l": [[1], [2]], "n": [1.5, None]})
    found = Findings()
    frame = parquet(written(table), "t", found, 10**9)
    assert list(frame.columns) == ["p.a", "p.b.c", "n"]
    assert frame["p.a"].tolist()[0] == 1
    assert frame.isna().to_numpy().tolist() == [[False] * 3, [True] * 3]
    assert [anomaly.column for anomaly in found.anomalies] == ["l"]


def test_text_in_bytes_and_words_kept_once_are_read() -> None:
    table = pa.table({"b": pa.array([b"x", b"y"]), "d": pa.array(["u", "u"]).dictionary_encode()})
    frame = parquet(written(table), "t", Findings(), 10**9)
    assert frame["b"].tolist() == ["x", "y"]
    assert isinstance(frame["d"].dtype, pd.CategoricalDtype)


def test_a_file_that_says_it_is_larger_than_the_memory_is_refused_before_it_is_read() -> None:
    table = pa.table({"x": pa.array([1.0] * 100_000)})  # run lengths: a few bytes
    with pytest.raises(DataError, match="100,000 rows of 1 columns"):
        parquet(written(table), "t", Findings(), 1000)


def test_damaged_arrow_files_are_data_errors() -> None:
    with pytest.raises(DataError, match="Arrow"):
        arrow(pa.BufferReader(b"ARROW1\0\0" + bytes(100)), "t", Findings())


def test_json_lines_lists_and_what_is_neither() -> None:
    lines = b'{"a": 1, "b": {"c": "x"}}\n{"a": 2.5, "b": {"c": null}}\n'
    frame = records(lines, "t", Findings())
    assert frame["a"].tolist() == [1, 2.5]
    assert list(frame.columns) == ["a", "b.c"]
    assert records(b' [{"a": 1}, {"a": "x"}]', "t", Findings())["a"].tolist() == [1, "x"]
    for bad in (b"[1, 2]", b"[]", b'{"a": 1}\n{"a":'):
        with pytest.raises(DataError, match="JSON"):
            records(bad, "t", Findings())


def test_records_nested_without_end_are_data_errors() -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    for data in (deep, b"[" + deep + b"]", b'{"a": 1}\n' + deep):
        with pytest.raises(DataError):
            records(data, "t", Findings())
    told = b'{"a": "' + b"[" * 2_000 + b'"}\n{"a": "x"}'  # brackets in a text nest nothing
    assert records(told, "t", Findings())["a"].tolist() == ["[" * 2_000, "x"]


def test_halves_of_characters_are_replaced_and_told() -> None:
    found = Findings()
    data = b'{"t": "\\ud800x", "n\\udfff": 1}\n{"t": "y", "n\\udfff": 2}\n'
    frame = records(data, "t", found)
    assert list(frame.columns) == ["t", "n?"]
    assert frame["t"].tolist() == ["?x", "y"]
    assert any("surrogates" in note for note in found.notes)
    held = from_frame(pd.DataFrame({"t": pd.Series(["\ud800x", "y"], dtype=object), "n": [1, 2]}))
    assert held.frame["t"].tolist() == ["?x", "y"]
    assert any("surrogates" in note for note in held.notes)
