from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Column
from raymm.features.groups import groups


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=60))
def test_pooled_groups_hold_every_row_once(values: list[float | None]) -> None:
    series = pd.Series(values, dtype="float64")
    found = groups(series, Column(name="x", kind="number"), least=5, pool=True)
    assert (np.sum([one.mask for one in found], axis=0) == 1).all()


def test_few_whole_codes_are_values_and_many_numbers_are_quarters() -> None:
    column = Column(name="x", kind="number")
    codes = groups(pd.Series([0, 1] * 50), column)
    assert {one.value for one in codes} == {"0", "1"}
    names = [one.value for one in groups(pd.Series(range(200)), column)]
    assert sorted(names) == [
        "above 149.25",
        "above 49.75 to 99.5",
        "above 99.5 to 149.25",
        "at most 49.75",
    ]


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("%d/%m/%Y", ["02/01/1970", "03/01/1970"]),
        ("ISO8601", ["1970-01-02T00:00:00", "1970-01-03"]),
        ("epoch", ["86400", "172800"]),
        ("epoch ms", ["86400000", "172800000"]),
    ],
)
def test_dates_are_cut_and_named_whatever_their_form(form: str, texts: list[str]) -> None:
    column = Column(name="d", kind="datetime", format=form)
    found = groups(pd.Series([*texts * 30, *[""] * 30]), column)
    assert {one.value for one in found} >= {"at most 1970-01-02", "(missing)"}
    assert np.sum([one.mask for one in found], axis=0).max() == 1


def test_booleans_take_the_words_they_were_written_in() -> None:
    column = Column(name="b", kind="boolean", categories=("No", "Yes"))
    found = groups(pd.Series(["Yes", "No", "Yes", ""] * 40), column)
    assert {one.value: int(one.mask.sum()) for one in found} == {
        "Yes": 80,
        "No": 40,
        "(missing)": 40,
    }
