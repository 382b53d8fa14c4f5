from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, Schema
from raymm.audit.fairness import SelectionRate, audit
from raymm.bootstrap import draws, repeated
from raymm.errors import ConfigError


class Accuracy:
    name = "accuracy"
    direction = "maximize"

    def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
        return float((prediction.argmax(axis=1) == truth).mean())


SCHEMA = Schema(
    target="y",
    task="binary",
    classes=("no", "yes"),
    columns=(
        Column(name="gender", kind="category"),
        Column(name="age", kind="number"),
        Column(name="y", kind="category", role="target"),
    ),
)


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Right for 9 of 10 women and 6 of 10 men; all women and half of the men are selected."""
    gender = np.array(["f"] * 200 + ["m"] * 200)
    called = np.concatenate([np.ones(200), np.tile([0, 1], 100)]).astype(np.int64)
    wrong = np.concatenate([np.arange(200) % 10 < 1, np.arange(200) % 10 < 4])
    truth = np.where(wrong, 1 - called, called)
    age = np.random.default_rng(0).permutation(400)
    return truth, np.eye(2)[called], pd.DataFrame({"gender": gender, "age": age, "y": truth})


def test_groups_and_gaps_are_what_they_were_made_to_be(case) -> None:
    result = audit(*case, SCHEMA, metric=Accuracy(), protected=["gender"], seed=0)
    values = {(one.score.metric, one.value): one.score.value for one in result.groups}
    assert values == {
        ("accuracy", "f"): pytest.approx(0.9),
        ("accuracy", "m"): pytest.approx(0.6),
        ("selection_rate", "f"): 1.0,
        ("selection_rate", "m"): 0.5,
    }
    gaps = {one.metric: one for one in result.gaps}
    assert gaps["accuracy by gender"].value == pytest.approx(0.3)
    assert gaps["selection_rate by gender"].value == pytest.approx(0.5)
    # Two shares of 200 rows: the gap's deviation is sqrt(.09/200 + .24/200) = 0.041.
    width = gaps["accuracy by gender"].high - gaps["accuracy by gender"].low
    assert width == pytest.approx(2 * 1.96 * 0.041, rel=0.2)


def test_numbers_are_cut_at_their_quartiles(case) -> None:
    result = audit(*case, SCHEMA, metric=Accuracy(), protected=["age"], seed=0)
    assert sorted(one.rows for one in result.groups) == [100] * 8


def test_rare_values_are_told_together(case) -> None:
    truth, prediction, frame = case
    frame.loc[:3, "gender"] = ["x", "y", "z", ""]
    result = audit(
        truth, prediction, frame, SCHEMA, metric=Accuracy(), protected=["gender"], seed=0
    )
    rows = {one.value: one.rows for one in result.groups}
    assert rows == {"f": 196, "m": 200, "(other)": 4}


def test_a_column_that_the_schema_lacks_is_one_of_categories(case) -> None:
    truth, prediction, frame = case
    frame["town"] = frame["gender"]
    result = audit(truth, prediction, frame, SCHEMA, metric=Accuracy(), protected=["town"], seed=0)
    assert {one.value: one.rows for one in result.groups} == {"f": 200, "m": 200}


def test_an_unknown_column_is_refused_with_the_nearest(case) -> None:
    with pytest.raises(ConfigError, match='Did you mean "gender"'):
        audit(*case, SCHEMA, metric=Accuracy(), protected=["gendr"], seed=0)


def test_values_have_no_selection_rate(case) -> None:
    truth, prediction, frame = case

    class Error(Accuracy):
        def __call__(self, truth: np.ndarray, prediction: np.ndarray) -> float:
            return float(np.abs(truth - prediction).mean())

    result = audit(
        truth, prediction[:, 1], frame, SCHEMA, metric=Error(), protected=["gender"], seed=0
    )
    assert len(result.groups) == 2
    assert len(result.gaps) == 1


def test_selection_rate_of_resamples_is_that_of_their_rows(case) -> None:
    truth, prediction, _ = case
    (weights,) = draws(400, count=10, generator=np.random.default_rng(0))
    fast = SelectionRate().weighted(truth, prediction, weights)
    np.testing.assert_allclose(
        fast, repeated(SelectionRate(), truth, prediction, weights), rtol=1e-6
    )
