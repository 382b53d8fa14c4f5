"""Schemas, statistics and datasets find their parts by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, ColumnStatistics, Dataset, Fold, Schema, Statistics


def schema() -> Schema:
    columns = (
        Column(name="a", kind="number"),
        Column(name="b", kind="category", role="ignored", reason="constant"),
        Column(name="y", kind="category", role="target"),
    )
    return Schema(columns=columns, target="y", task="binary", classes=("no", "yes"))


def test_only_features_are_features():
    assert [column.name for column in schema().features] == ["a"]


def test_parts_are_found_by_name_and_strangers_are_not():
    statistics = Statistics(
        rows=1, columns=(ColumnStatistics(name="a", kind="number", rows=1, missing=0, distinct=1),)
    )
    assert schema().column("b").reason == "constant"
    assert statistics.column("a").distinct == 1
    for holder in (schema(), statistics):
        with pytest.raises(KeyError):
            holder.column("z")


def test_rows_are_taken_from_every_tensor():
    dataset = Dataset(
        tensors={"a": np.arange(4, dtype=np.float32)},
        y=np.zeros(4, dtype=np.int64),
        frame=pd.DataFrame({"a": range(4)}),
        schema=schema(),
        train=np.array([0, 1]),
        test=np.array([2, 3]),
        folds=(Fold(train=np.array([0]), valid=np.array([1])),),
        sha256="",
        source="",
    )
    assert dataset.rows(dataset.test)["a"].tolist() == [2.0, 3.0]
