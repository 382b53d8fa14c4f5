"""Of a very large table a sample is taken, in its order, and no class is lost in it."""

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Table
from raymm.data import enough, schema, split, statistics
from raymm.sections import DataConfig


def table_of(rows, rare=0, seed=0):
    rng = np.random.default_rng(seed)
    target = np.where(rng.random(rows) < 0.3, "yes", "no")
    target[rows // 2 : rows // 2 + rare] = "few"
    frame = pd.DataFrame({"number": np.arange(rows) * 1.5, "y": target})
    frame["other"] = rng.normal(size=rows)
    return Table(frame=frame, source="made", sha256="0")


def described(table, **given):
    config = DataConfig(source="made", target="y", **given)
    return schema.infer(table, statistics.describe(table), config), config


def test_a_table_within_the_limit_is_taken_whole():
    table = table_of(2_000)
    columns, config = described(table)
    assert enough.thinned(table, columns, config, seed=0) is table
    assert enough.told(table, split.split(table, columns, config, seed=0), config) == ()


def test_a_sample_keeps_order_shares_and_rare_classes():
    table = table_of(20_000, rare=40)
    columns, config = described(table, rows=2_000)
    made = enough.thinned(table, columns, config, seed=0).frame
    again = enough.thinned(table, columns, config, seed=0).frame
    other = enough.thinned(table, columns, config, seed=1).frame
    assert 2_000 <= len(made) <= 2_040
    assert made.equals(again)
    assert not made["number"].equals(other["number"])
    assert made["number"].is_monotonic_increasing
    assert (made["y"] == "few").sum() == 40
    assert (made["y"] == "yes").mean() == pytest.approx(0.3, abs=0.04)


def test_a_split_of_a_sample_says_so():
    table = table_of(5_000)
    columns, config = described(table, rows=1_000)
    dataset = split.split(table, columns, config, seed=0)
    assert len(dataset.y) == len(dataset.frame) == 1_000
    assert len(dataset.test) == 200
    (told,) = enough.told(table, dataset, config)
    assert told.severity == "warning"
    assert "5,000" in told.observed
    assert "1,000" in told.remedy


def test_all_rows_are_taken_where_that_is_asked_for():
    table = table_of(300)
    columns, config = described(table, rows="all")
    assert enough.most(10**6, config) is None
    assert len(split.split(table, columns, config, seed=0).y) == 300
    assert enough.most(10**6, DataConfig(source="a", target="y")) == enough.LEAST


def test_rows_without_a_target_take_no_place_in_a_sample():
    table = table_of(5_000)
    table.frame.loc[table.frame.index % 5 != 0, "y"] = None
    columns, config = described(table, rows=500)
    assert len(split.split(table, columns, config, seed=0).y) == 500
    columns, config = described(table, rows=1_000)
    dataset = split.split(table, columns, config, seed=0)
    assert len(dataset.y) == 1_000
    assert enough.told(table, dataset, config) == ()
