from __future__ import annotations

import pandas as pd
import pytest

from raymm.artifacts import Column
from raymm.data.unlike import unlike

DAYS = pd.date_range("2023-01-01", periods=240, freq="17h")


def _told(words, kind="category"):
    values = pd.Series(words, dtype=object)
    return list(unlike(values, Column(name="x", kind=kind)))


def test_dates_that_two_programs_wrote_are_told_with_both_ways():
    words = [f"{day:%Y-%m-%d}" for day in DAYS[:150]] + [f"{day:%d.%m.%Y}" for day in DAYS[150:]]
    (one,) = _told(words)
    assert (one.rule, one.column, one.severity) == ("dates written in several ways", "x", "warning")
    assert "62.5% such as '2023-01-01'" in one.observed
    assert "37.5% such as" in one.observed
    assert "taken as category" in one.remedy


@pytest.mark.parametrize(
    ("words", "rule", "shown"),
    [
        (
            [f"{day:%d/%m/%Y}" for day in DAYS] + ["week 12", "Q3 2022"] * 20,
            "dates among other words",
            "14.3% others such as 'week 12'",
        ),
        (
            [f"{value / 7:.2f}" for value in range(90)] + ["n/k 3", "see note 4"] * 10,
            "numbers among other words",
            "18.2% others such as 'n/k 3'",
        ),
    ],
)
def test_other_words_among_dates_or_numbers_are_told(words, rule, shown):
    (one,) = _told(words)
    assert one.rule == rule
    assert shown in one.observed


@pytest.mark.parametrize(
    "words",
    [
        ["1", "2", "3+"] * 40,  # few different ones
        [f"{number:05d}" for number in range(200)],  # codes
        [f"A{number}" for number in range(200)],
        [f"item {number} of 2024" for number in range(200)],
        ["red", "green", None] * 40,
        [],
    ],
)
def test_names_of_groups_are_not_told(words):
    assert _told(words) == []


def test_columns_that_are_read_are_not_told():
    assert _told([f"{day:%d.%m.%Y}" for day in DAYS], kind="datetime") == []
    assert _told([1.5, 2.5] * 30, kind="number") == []
    assert _told([1.5, 2.5] * 30) == []


def test_a_column_that_is_left_out_as_names_of_rows_is_told_with_that():
    words = [f"{day:%Y-%m-%d}" for day in DAYS[:150]] + [f"{day:%d.%m.%Y}" for day in DAYS[150:]]
    column = Column(name="x", kind="category", role="ignored")
    (one,) = unlike(pd.Series(words, dtype="str"), column)
    assert "left out" in one.remedy
