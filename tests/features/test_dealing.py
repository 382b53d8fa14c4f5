"""Rows of a group, and rows near in time, do not tell each other's target."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Column, Dataset, Fold, Schema
from raymm.bundle.pipeline import Bench
from raymm.features.dealing import crossing, together
from raymm.search.trial import prepare

ROWS = 1200


def table(role="", kind="category", values=None, words=None):
    """Rows of 40 postcodes, three patients in each, whose target is the patient's own."""
    generator = np.random.default_rng(0)
    patient = generator.permutation(ROWS) % 120
    word = np.array([f"w{k % 40}" for k in patient] if words is None else words, dtype=object)
    frame = pd.DataFrame({"who": [f"p{k}" for k in patient] if values is None else values})
    who = Column(name="who", kind=kind, role=role or "ignored")
    train = np.arange(ROWS * 3 // 4)
    return Dataset(
        tensors={"word": word, "number": generator.normal(size=ROWS).astype(np.float32)},
        y=generator.integers(0, 2, 120)[patient],
        frame=frame,
        schema=Schema(
            columns=(
                who,
                Column(name="word", kind="category"),
                Column(name="number", kind="number"),
            ),
            target="y",
            task="binary",
            classes=("no", "yes"),
        ),
        train=train,
        test=np.arange(len(train), ROWS),
        folds=(Fold(train=train[:-200], valid=train[-200:]),),
        sha256="0" * 64,
        source="patients.csv",
    )


@pytest.mark.parametrize("count", [2, 3, 5])
def test_groups_stay_whole_in_parts_of_like_sizes(count):
    data = table("group")
    part = together(data, data.train, count, np.random.default_rng(1))
    frame = pd.DataFrame({"who": data.frame["who"].to_numpy()[data.train], "part": part})
    assert (frame.groupby("who")["part"].nunique() == 1).all()
    sizes = np.bincount(part, minlength=count)
    # Two groups differ by a few rows each; 120 of them even out.
    assert sizes.min() > 0.9 * sizes.max()
    again = together(data, data.train, count, np.random.default_rng(1))
    np.testing.assert_array_equal(part, again)


@pytest.mark.parametrize("groups", [2, 3, 7])
def test_few_groups_fill_as_many_parts_as_there_are(groups):
    data = table("group", values=[f"g{min(k // 10, groups - 1)}" for k in range(ROWS)])
    part = together(data, np.arange(ROWS), 5, np.random.default_rng(0))
    assert len(np.unique(part)) == min(groups, 5)


def test_rows_of_one_group_or_of_none_are_dealt_one_by_one():
    data = table("group", values=["one"] * ROWS)
    assert together(data, data.train, 5, np.random.default_rng(0)) is None
    assert together(table(), data.train, 5, np.random.default_rng(0)) is None


@pytest.mark.parametrize("kind", ["number", "datetime"])
def test_parts_are_stretches_of_time(kind):
    moments = np.random.default_rng(3).permutation(ROWS)
    values = moments if kind == "number" else pd.Timestamp("2020") + pd.to_timedelta(moments, "D")
    data = table("time", kind, values)
    rows = np.arange(0, ROWS, 2)
    part = together(data, rows, 5, np.random.default_rng(0))
    assert np.bincount(part).tolist() == [len(rows) // 5] * 5
    assert (np.diff(part[np.argsort(moments[rows])]) >= 0).all()
    assert together(data, rows, 5, np.random.default_rng(0), timed=False) is None


def test_folds_for_statistics_are_made_where_there_are_any():
    data = table("group")
    assert crossing(data, data.train) is not None
    few = table("group", words=["a", "b", "c"] * (ROWS // 3))
    assert crossing(few, few.train) is None


def share_of(features, x):
    return x[:, features.names.index("word target share")]


def test_a_statistic_of_the_target_tells_nothing_of_a_patient_that_is_new():
    """A row's postcode tells its target only by the patient's other rows."""
    found = {}
    for role in ("group", ""):
        data = table(role)
        features, train = Bench(data, data.train).features("ordinal")
        found[role] = np.corrcoef(share_of(features, train.x), train.y)[0, 1]
        [(fold, _)] = prepare(data, [SimpleFamily]).folds["ordinal"]
        other = Bench(data, data.folds[0].train).features("ordinal")[1]
        np.testing.assert_array_equal(fold.x, other.x)
    # Of three patients in a postcode the target of one is, but for chance, what it is for none of
    # the others: 120 groups have a deviation of about 1 / sqrt(120) = 0.09.
    assert found[""] > 0.4
    assert found["group"] < 0.27


class SimpleFamily:
    encoding = "ordinal"
