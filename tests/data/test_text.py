import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data.ingest import read
from raymm.data.text import parse
from raymm.errors import DataError


def framed(data: bytes) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


# Odd files that can be read: bytes, expected columns as lists, and a word of the notes.
ODD = {
    "plain": (b"a,b\n1,x\n2,y\n", {"a": ["1", "2"], "b": ["x", "y"]}, ""),
    "semicolon": (b"a;b\n1,5;x\n2,5;y\n", {"a": ["1,5", "2,5"], "b": ["x", "y"]}, "semicolon"),
    "tab": (b"a\tb\n1\tx, y\n", {"a": ["1"], "b": ["x, y"]}, "tab"),
    "bar": (b"a|b\n1|x\n", {"a": ["1"], "b": ["x"]}, "bar"),
    "bom": (b"\xef\xbb\xbfa,b\n1,x\n", {"a": ["1"], "b": ["x"]}, ""),
    "utf16": ("a,b\n1,é\n".encode("utf-16"), {"a": ["1"], "b": ["é"]}, "UTF-16"),
    "latin": ("a,b\n1,é\n".encode("latin-1"), {"a": ["1"], "b": ["é"]}, "cp1252"),
    "windows": (b"a,b\r\n1,x\r\n2,y\r\n", {"a": ["1", "2"], "b": ["x", "y"]}, ""),
    "old mac": (b"a,b\r1,x\r2,y\r", {"a": ["1", "2"], "b": ["x", "y"]}, ""),
    "no last newline": (b"a,b\n1,x", {"a": ["1"], "b": ["x"]}, ""),
    "blank lines": (b"\n\na,b\n\n1,x\n\n\n2,y\n\n", {"a": ["1", "2"], "b": ["x", "y"]}, ""),
    "quoted newline": (b'a,b\n1,"x\ny"\n', {"a": ["1"], "b": ["x\ny"]}, ""),
    "quoted quote": (b'a,b\n1,"say ""x"""\n', {"a": ["1"], "b": ['say "x"']}, ""),
    "escaped quote": (b'a,b\n1,"say \\"x\\""\n', {"a": ["1"], "b": ['say "x"']}, ""),
    "single quotes": (b"a,b\n1,'x,z'\n2,'y'\n", {"a": ["1", "2"], "b": ["x,z", "y"]}, ""),
    "stray quote": (b'a,b\n1,5" pipe\n2,y\n', {"a": ["1", "2"], "b": ['5" pipe', "y"]}, ""),
    "open quote": (
        b'a,b\n1,"x\n2,y\n3,z\n',
        {"a": ["1", "2", "3"], "b": ['"x', "y", "z"]},
        "not paired",
    ),
    "short row": (b"a,b\n1,x\n2\n", {"a": ["1", "2"], "b": ["x", ""]}, "lines 3"),
    "long row": (b"a,b\n1,x\n2,y,z\n3,w\n", {"a": ["1", "3"], "b": ["x", "w"]}, "lines 3"),
    "trailing delimiter": (b"a,b,\n1,x,\n2,y,\n", {"a": ["1", "2"], "b": ["x", "y"]}, "last"),
    "duplicate names": (b"a,a\n1,x\n", {"a": ["1"], "a_2": ["x"]}, "second column"),
    "renamed twice": (b"a,a,a_2\n1,x,z\n", {"a": ["1"], "a_3": ["x"], "a_2": ["z"]}, "a_3"),
    "empty name": (b",b\n1,x\n", {"column_1": ["1"], "b": ["x"]}, "no name"),
    "blank names": (b" a , b\n1, x\n", {"a": ["1"], "b": [" x"]}, ""),
    "no header": (b"5.1,x\n4.9,y\n", {"column_1": ["5.1", "4.9"], "column_2": ["x", "y"]}, "first"),
    "one column": (b"a\n1\n2\n", {"a": ["1", "2"]}, ""),
    "missing words": (b"a,b\nNA,\n?, \n", {"a": ["NA", "?"], "b": ["", " "]}, ""),
    "gzip": (gzip.compress(b"a,b\n1,x\n"), {"a": ["1"], "b": ["x"]}, ""),
    "zstd": (framed(b"a,b\n1,x\n"), {"a": ["1"], "b": ["x"]}, ""),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_read_as_a_person_would_read_them(name: str, tmp_path: Path) -> None:
    data, expected, note = ODD[name]
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    table = read(str(path))
    assert {str(key): list(values) for key, values in table.frame.items()} == expected
    assert note in " ".join(table.notes)
    assert all(dtype == "str" for dtype in table.frame.dtypes)


BAD = {
    "empty": (b"", "empty"),
    "only blanks": (b"\n \n", "empty"),
    "only a header": (b"a,b\n", "no rows"),
    "only a separator": (b"sep=;\n", "no rows"),
    "binary": (bytes(range(256)) * 10, "not text"),
    "excel": (b"PK\x03\x04rest", "Excel"),
    "pdf": (b"%PDF-1.7", "PDF"),
    "broken parquet": (b"PAR1 and nothing else", "Parquet"),
    "broken gzip": (gzip.compress(b"a,b\n1,x\n" * 99)[:20], "unpacked"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_a_data_error_with_a_remedy(name: str, tmp_path: Path) -> None:
    data, word = BAD[name]
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=word) as error:
        read(str(path))
    assert str(error.value).endswith(".")


cells = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(list(",;\t|\"'\n")), max_size=8
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, st.integers().map(str)), min_size=1, max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_what_a_csv_writer_quotes_comes_back_exactly(
    rows: list[tuple[str, str, str]], delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("one", "two", "three"), *rows])
    frame, _ = parse(text.getvalue().encode(), "table.csv")
    assert list(frame.itertuples(index=False, name=None)) == rows
    assert list(frame.columns) == ["one", "two", "three"]
