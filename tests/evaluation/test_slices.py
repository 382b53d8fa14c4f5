from __future__ import annotations

import numpy as np
import pandas as pd

from raymm.artifacts import Schema
from raymm.evaluation.slices import slices


def test_slices_of_a_column_share_no_row_and_are_large_enough(
    frame: pd.DataFrame, schema: Schema
) -> None:
    rows = np.arange(50, 400)
    found = slices(frame, schema, rows)
    assert {one.column for one in found} == {"size", "colour", "day", "level"}
    for column in ("size", "colour", "day", "level"):
        masks = np.array([one.mask for one in found if one.column == column])
        assert masks.sum(axis=0).max() == 1
        assert (masks.sum(axis=1) >= 30).all()
        assert masks.shape[1] == len(rows)


def test_quarters_and_dates_split_rows_evenly_and_words_split_them_by_value(
    frame: pd.DataFrame, schema: Schema
) -> None:
    found = slices(frame, schema, np.arange(400))
    for column in ("size", "day"):
        assert [one.mask.sum() for one in found if one.column == column] == [100] * 4
    (red,) = (one for one in found if one.value == "red")
    assert (red.mask == (frame["colour"] == "red")).all()
    assert not any(one.value == "rare" for one in found)
    (missing,) = (one for one in found if one.value == "(missing)")
    assert (missing.mask == frame["level"].isin(["?", ""])).all()


def test_the_largest_slices_are_kept(frame: pd.DataFrame, schema: Schema) -> None:
    every = slices(frame, schema, np.arange(400))
    kept = slices(frame, schema, np.arange(400), most=3)
    sizes = sorted((int(one.mask.sum()) for one in every), reverse=True)
    assert [int(one.mask.sum()) for one in kept] == sizes[:3]
