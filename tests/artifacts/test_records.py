"""Frozen types survive a journey through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import (
    Column,
    Evaluation,
    Interaction,
    Schema,
    Score,
    SliceScore,
    Trial,
    as_record,
    from_record,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def through_json(value: object) -> dict:
    return json.loads(json.dumps(as_record(value)))


@pytest.mark.slow
@given(
    number=st.integers(0, 10**6),
    value=st.none() | FINITE,
    folds=st.lists(FINITE, max_size=5),
    rungs=st.lists(st.tuples(st.integers(1, 10**4), FINITE), max_size=5),
    error=st.text(),
)
def test_trials_come_back_equal(number, value, folds, rungs, error):
    trial = Trial(
        id=f"t{number}",
        number=number,
        config={"family": "linear", "linear.c": 0.5},
        status="finished",
        value=value,
        fold_values=tuple(folds),
        rungs=tuple(rungs),
        error=error,
    )
    assert from_record(Trial, through_json(trial)) == trial


def test_nested_types_come_back_equal():
    score = Score(metric="rmse", value=1.5, low=1.0, high=2.0)
    part = SliceScore(column="a", value="b", rows=3, score=score)
    for champion in (None, score):
        evaluation = Evaluation(
            direction="minimize",
            rows=9,
            score=score,
            others=(score,),
            baseline=3.0,
            gain=score,
            champion_gain=champion,
            slices=(part,),
        )
        assert from_record(Evaluation, through_json(evaluation)) == evaluation


def test_missing_fields_take_their_defaults_and_unknown_ones_are_passed_over():
    column = from_record(Column, {"name": "x", "kind": "number", "colour": "red"})
    assert column == Column(name="x", kind="number")


def test_a_newer_format_is_refused_with_a_remedy():
    record = {"columns": [], "target": "y", "task": "binary", "version": 2}
    with pytest.raises(ValueError, match=r"newer than 1\. Use a newer raymm"):
        from_record(Schema, record)


def test_a_record_that_lacks_a_field_is_refused():
    with pytest.raises(ValueError, match="not a Schema"):
        from_record(Schema, {"columns": []})


def test_numbers_that_json_lacks_become_null():
    assert as_record({"a": np.float64("nan"), "b": [float("inf")], "c": np.arange(2)}) == {
        "a": None,
        "b": [None],
        "c": [0, 1],
    }


def test_a_tuple_that_may_be_none_is_read_as_what_it_was():
    pair = Interaction(first="a", second="b", operation="ratio")
    columns = (Column(name="y", kind="number", role="target"),)
    for made in (None, (), (pair,)):
        schema = Schema(columns=columns, target="y", task="regression", interactions=made)
        assert from_record(Schema, json.loads(json.dumps(as_record(schema)))) == schema
