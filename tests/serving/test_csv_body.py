import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.errors import InputError, TooLarge
from raymm.serving.csv_body import csv_sheet

KNOWN = frozenset({"a", "b"})


def read(body, rows=100):
    sheet = csv_sheet(body, known=KNOWN, max_rows=rows, max_bytes=1000)
    return {name: column.to_pylist() for name, column in sheet.columns.items()}, sheet


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        (b"a,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        (b"a,b\n1,2", {"a": ["1"], "b": ["2"]}),
        (b"b,a\r\n1,2\r\n3,4\r\n", {"b": ["1", "3"], "a": ["2", "4"]}),
        (b"\xef\xbb\xbfa,b\n,\n", {"a": [""], "b": [""]}),
        (b'"a"," b"\n"1,""x""","2\n3"\n', {"a": ['1,"x"'], "b": ["2\n3"]}),
        (b"a , b\n 1 , 2\n", {"a": [" 1 "], "b": [" 2"]}),
        (b"\n\na,b\n\n1,2\n\n", {"a": ["1"], "b": ["2"]}),
        (b'a\n""\n.\n', {"a": ["", "."]}),
        (b"c;d\n1\n", {"c;d": ["1"]}),
        (b'a,b\n.,.\n"",x\n', {"a": [".", ""], "b": [".", "x"]}),
        (b'a,b\n5" pipe,2\n', {"a": ['5" pipe'], "b": ["2"]}),
        (b'a,b\n5" pipe,"x ""y"", z"\n', {"a": ['5" pipe'], "b": ['x "y", z']}),
        (b'a,b\n"""x""","\r\n,""\n"\n"",2', {"a": ['"x"', ""], "b": ['\r\n,"\n', "2"]}),
        ("a,b\nü,☃".encode(), {"a": ["ü"], "b": ["☃"]}),
    ],
)
def test_tables(body, columns):
    assert read(body)[0] == columns


@pytest.mark.parametrize(
    ("body", "field", "observed"),
    [
        (b"", "body", "nothing"),
        (b"\n\n", "body", "nothing"),
        (b"a,b\n", "body", "no rows"),
        (b"a,b", "body", "no rows"),
        (b"a,b\n1\n", "line 2", "1 cell"),
        (b'a,b\n1,"2\n3"\n\n1,2,3\n', "line 5", "3 cells"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3", "a quote that is not closed"),
        (b'a,b\n1,2\n3,"', "line 3", "a quote that is not closed"),
        (b'"a,b\n1,2\n', "line 1", "a quote that is not closed"),
        (b'a,b\n1,2\n5" pipe,"4\n', "line 3", "a quote that is not closed"),
        (b'a,b\n1,2\n3,"4"x\n', "line 3", "text after a closing quote"),
        (b'a,b\r\n"1\r\n2" ,3\r\n', "line 3", "text after a closing quote"),
        (b'a,b\n1,""x\n', "line 2", "text after a closing quote"),
        (b'a,b\r"1","x"""y', "line 2", "text after a closing quote"),
        (b'"a"c,b\n1,2\n', "line 1", "text after a closing quote"),
        (b"a;b\n1;2\n", "line 1", "names between semicolons"),
        (b"other\t b\n1,5\t2\n", "line 1", "names between tabs"),
        (b"a,a\n1,2\n", "line 1", "the column 'a' (text) twice"),
        (b"a,b\n1,\xff\n", "line 2", "bytes that are not UTF-8 at byte 3"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1", "bytes that are not UTF-8 at byte 1"),
        (b"," * 5000 + b"\n", "line 1", "more than 1000 cells"),
        (b"a,b\n1,2\n3" + b"," * 60_000, "line 3", "more than 50000 cells"),
        (b"x" * 200_000 + b",a\n1,2", "line 1", "a row that cannot be read"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(body, field, observed):
    with pytest.raises(InputError) as caught:
        read(body)
    assert caught.value.field == field
    assert caught.value.observed.startswith(observed)


def _read_strictly(body):
    try:
        rows = [row for row in csv.reader(io.StringIO(body, newline=""), strict=True) if row]
    except csv.Error:
        return None
    whole = len(rows) > 1 and all(len(row) == 2 for row in rows)
    return {"a": [row[0] for row in rows[1:]], "b": [row[1] for row in rows[1:]]} if whole else None


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 3, 65_536])
@given(body=st.text(alphabet='"",\nxy ', max_size=30))
def test_quotes_are_read_as_a_strict_reader_reads_them(block, body):
    body = "a,b\n" + body
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raymm.serving.csv_body._BLOCK", block)
        try:
            told = read(body.encode())[0]
        except InputError:
            told = None
    assert told == _read_strictly(body)


def test_rows_are_bounded():
    assert len(read(b"a\n" + b"1\n" * 5, rows=5)[0]["a"]) == 5
    with pytest.raises(TooLarge, match="5 rows at most"):
        read(b"a\n" + b"1\n" * 6, rows=5)


def test_rows_are_found_again():
    _, sheet = read(b'a,b\n1,2\n"x\ny",3\n\n4,5\n')
    assert [sheet.place(row) for row in range(3)] == ["line 2, ", "line 3, ", "line 6, "]
