import math

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.compact import _unmarked
from raymm.features.columns import parse_numbers
from raymm.features.marks import GROUPS, plain_number


@pytest.mark.parametrize(
    ("cell", "style", "value"),
    [
        ("1.234,5", "decimal comma", 1234.5),
        ("12.5", "decimal comma", 12.5),
        ("0.123", "decimal comma", 0.123),
        ("-1.234", "decimal comma", -1234),
        ("1,39,900", "thousands comma", 139_900),
        ("1,234", "thousands comma", 1234),
        ("1,23", "thousands comma", math.nan),
        ("0,123", "thousands comma", math.nan),
        ("(1,5 €)", "signs, decimal comma", -1.5),
    ],
)
def test_marks_stand_where_they_must_or_the_cell_is_read_as_it_is(
    cell: str, style: str, value: float
) -> None:
    assert parse_numbers([cell], style=style).tolist() == pytest.approx([value], nan_ok=True)


@given(
    st.text(st.sampled_from("0123456789.,-+() '€$e\u00a0"), max_size=12),
    st.sampled_from(["signs", *GROUPS, *(f"signs, {style}" for style in GROUPS)]),
)
def test_large_files_lose_the_same_marks(cell: str, style: str) -> None:
    cell = cell.strip()
    marks = set(style.split(", "))
    [streamed] = _unmarked(pa.array([cell]), marks).to_pylist()
    assert streamed == plain_number(cell, marks)


def test_missing_cells_of_large_files_stay_missing() -> None:
    read = _unmarked(pa.array(["1.234,5", None]), {"decimal comma"})
    assert pc.cast(read, pa.float64()).to_pylist() == [1234.5, None]
