import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.compact import Column, expected
from raymm.features.columns import parse_numbers

amounts = st.floats(-1e6, 1e6).map(lambda value: f"{value:,.2f}")


def taken(column: Column, *pieces: list[str]) -> Column:
    for piece in pieces:
        column.add(pa.array(piece, pa.string()))
    return column


@pytest.mark.slow
@given(st.lists(st.sampled_from(["", "NA", " 7", "1e3", "-0.25", "12"]), min_size=1, max_size=20))
def test_plain_numbers_are_read_as_the_schema_s_reader_does(cells: list[str]) -> None:
    column = taken(Column(kind="number", whole=True), cells[:10], cells[10:])
    assert not column.failed
    np.testing.assert_array_equal(column.values(), parse_numbers(cells, ("NA",)))
    assert column.written.missing == (("NA",) if "NA" in cells else ())


@pytest.mark.slow
@given(
    st.lists(amounts, min_size=1), st.sampled_from(["thousands comma", "decimal comma", "signs"])
)
def test_marked_numbers_are_read_as_the_schema_s_reader_does(cells: list[str], style: str) -> None:
    swap = str.maketrans(",.", ".,") if style == "decimal comma" else {}
    words = [cell.translate(swap) for cell in cells]
    if style == "signs":
        words = ["$" + cell.replace(",", "") for cell in cells]
    column = taken(Column(kind="number", format=style), words)
    np.testing.assert_array_equal(column.values(), parse_numbers(words, style=style))


@pytest.mark.parametrize("cells", [["1", "x"], ["017", "234"], ["1.5", "2", "a b"]])
def test_what_is_no_number_fails_the_column(cells: list[str]) -> None:
    assert taken(Column(kind="number", whole=True), cells).failed


def test_whole_numbers_take_the_least_bytes() -> None:
    for high, dtype in ((100, "int8"), (200, "int16"), (70_000, "int32"), (2**40, "int64")):
        assert taken(Column(kind="number", whole=True), ["0", str(high)]).values().dtype == dtype
    assert taken(Column(kind="number", whole=True), ["0"], ["1.5"]).values().tolist() == [0, 1.5]


@pytest.mark.parametrize(
    ("cells", "style"),
    [
        (["2020-01-31", "", "2020-02-01 10:00:00"], "ISO8601"),
        (["2020-01-31T00:00:00Z", "?", "2020-02-01T12:00:00+02:00"], "ISO8601"),
        (["31/01/2020", "NA", "01/02/2020"], "%d/%m/%Y"),
    ],
)
def test_moments_are_read(cells: list[str], style: str) -> None:
    column = taken(Column(kind="datetime", format=style), cells)
    values = pd.Series(column.values())
    first = [str(value)[:10] for value in values]
    assert first == ["2020-01-31", "NaT", "2020-02-01"]
    assert taken(Column(kind="datetime", format=style), ["31 Foo"]).failed


def test_words_are_kept_once_where_they_repeat_and_always_as_written() -> None:
    many = [f"w{i}" for i in range(50)]
    once = pd.Series(taken(Column(), ["a", " b", "", "a"] * 5, ["c"] * 9).values())
    assert isinstance(once.dtype, pd.CategoricalDtype)
    assert once.tolist() == ["a", " b", "", "a"] * 5 + ["c"] * 9
    mixed = pd.Series(taken(Column(), ["a"] * 9, many).values())
    assert mixed.dtype == "str"
    assert mixed.tolist() == ["a"] * 9 + many


@given(st.lists(st.text(max_size=3), max_size=12), st.integers(0, 12))
def test_the_digest_is_of_the_cells_and_not_of_the_pieces(cells: list[str], cut: int) -> None:
    whole = pa.array(cells, pa.string())
    parts = Column()
    parts.add(whole[:cut])
    parts.add(whole[cut:])
    assert parts.digest == taken(Column(), cells).digest
    assert parts.digest != taken(Column(), [*cells, ""]).digest


def test_the_first_cells_tell_what_to_expect() -> None:
    def found(cells: list[str]) -> tuple[str, str | None, bool]:
        column = expected(pd.Series(cells, dtype="str"), decimal_comma=False)
        return column.kind, column.format, column.whole

    assert found(["1", "2", "30"]) == ("number", None, True)
    assert found(["1,5", "2,25"]) == ("number", "decimal comma", False)
    assert found(["31/12/2020", "01/12/2020"]) == ("datetime", "%d/%m/%Y", False)
    assert found(["a", "b"]) == ("words", None, False)
    assert found(["0:10", "1:20", "2:30"]) == ("words", None, False)


def test_a_minus_behind_a_number_is_read_as_the_schema_s_reader_does() -> None:
    cells = ["4.211,54-", "12,5 €-", "7 -", "(3)", "$8", "-", ""]
    column = taken(Column(kind="number", format="signs, decimal comma"), cells)
    expected = parse_numbers(cells, ("-",), style="signs, decimal comma")
    assert expected[:3].tolist() == [-4211.54, -12.5, -7]
    np.testing.assert_array_equal(column.values(), expected)
    assert taken(Column(kind="number", format="signs"), ["5--"]).failed
