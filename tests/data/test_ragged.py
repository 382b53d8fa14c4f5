import io
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.data import ragged
from raymm.data.delimited import Dialect
from raymm.data.dialect import Layout
from raymm.data.ragged import Ragged

CELL = st.sampled_from(["", "1", "ab", '"x,y"', '"two\nlines"', '"say ""so"""', "é"])
ROW = st.lists(CELL, min_size=1, max_size=5).map(",".join)
LINE = st.one_of(
    ROW, ROW, st.just("1,2,3"), st.sampled_from(["", "# a note", "1,2,3,,", "1,2,3,4"])
)


def stream(text: str, how: Layout, quote: str = '"') -> tuple[list[list[str]], Ragged]:
    """Read as `raymm.data.streamed` does, in blocks of 64 bytes."""
    handler = Ragged(how, quote)
    names = [str(place) for place in range(len(how.names))]
    batches = pa.csv.open_csv(
        pa.PythonFile(io.BytesIO(text.encode()), "r"),
        read_options=pa.csv.ReadOptions(
            column_names=names,
            skip_rows=how.above,
            skip_rows_after_names=0 if how.headless else 1,
            block_size=64,
            use_threads=False,
        ),
        parse_options=pa.csv.ParseOptions(
            quote_char=quote or False, newlines_in_values=True, invalid_row_handler=handler
        ),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    found = [handler.merged(batch) for batch in batches]
    found.append(handler.rest(names))
    rows: list[Any] = [list(row.values()) for batch in found for row in batch.to_pylist()]
    return rows, handler


def plainly(text: str, how: Layout) -> list[list[str]]:
    """Read as Python's csv does, all at once."""
    width = len(how.names)
    below = text.split("\n", how.above)[-1]
    rows = [row for row in how.dialect.reader(below) if row][0 if how.headless else 1 :]
    return [
        row[:width] + [""] * (width - len(row))
        for row in rows
        if len(row) == width
        or not (row[0].startswith("#") or any(cell.strip() for cell in row[width:]))
    ]


@settings(deadline=None, max_examples=60)
@given(
    lines=st.lists(LINE, min_size=1, max_size=40),
    headless=st.booleans(),
    above=st.integers(0, 2),
)
def test_rows_are_those_of_a_reader_that_pads_them_in_their_order(
    lines: list[str], headless: bool, above: int
) -> None:
    how = Layout(
        dialect=Dialect(delimiter=","), names=["a", "b", "c"], headless=headless, above=above
    )
    head = [*["a title"] * above, *([] if headless else ["a,b,c"]), "0,0,0"]
    text = "\n".join([*head, *lines, "9,9,9"])
    rows, handler = stream(text, how)
    assert rows == plainly(text, how)
    assert handler.whole + handler.short.count <= len(rows)
    assert not handler.waits


def test_rows_are_told_by_their_numbers_and_torn_ones_left_out() -> None:
    how = Layout(dialect=Dialect(delimiter=","), names=["a", "b", "c"], headless=False)
    text = 'a,b,c\n1,2,3\n4\n5,6,7,8\n# none\n9,9,9\n1,"x'
    rows, handler = stream(text, how)
    assert rows == [["1", "2", "3"], ["4", "", ""], ["9", "9", "9"]]
    assert (handler.short.rows, handler.left.rows, handler.count) == ([3], [4, 7], 3)
    assert stream(text, how, quote="")[0][-1] == ["1", '"x', ""]


@pytest.mark.parametrize("most", [0, 10])
def test_rows_do_not_wait_without_bound(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged, "_WAITING", most)
    how = Layout(dialect=Dialect(delimiter=","), names=["a", "b"], headless=True)
    text = "\n".join(["0,0", *(str(i) for i in range(500)), "9,9"])
    rows, handler = stream(text, how)
    assert rows == [["0", "0"], *([str(i), ""] for i in range(500)), ["9", "9"]]
    assert handler.short.rows[:2] == [2, 3]
