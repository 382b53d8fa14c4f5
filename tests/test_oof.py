"""Out-of-fold predictions come of models that have not seen the rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from raymm import oof
from raymm.artifacts import Column, Dataset, Recipe, Schema, Trial
from raymm.errors import ConfigError


def tree(**more) -> Trial:
    """A forest whose trees are grown until each leaf holds a row: it knows its rows by heart."""
    config = {"family": "extra_trees", "extra_trees.min_samples_leaf": 1, **more}
    return Trial(id="0", number=0, config=config, status="finished")


@pytest.mark.slow
def test_rows_are_predicted_by_models_that_have_not_seen_them(finished):
    dataset = finished.runs[0].dataset
    noise = np.random.default_rng(0).integers(0, 2, len(dataset.y))
    dataset = dataclasses.replace(dataset, y=noise)
    folds = oof.Folds(dataset, seed=0, threads=1)
    predictions = folds.predict(tree())
    assert predictions.shape == (len(folds.truth), 2)
    hits = np.mean(predictions.argmax(axis=1) == folds.truth)
    # Coins cannot be foretold: 1,600 of them leave a standard error of 0.0125; four of them. A
    # model that had seen its rows would be right about every one.
    assert abs(hits - 0.5) < 0.05


@pytest.mark.long
def test_few_rows_are_drawn_of_many_and_the_same_each_time(finished, monkeypatch):
    monkeypatch.setattr(oof, "ROWS", 100)
    monkeypatch.setattr(oof, "RARE", 10)
    dataset = finished.runs[0].dataset
    first, second = (oof.Folds(dataset, seed=3, threads=1) for _ in range(2))
    assert 90 <= len(first.truth) <= 100
    np.testing.assert_array_equal(first.truth, second.truth)
    np.testing.assert_array_equal(first.predict(tree()), second.predict(tree()))
    assert set(first.first) == {"0"}


@pytest.mark.slow
def test_folds_trained_at_once_predict_as_those_trained_in_turn(finished):
    dataset = finished.runs[0].dataset
    in_turn, at_once = (oof.Folds(dataset, seed=0, threads=count) for count in (1, 3))
    for family, name in (("lightgbm", "num_leaves"), ("extra_trees", "min_samples_leaf")):
        config = {"family": family, f"{family}.{name}": 9}
        trial = Trial(id=family, number=0, config=config, status="finished", rounds=20)
        np.testing.assert_array_equal(in_turn.predict(trial), at_once.predict(trial))
    assert set(at_once.first) == {"lightgbm", "extra_trees"}


@pytest.mark.slow
def test_a_fold_that_fails_says_why(finished):
    dataset = finished.runs[0].dataset
    trial = Trial(id="0", number=0, config={"family": "nobody"}, status="finished")
    with pytest.raises(ConfigError, match="nobody"):
        oof.Folds(dataset, seed=0, threads=2).predict(trial)


@pytest.mark.slow
def test_crossed_rows_are_predicted_by_what_was_trained_on_the_others():
    random = np.random.default_rng(0)
    tensors = {"a": np.arange(300, dtype=np.float32)}
    columns = (Column(name="a", kind="number"), Column(name="y", kind="number", role="target"))
    dataset = Dataset(
        tensors=tensors,
        y=random.integers(0, 2, 300),
        frame=pd.DataFrame(tensors),
        schema=Schema(columns=columns, target="y", task="binary", classes=("no", "yes")),
        train=np.arange(300),
        test=np.arange(0),
        folds=(),
        sha256="0" * 64,
        source="made here",
    )
    rows = np.arange(20, 300)
    chosen = np.arange(0, 280, 2)
    recipe = Recipe.of(tree())
    made = oof.crossed(dataset, rows, recipe, chosen, seed=1)
    assert made.shape == (140, 2)
    # A forest that knows its rows by heart is right about each; about coins it has not seen it is
    # right half of the time, here within four standard errors of 0.042.
    hits = np.mean(made.argmax(axis=1) == dataset.y[rows[chosen]])
    assert abs(hits - 0.5) < 0.17
    again = oof.crossed(dataset, rows, recipe, np.arange(280), seed=1)
    np.testing.assert_array_equal(made, again[chosen])


@pytest.mark.slow
@pytest.mark.parametrize(("role", "low", "high"), [("ignored", 0.9, 1.0), ("group", 0.24, 0.76)])
def test_rows_are_not_predicted_by_what_was_trained_on_others_of_whole_groups(role, low, high):
    random = np.random.default_rng(0)
    who = random.permutation(300) % 60
    tensors = {"a": who.astype(np.float32)}
    columns = (Column(name="a", kind="number"), Column(name="who", kind="category", role=role))
    dataset = Dataset(
        tensors=tensors,
        y=random.integers(0, 2, 60)[who],
        frame=pd.DataFrame({"who": who.astype(str)}),
        schema=Schema(columns=columns, target="y", task="binary", classes=("no", "yes")),
        train=np.arange(300),
        test=np.arange(0),
        folds=(),
        sha256="0" * 64,
        source="made here",
    )
    rows = np.arange(300)
    made = oof.crossed(dataset, rows, Recipe.of(tree()), rows, seed=1)
    # Coins of 60 groups leave a standard error of 0.065; four of them.
    assert low <= np.mean(made.argmax(axis=1) == dataset.y) <= high


def labelled(rows: int, few: int, classes: tuple[str, ...] = ("no", "yes")):
    y = np.zeros(rows, np.int64)
    y[np.random.default_rng(0).permutation(rows)[:few]] = 1
    if len(classes) == 3:
        y[0] = 2
    columns = (Column(name="y", kind="number", role="target"),)
    schema = Schema(columns=columns, target="y", task="binary", classes=classes)
    return dataclasses.make_dataclass("Labelled", ["y", "schema"])(y, schema)


@pytest.mark.parametrize(
    ("few", "wanted"),
    [(25_000, 20_000), (500, 20_000), (250, 40_000), (50, 100_000), (0, 20_000)],
)
def test_more_rows_are_drawn_until_a_rare_class_is_among_them(few, wanted):
    dataset, parts = labelled(50_000, few), [np.arange(20_000), np.arange(20_000, 50_000)]
    assert oof._wanted(dataset, parts) == wanted
    drawn = oof._drawn(parts, wanted, np.random.default_rng(0))
    assert sum(map(len, drawn)) == min(wanted, 50_000)
    for part, one in zip(parts, drawn, strict=True):
        assert np.isin(one, part).all()
        assert len(np.unique(one)) == len(one)
    if few == 250:
        # 200 are expected of 250, with a standard deviation of 6.3; five of them.
        assert abs(dataset.y[np.concatenate(drawn)].sum() - 200) < 32
    if few == 50:
        assert dataset.y[np.concatenate(drawn)].sum() == 50


def test_of_several_classes_the_rarest_asks_for_no_more_rows():
    dataset = labelled(50_000, 10, ("a", "b", "c"))
    assert oof._wanted(dataset, [np.arange(50_000)]) == oof.ROWS
