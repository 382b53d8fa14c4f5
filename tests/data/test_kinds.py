import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.data.kinds import MISSING, PAIRS, decimal_commas, guess


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


@pytest.mark.slow
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


def test_a_few_mistakes_among_many_numbers_are_left_to_be_told() -> None:
    cells = pd.Series([str(i / 4) for i in range(95)] + ["much", "unsure", "none yet"], dtype="str")
    found = guess(cells)
    assert (found.kind, found.known, found.missing) == ("number", 95, ())
    # One word is a way to say "missing".
    assert guess(cells.replace({"unsure": "much", "none yet": "much"})).missing == ("much",)
    half = pd.Series(["1", "2", "3", "a", "b", "c"] * 9, dtype="str")
    assert guess(half).kind == "category"


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1 234 567", "12 000"], [1_234_567, 12_000]),
        (["1\u00a0234,5", "12,25"], [1234.5, 12.25]),
        (["1 234.5", "12.25"], [1234.5, 12.25]),
        (["1'234.50", "9'000.25"], [1234.5, 9000.25]),
        (["1.234.567", "12.000"], [1_234_567, 12_000]),
        (["1.25", "12.5"], [1.25, 12.5]),
        (["-$1,200.50", "$3"], [-1200.5, 3]),
        (["12.5 %", "3%"], [12.5, 3]),
        (["1:30", "0:10:05"], [5400, 605]),
    ],
)
def test_numbers_of_many_countries_have_their_values(cells: list[str], values: list[float]) -> None:
    found = guess(pd.Series(cells, dtype="str"))
    assert found.kind == "number"
    assert found.cells.tolist() == values


@pytest.mark.parametrize("pair", PAIRS)
def test_words_for_no_and_yes_are_booleans(pair: tuple[str, str]) -> None:
    found = guess(pd.Series([pair[1].title(), pair[0], "", pair[0]] * 3, dtype="str"))
    assert found.kind == "boolean"
    assert tuple(word.casefold() for word in found.pair) == pair
