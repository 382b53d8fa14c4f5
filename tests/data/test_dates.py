import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raymm.artifacts import Column
from raymm.data.compact import expected
from raymm.data.dates import DATES, as_dates, as_digits
from raymm.data.kinds import guess
from raymm.features.columns import times
from raymm.serving.columns import reader

DAYS = [datetime.datetime(2015, 1, 3, 4, 5) + datetime.timedelta(days=37 * i) for i in range(60)]


def cells(style: str, days: list[datetime.datetime] = DAYS) -> pd.Series:
    form = "%Y-%m-%d" if style == "ISO8601" else style
    return pd.Series([f"{day:{form}}" for day in days], dtype="str")


@pytest.mark.slow
@pytest.mark.parametrize(
    "style",
    [
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%d %H:%M UTC",
        "%Y-%m-%d %H:%M:%S.%f GMT",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%b-%Y",
        "%B %Y",
        "%m/%Y",
        "%Y%m%d",
    ],
)
def test_dates_are_the_same_in_training_in_requests_and_in_large_files(style: str) -> None:
    text = cells(style)
    found = guess(text)
    assert (found.kind, found.format) == ("datetime", style)
    column = Column(name="", kind="datetime", format=style)
    trained = times(text, column)
    wanted = [datetime.datetime.strptime(cell, style) for cell in text]
    epoch = datetime.datetime(1970, 1, 1)
    assert trained.tolist() == [
        (moment - epoch) // datetime.timedelta(seconds=1) for moment in wanted
    ]
    assert found.cells.tolist() == trained.tolist()
    assert reader(column)(list(text)).tolist() == trained.tolist()
    large = expected(text, decimal_comma=False)
    large.add(pa.array(text))
    assert not large.failed
    assert times(pd.Series(large.values()), column).tolist() == trained.tolist()


def test_years_of_two_digits_after_a_month_are_years() -> None:
    found = guess(cells("%b-%y"))
    assert found.format == "%b-%y"
    assert found.bounds is not None
    assert str(np.datetime64(int(found.bounds[0]), "s"))[:7] == "2015-01"


def test_the_format_that_fits_most_rows_is_taken() -> None:
    early = [datetime.datetime(2020, 1 + i % 12, 1 + i % 11) for i in range(398)]
    late = [datetime.datetime(2020, 3, 14), datetime.datetime(2020, 5, 22)]
    found = guess(cells("%m/%d/%Y", early + late))
    assert (found.format, found.known) == ("%m/%d/%Y", 400)
    assert guess(cells("%m/%d/%Y", early)).format == "%d/%m/%Y"


def test_one_or_two_words_among_dates_say_missing() -> None:
    text = cells("ISO8601")
    mixed = pd.concat([text, pd.Series(["pending"] * 4 + ["unknown"] * 2, dtype="str")])
    found = guess(mixed)
    assert (found.kind, found.known, found.missing) == ("datetime", 60, ("pending", "unknown"))
    assert np.isfinite(found.bounds).all()
    half = pd.concat([text, pd.Series(["pending"] * 60, dtype="str")])
    assert guess(half).kind != "datetime"
    odd = pd.concat([text, pd.Series(["7th of May"] * 6, dtype="str")])
    assert guess(odd).kind != "datetime"


def test_dates_of_zeros_are_missing() -> None:
    text = cells("ISO8601")
    found = guess(pd.concat([text, pd.Series(["0000-00-00"] * 30, dtype="str")]))
    assert (found.kind, found.known, found.missing) == ("datetime", 60, ("0000-00-00",))


@pytest.mark.parametrize(
    "words",
    [
        [str(20_240_101 + i) for i in range(40)],
        [str(19_000_101 + 7919 * i) for i in range(40)],
        ["20240131"] * 1,
        [f"20230{i}31" for i in range(1, 10)] + ["20230230", "20230101"],
    ],
)
def test_numbers_of_eight_digits_are_no_dates_unless_all_could_be(words: list[str]) -> None:
    assert as_digits(words) is None
    assert guess(pd.Series(words, dtype="str")).kind == "number"


@pytest.mark.parametrize(
    "words", [["may-12a", "dec-x1"], ["Mar 5 rooms", "May 6 rooms"], ["a", "b"]]
)
def test_words_that_begin_like_months_are_no_dates(words: list[str]) -> None:
    assert as_dates(words, np.ones(len(words), dtype=np.int64)) is None


def test_formats_are_tried_once_each() -> None:
    assert len(set(DATES)) == len(DATES)
