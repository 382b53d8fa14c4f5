import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.kinds import MISSING, decimal_commas, guess


@given(
    st.lists(st.sampled_from(["a", " a", "b ", "?", "NA", "", " ", "7"]) | st.none(), max_size=30)
)
def test_codes_lead_to_the_stripped_words_and_missing_ones_to_none(cells: list[str | None]) -> None:
    found = guess(pd.Series(cells, dtype=object))
    for cell, code in zip(cells, found.codes, strict=True):
        word = "" if cell is None else cell.strip()
        if code == -1:
            assert word.lower() in MISSING or word in found.missing
        else:
            assert found.words[code] == word
    assert found.known == (found.codes >= 0).sum()
    assert found.rows.tolist() == [int((found.codes == i).sum()) for i in range(len(found.words))]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3))
def test_written_numbers_are_found_and_have_their_values(values: list[float]) -> None:
    found = guess(pd.Series([repr(value) for value in values], dtype="str"))
    assert found.kind == "number"
    assert found.values is not None
    np.testing.assert_allclose(found.values[found.codes], values, rtol=1e-15)


def test_none_may_be_a_class_of_a_target() -> None:
    cells = pd.Series(["None", "Low", "-", "NA"] * 5)
    assert guess(cells).words == ["Low"]
    assert guess(cells, keep_none=True).words == ["None", "Low", "-"]


def test_a_comma_after_a_zero_is_a_decimal_comma():
    assert guess(pd.Series(["0,143", "0,286", "1,571"], dtype="str")).format == "decimal comma"


def test_one_sure_decimal_comma_decides_for_the_whole_table():
    frame = pd.DataFrame({"a": ["4,96", "3,2"], "b": ["4,026", "5,113"]}, dtype="str")
    assert decimal_commas(frame)
    found = guess(frame["b"], decimal_comma=True)
    assert found.format == "decimal comma"
    assert sorted(found.values) == [4.026, 5.113]
    alone = frame[["b"]]
    assert not decimal_commas(alone)
    assert guess(alone["b"]).format == "thousands comma"
    millions = pd.Series(["1,234,567", "2,000,000"], dtype="str")
    assert guess(millions, decimal_comma=True).format == "thousands comma"
