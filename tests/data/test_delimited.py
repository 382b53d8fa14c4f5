import pytest

from raymm.data.delimited import Dialect, first_rows


@pytest.mark.parametrize(
    ("dialect", "text", "rows"),
    [
        (Dialect(delimiter=","), 'a,"b,\nc"\n\n1,2\n', [["a", "b,\nc"], ["1", "2"]]),
        (Dialect(delimiter=",", quote=""), 'a,"b\n', [["a", '"b']]),
        (Dialect(delimiter=",", escape="\\"), 'a,"b\\"c"\n', [["a", 'b"c']]),
        (Dialect(delimiter=",", blanks=True), 'a, "b,c"\n', [["a", "b,c"]]),
    ],
)
def test_cells_are_parted_as_the_dialect_says(
    dialect: Dialect, text: str, rows: list[list[str]]
) -> None:
    assert first_rows(dialect, text) == rows


def test_no_more_rows_than_are_needed_are_read() -> None:
    assert len(first_rows(Dialect(delimiter=","), "a,b\n" * 1000)) == 200
