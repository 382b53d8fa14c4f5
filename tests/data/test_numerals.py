import numpy as np
import pandas as pd
import pytest

from raymm.data.kinds import guess
from raymm.data.numerals import as_numbers, decimal_commas


def read(words: list[str], *, decimal_comma: bool = False) -> tuple[list[float], str | None]:
    found = as_numbers(words, np.ones(len(words), dtype=np.int64), decimal_comma)
    assert found is not None
    return found[0].tolist(), found[1]


def test_a_word_without_digits_says_nothing_of_commas() -> None:
    cells = pd.Series(["55,000", "72,500", "950", "61,000"] * 5 + ["negotiable, DOE"], dtype="str")
    found = guess(cells)
    assert (found.format, found.missing) == ("thousands comma", ("negotiable, DOE",))
    assert found.cells[:3].tolist() == [55_000, 72_500, 950]


def test_dots_are_thousands_where_the_table_has_decimal_commas() -> None:
    frame = pd.DataFrame({"people": ["1.234", "999", "12.345.678"], "area": ["12,5", "3,2", "8"]})
    assert decimal_commas(frame.astype("str"))
    words = frame["people"].tolist()
    assert read(words, decimal_comma=True) == ([1234, 999, 12_345_678], "decimal comma")
    assert read(words[:2]) == ([1.234, 999], None)
    for other in (["1.234", "0.5"], ["1.234", "12.5"], ["1.234", "99999"], ["0.123", "0.456"]):
        assert read(other, decimal_comma=True) == ([float(word) for word in other], None)


def test_one_slip_does_not_lose_a_column_of_thousands() -> None:
    right = [f"{1000 + 37 * i:,}" for i in range(400)]
    frame = pd.DataFrame({"price": [*right, "1,23"]}, dtype="str")
    assert not decimal_commas(frame)
    found = guess(frame["price"])
    assert (found.format, found.known, found.missing) == ("thousands comma", 400, ("1,23",))
    found = guess(pd.Series([*right, "1,234,567", "1,23"], dtype="str"))
    assert (found.format, found.known) == ("thousands comma", 401)
    # A number that begins with 0 is none of thousands.
    assert guess(pd.Series([*right, "0,999"], dtype="str")).format == "decimal comma"


def test_zeros_left_out_at_the_end_are_no_slips() -> None:
    words = [f"{1 + i / 1000:.3f}".rstrip("0").replace(".", ",") for i in range(1, 400)]
    assert read(words)[1] == "decimal comma"
    assert decimal_commas(pd.DataFrame({"x": words}, dtype="str"))


@pytest.mark.parametrize(
    ("words", "values", "style"),
    [
        (["₹1,39,900", "₹900", "₹12,34,567.50"], [139_900, 900, 1_234_567.5], "signs, thousands"),
        (["(1,234.50)", "500.25", "$(3)"], [-1234.5, 500.25, -3], "signs, thousands comma"),
        (["(12.5)", "7"], [-12.5, 7], "signs"),
        (["4.211,54-", "12,5", "7-"], [-4211.54, 12.5, -7], "signs, decimal comma"),
        (["12.5-", "€ 7 -", "3"], [-12.5, -7, 3], "signs"),
        (["12,5", "12.5", "1.234"], [12.5, 12.5, 1234], "decimal comma"),
    ],
)
def test_accounts_and_indian_groups_have_their_values(
    words: list[str], values: list[float], style: str
) -> None:
    found, how = read(words)
    assert found == values
    assert (how or "").startswith(style)


@pytest.mark.parametrize("words", [["1,2,3", "4,5", "6,7,8,9"], ["a, 1", "b, 2", "c, 3"]])
def test_lists_are_no_numbers(words: list[str]) -> None:
    assert as_numbers(words, np.ones(len(words), dtype=np.int64), False) is None
