from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.artifacts import Column, Recipe
from raymm.bundle.build import build
from raymm.bundle.parity import BOUND, check
from raymm.bundle.run import Runner

TASKS = ("binary", "multiclass", "regression")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["tiny_for_tests", "lightgbm", "xgboost", "linear", "forest"])
def test_bundle_predicts_as_the_pipeline_on_new_rows(
    name, task, make_dataset, make_trial, statistics, lineage
):
    dataset = make_dataset(task, rows=400)
    bundle, pipeline = build(
        dataset,
        Recipe.of(make_trial(name)),
        rows=dataset.train,
        statistics=statistics,
        lineage=lineage,
        threads=1,
        check_rows=dataset.test,
    )
    fresh = make_dataset(task, rows=200, seed=9).tensors
    assert check(pipeline, Runner(bundle), fresh) <= BOUND
    predictions = Runner(bundle).predict(dataset.rows(dataset.test))
    truth = dataset.y[dataset.test]
    if task == "regression":
        assert np.mean((predictions - truth) ** 2) < np.var(truth)
    else:
        shares = np.bincount(truth) / len(truth)
        assert np.mean(predictions.argmax(axis=1) == truth) > shares.max() + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("target", ["raw", "log"])
@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_a_booster_on_absolute_errors_is_proven_too(
    name, target, make_dataset, make_trial, statistics, lineage
):
    dataset = make_dataset("regression", rows=400)
    bent = dataclasses.replace(dataset, y=np.exp(dataset.y / 2000))
    switches = [(f"{name}.absolute", True), ("target", target)]
    bundle, pipeline = build(
        bent,
        Recipe.of(make_trial(name, 200, switches)),
        rows=dataset.train,
        statistics=statistics,
        lineage=lineage,
        threads=1,
        check_rows=dataset.test,
    )
    fresh = make_dataset("regression", rows=200, seed=9).tensors
    assert check(pipeline, Runner(bundle), fresh) <= BOUND


@pytest.mark.slow
def test_building_twice_gives_the_same_file(make_dataset, make_trial, statistics, lineage):
    dataset = make_dataset("binary", rows=200)
    made = [
        build(
            dataset,
            Recipe.of(make_trial("tiny_for_tests")),
            rows=dataset.train,
            statistics=statistics,
            lineage=lineage,
            threads=1,
            check_rows=dataset.test,
        )[0].to_bytes()
        for _ in range(2)
    ]
    assert made[0] == made[1]


@pytest.mark.slow
def test_targets_of_check_rows_are_not_looked_at(make_dataset, make_trial, statistics, lineage):
    dataset = make_dataset("binary", rows=200)
    y = dataset.y.copy()
    y[dataset.test] = 1 - y[dataset.test]
    files = [
        build(
            given,
            Recipe.of(make_trial("tiny_for_tests")),
            rows=dataset.train,
            statistics=statistics,
            lineage=lineage,
            threads=1,
            check_rows=dataset.test,
        )[0].sha256
        for given in (dataset, dataclasses.replace(dataset, y=y))
    ]
    assert files[0] == files[1]


def test_a_bundle_holds_no_value_of_a_column_that_is_left_out(
    make_dataset, make_trial, statistics, lineage
):
    dataset = make_dataset("binary", rows=200)
    words = tuple(f"user{number}@example.com" for number in range(200))
    column = Column(
        name="mail", kind="category", role="ignored", categories=words, example=words[0]
    )  # fmt: skip
    schema = dataclasses.replace(dataset.schema, columns=(*dataset.schema.columns, column))
    bundle, _ = build(
        dataclasses.replace(dataset, schema=schema),
        Recipe.of(make_trial("tiny_for_tests")),
        rows=dataset.train,
        statistics=statistics,
        lineage=lineage,
        threads=1,
        check_rows=dataset.test,
    )
    kept = next(one for one in bundle.schema.columns if one.name == "mail")
    assert (kept.kind, kept.role, kept.categories, kept.example) == (
        "category",
        "ignored",
        (),
        None,
    )
    assert not any("example.com" in repr(one) for one in bundle.schema.columns)
    assert len(Runner(bundle).predict(dataset.tensors)) == 200
