"""Columns that tell nothing go, interactions that pay come, and nothing changes without reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from raymm import worth
from raymm.artifacts import LEFT_OUT, Column, Dataset, Fold, Interaction, Schema, Score
from raymm.models.quick import Quick


def dataset(columns, y, *, task="regression", classes=(), test=200):
    count = len(y)
    kinds = tuple(Column(name=name, kind="number") for name in columns)
    target = Column(name="y", kind="number", role="target")
    rows = np.arange(count)
    train, held = rows[:-test], rows[-test:]
    part = np.arange(len(train)) % 3
    folds = tuple(Fold(train=train[part != k], valid=train[part == k]) for k in range(3))
    return Dataset(
        tensors={name: np.asarray(one, np.float32) for name, one in columns.items()},
        y=y,
        frame=pd.DataFrame(columns).assign(y=y),
        schema=Schema(columns=(*kinds, target), target="y", task=task, classes=classes),
        train=train,
        test=held,
        folds=folds,
        sha256="0" * 64,
        source="made",
    )


def quick(task="regression", classes=0):
    return Quick(task=task, classes=classes, seed=0, threads=1)


def numbers(count, names="abcd", seed=0):
    generator = np.random.default_rng(seed)
    return {name: generator.lognormal(size=count) for name in names}


@pytest.mark.slow
def test_a_ratio_that_decides_is_put_in_and_named():
    columns = numbers(3000)
    y = columns["a"] / columns["b"] + 0.1 * np.random.default_rng(1).normal(size=3000)
    found = worth.weigh(dataset(columns, y), quick(), select=False)
    assert Interaction(first="a", second="b", operation="ratio") in found.interactions
    (finding,) = found.findings
    assert finding.policy == "interactions"
    assert finding.kept
    assert "a / b" in finding.statement
    assert finding.gain.low > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_where_a_linear_model_wins_there_are_no_interactions(task, monkeypatch):
    columns = numbers(2000)
    columns = {name: np.log(one) for name, one in columns.items()}
    noise = np.random.default_rng(1).normal(size=2000)
    y = columns["a"] + columns["b"] - columns["c"] + 0.3 * noise
    y, classes = (y, 0) if task == "regression" else ((y > 0).astype(np.int64), 2)
    made = dataset(columns, y, task=task, classes=("no", "yes")[:classes])
    found = worth.weigh(made, quick(task, classes), select=False)
    assert found.interactions == ()
    assert "a linear model gains nothing sure by them" in found.findings[0].statement
    monkeypatch.setattr(worth, "linear_losses", lambda *given: None)
    assert worth.weigh(made, quick(task, classes), select=False).interactions


@pytest.mark.slow
def test_sums_of_single_columns_need_none():
    columns = numbers(3000)
    noise = np.random.default_rng(1).normal(size=3000)
    y = np.sin(columns["a"]) + np.sqrt(columns["b"]) + noise
    found = worth.weigh(dataset(columns, y), quick(), select=False)
    assert found.interactions == ()
    assert [one.kept for one in found.findings] == [False]


@pytest.mark.slow
def test_columns_of_noise_go_and_those_that_tell_stay():
    columns = numbers(2500, [*"ab", *(f"noise{place}" for place in range(30))])
    y = 2 * np.log(columns["a"]) - np.log(columns["b"])
    y = y + np.random.default_rng(2).normal(size=2500)
    found = worth.weigh(dataset(columns, y), quick(), interact=False)
    assert len(found.dropped) >= 15
    assert not {"a", "b"} & set(found.dropped)
    (finding,) = found.findings
    assert finding.kept
    assert f"{len(found.dropped)} of 32 columns are left out" in finding.statement
    assert f"(at least {100 * finding.gain.low:.3g} % with 98 % confidence)" in finding.statement
    assert "data.select=off" in finding.statement


def test_interactions_that_are_not_taken_are_told_with_what_they_gain_and_what_was_asked_for():
    before, after = np.ones(100), np.full(100, 0.9)
    unsure = Score(metric="loss", value=0.0266, low=-0.004, high=0.06, level=0.9545)
    assert worth._unsure(quick(), unsure, before, after) == (
        "with them the loss on validation rows falls by 2.66 % (at least -0.4 % with 98 % "
        "confidence); more than 0 % at least is asked for"
    )
    squares = dataclasses.replace(unsure, low=0.0)
    assert worth._unsure(quick(), squares, before, 2 * before).endswith("that of squares grows")
    worse = dataclasses.replace(unsure, value=-0.01)
    assert worth._unsure(quick(), worse, before, after).endswith("rises by 1 %")
    assert not worth._unsure(quick(), dataclasses.replace(unsure, low=0.001), before, after)


@pytest.mark.long
def test_weak_columns_that_tell_are_rarely_left_out():
    # Of 10 tables whose columns all tell, at most 3 lose any: at 5 % each, more are 1 in 970.
    lost = 0
    for seed in range(10):
        columns = numbers(900, [*"abc", *(f"weak{place}" for place in range(6))], seed)
        y = sum(np.log(one) * (0.15 if len(name) > 1 else 1.0) for name, one in columns.items())
        y = y + np.random.default_rng(seed).normal(size=900) * 0.5
        lost += bool(worth.weigh(dataset(columns, y), quick(), interact=False).dropped)
    assert lost <= 3


@pytest.mark.slow
def test_noise_of_groups_makes_no_interactions():
    # At 5 % each, more than 3 of 12 are 1 in 450.
    kept = 0
    for seed in range(12):
        generator = np.random.default_rng(seed)
        group = np.arange(1200) // 50
        columns = {name: generator.normal(size=24)[group] for name in "abcd"}
        y = generator.normal(size=24)[group] + generator.normal(size=1200)
        made = dataset(columns, y)
        column = Column(name="g", kind="category", role="group")
        schema = dataclasses.replace(made.schema, columns=(*made.schema.columns, column))
        folds = tuple(
            Fold(train=made.train[group[:1000] % 3 != k], valid=made.train[group[:1000] % 3 == k])
            for k in range(3)
        )
        frame = made.frame.assign(g=group.astype(str))
        grouped = dataclasses.replace(made, schema=schema, frame=frame, folds=folds)
        kept += bool(worth.weigh(grouped, quick(), select=False).interactions)
    assert kept <= 3


@pytest.mark.slow
def test_a_column_that_starts_late_ends_nothing():
    columns = {"a": np.random.default_rng(0).normal(size=1200), "b": np.zeros(1200)}
    columns["b"][600:] = np.random.default_rng(1).normal(size=600)
    made = dataset(columns, columns["b"] * 3.0 + np.linspace(0, 1, 1200))
    folds = (
        Fold(train=made.train[:400], valid=made.train[400:700]),
        Fold(train=made.train[:700], valid=made.train[700:]),
    )
    found = worth.weigh(dataclasses.replace(made, folds=folds), quick())
    assert "b" not in found.dropped


@pytest.mark.slow
def test_columns_that_all_tell_stay():
    columns = numbers(2500)
    y = sum(np.log(one) for one in columns.values())
    found = worth.weigh(dataset(columns, y), quick(), interact=False)
    assert found.dropped == ()
    assert not found.findings[0].kept


@pytest.mark.slow
def test_of_noise_and_of_few_rows_nothing_is_decided():
    columns = numbers(1200)
    y = np.random.default_rng(3).normal(size=1200)
    assert worth.weigh(dataset(columns, y), quick()) == worth.Worth()
    few = {name: one[:600] for name, one in columns.items()}
    assert worth.weigh(dataset(few, few["a"] * few["b"]), quick()) == worth.Worth()


@pytest.mark.slow
def test_test_rows_are_not_looked_at():
    columns = numbers(1200)
    made = dataset(columns, columns["a"] * columns["b"])
    spoilt = {name: one.copy() for name, one in made.tensors.items()}
    for one in spoilt.values():
        one[made.test] = np.nan
    y = made.y.copy()
    y[made.test] = np.nan
    other = dataclasses.replace(made, tensors=spoilt, y=y)
    assert worth.weigh(made, quick()) == worth.weigh(other, quick())


def test_what_is_applied_is_seen_in_the_schema():
    columns = numbers(700)
    made = dataset(columns, columns["a"])
    pair = Interaction(first="a", second="b", operation="sum")
    found = worth.applied(made, worth.Worth(dropped=("d",), interactions=(pair,)))
    assert [one.name for one in found.schema.features] == ["a", "b", "c"]
    assert found.schema.column("d").role == "ignored"
    assert found.schema.column("d").reason == LEFT_OUT
    assert [one.name for one in found.schema.offered] == [*"abcd"]
    assert found.schema.whole() == dataclasses.replace(made.schema, interactions=(pair,))
    assert found.schema.interactions == (pair,)
    assert sorted(found.tensors) == ["a", "b", "c"]


def test_given_interactions_stay():
    columns = numbers(700)
    pair = Interaction(first="a", second="b", operation="sum")
    made = dataset(columns, columns["a"])
    given = dataclasses.replace(made.schema, interactions=(pair,))
    kept = worth.applied(dataclasses.replace(made, schema=given), worth.Worth())
    assert kept.schema.interactions == (pair,)
