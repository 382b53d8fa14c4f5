import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.doubts import doubts
from raymm.features.columns import encode


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ([f"{1 + i % 12:02d}/{1 + i % 7:02d}/2023" for i in range(60)], True),
        ([f"{1 + i % 28:02d}/{1 + i % 7:02d}/2023" for i in range(60)], False),
        ([f"{1 + i % 7:02d}/{1 + i % 28:02d}/2023" for i in range(60)], False),
        ([f"{1 + i % 9:02d}/{1 + i % 9:02d}/2023" for i in range(60)], False),
        ([f"2023-{1 + i % 9:02d}-{1 + i % 9:02d}" for i in range(60)], False),
    ],
)
def test_dates_are_doubted_where_day_and_month_could_change_places(
    made: Callable[..., Any], days: list[str], told: bool
) -> None:
    given = made({"day": days, "y": ["a", "b"] * 30})
    rules = [(a.rule, a.column) for a in doubts(given.table, given.schema)]
    assert rules == ([("dates of two readings", "day")] if told else [])


@pytest.mark.parametrize(
    ("low", "high", "mark", "told"),
    [(0, 80, -999, True), (0, 80, -99.99, True), (0, 80, 9999, True), (0, 80, 99, False),
     (-2000, 2000, -999, True), (0, 80, -997, False)],
)  # fmt: skip
def test_nines_far_from_all_other_numbers_are_a_hint(
    made: Callable[..., Any], low: float, high: float, mark: float, told: bool
) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(low, high, 200).round(1)
    x[::20] = mark
    given = made({"x": x, "y": ["a", "b"] * 100})
    assert [a.column for a in doubts(given.table, given.schema)] == (["x"] if told else [])


@pytest.mark.parametrize("end", [9999999, -99.9, -999])
def test_the_word_that_is_advised_takes_the_numbers_away(
    end: float, made: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    x = np.where(np.arange(300) % 20 == 0, end, rng.normal(20, 5, 300)).astype(np.float32)
    written = [f"{value:.2f}".replace(".", ",") for value in x]
    for values in (x, written):
        known = made({"x": values, "y": ["a", "b", "b"] * 100})
        (told,) = doubts(known.table, known.schema)
        word = told.remedy.split('"')[3]
        columns = tuple(
            dataclasses.replace(column, missing=(word,)) if column.name == "x" else column
            for column in known.schema.columns
        )
        schema = dataclasses.replace(known.schema, columns=columns)
        assert list(doubts(known.table, schema)) == []
        assert int(np.isnan(encode(known.table.frame, schema)["x"]).sum()) == 15


def test_a_number_that_is_suspected_in_one_column_is_looked_for_in_others(
    made: Callable[..., Any],
) -> None:
    rng = np.random.default_rng(0)
    odd = np.arange(400) % 20 == 0
    x = np.where(odd, -777, rng.integers(-2000, 2000, 400))
    far = np.where(odd, -999, rng.integers(0, 90, 400))
    inside = np.where(np.arange(400) % 40 == 0, -999, rng.integers(-2000, 2000, 400))
    given = made({"x": x, "far": far, "inside": inside, "y": ["a", "b"] * 200})
    told = {a.column: a for a in doubts(given.table, given.schema)}
    assert set(told) == {"far", "inside"}
    assert "-999 in 10 of 400 rows" in told["inside"].observed
    alone = made({"x": x, "inside": inside, "y": ["a", "b"] * 200})
    assert not list(doubts(alone.table, alone.schema))
