"""The row that a form begins with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics
from raymm.serving.protocol import RecordReader, example
from raymm.serving.typical import typical, usual


def seen(name, kind, **what):
    return ColumnStatistics(name=name, kind=kind, rows=9, missing=0, distinct=3, **what)


def test_it_is_made_of_medians_and_the_most_frequent_values_and_never_of_an_example(schema):
    statistics = Statistics(
        rows=9,
        columns=(
            seen("age", "number", quantiles=(0, 1, 5, 25, 40.5, 60, 77, 80, 99), edges=(20.0,)),
            seen("income", "number", quantiles=(0, 0, 0.5, 1, 2.25, 3, 4, 5, 6)),
            seen("member", "boolean", values=("No", "Yes")),
            seen("since", "datetime", quantiles=(0, 0, 0, 0, 86400.5, 0, 0, 0, 10**6)),
            seen("note", "text", values=("a person's own words",)),
        ),
    )
    made = typical(schema, statistics)
    # the median of a column whose other values are whole lies between two of them
    assert made == {"age": 40, "income": 2.25, "member": "No", "city": "Rome", "since": 86400,
                    "note": None}  # fmt: skip
    assert usual(schema, statistics) == {
        "age": [5, 77], "income": [0.5, 4], "since": [0, 0],
    }  # fmt: skip


def test_the_model_accepts_it_whatever_is_known(schema):
    strict = replace(
        schema, columns=tuple(replace(one, nullable=False, example=None) for one in schema.columns)
    )
    for some in (schema, strict):
        for statistics in (None, Statistics(rows=0, columns=())):
            RecordReader(some).tensors([typical(some, statistics)])
    row = typical(strict, None)
    assert (row["age"], row["income"]) == (49, 0)
    assert None not in row.values()


@pytest.mark.parametrize("form", ["epoch", "epoch ms", None])
def test_a_date_is_the_moment_that_the_reader_takes_it_for(form):
    column = Column(
        name="when", kind="datetime", format=form, nullable=False, minimum=1.4e9, maximum=1.6e9
    )
    schema = Schema(columns=(column,), target="y", task="regression")
    statistics = Statistics(
        rows=9, columns=(seen("when", "datetime", quantiles=(1.45e9 + 0.5,) * 9),)
    )
    asked = [typical(schema, statistics), typical(schema, None), example(schema)]
    tensors = RecordReader(schema).tensors(asked)
    assert tensors["when"].tolist() == [1_450_000_000, 1_500_000_000, 1_400_000_000]
    # and the page's form sends text
    read = RecordReader(schema).tensors([{"when": "2015-12-13T09:46:40Z"}])
    assert read["when"].tolist() == [1_450_000_000]


def test_the_median_of_a_column_of_fractions_stays_one():
    column = Column(name="x", kind="number", minimum=0.0, maximum=1.0, example=0.25)
    schema = Schema(columns=(column,), target="y", task="regression")
    statistics = Statistics(
        rows=9, columns=(seen("x", "number", quantiles=tuple(np.linspace(0, 1, 9))),)
    )
    assert typical(schema, statistics) == {"x": 0.5}
