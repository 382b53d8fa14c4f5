"""The try before the search finds out for which target a logarithm pays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm import pilot, plugins
from raymm.artifacts import Fold, Shape
from raymm.evaluation.metrics import metric_for


@pytest.fixture
def table(finished):
    dataset = finished.runs[0].dataset
    schema = dataclasses.replace(dataset.schema, task="regression", classes=())
    income = np.nan_to_num(dataset.tensors["income"].astype(float), nan=50.0)

    def made(y):
        fold = Fold(train=dataset.train[::2], valid=dataset.train[1::2])
        return dataclasses.replace(dataset, y=y, schema=schema, folds=(fold,))

    return made, income


def pays(dataset, metric="rmse"):
    families = {"linear": plugins.families.get("linear")()}
    shape = Shape(rows=len(dataset.train), features=4, classes=0)
    found = metric_for(metric, "regression")
    return pilot.log_pays(dataset, found, families, shape=shape, seed=0)


def test_growth_by_factors_wants_the_logarithm(table):
    made, income = table
    noise = np.random.default_rng(0).normal(size=len(income))
    assert pays(made(np.exp(income / 10 + 0.2 * noise)), "mae")


def test_a_target_without_skew_or_with_negative_values_stays_as_it_is(table):
    made, income = table
    assert not pays(made(income + 1000.0))
    assert not pays(made(-np.exp(income / 10)))


def test_a_skewed_target_that_is_linear_in_the_columns_stays_as_it_is(table):
    made, income = table
    # Most rows near 0 and a long tail, as the column itself; the logarithm would bend the line.
    y = np.clip(income - income.mean(), 0, None) * 100 + 1
    assert not pays(made(y))


def test_a_failure_is_left_to_the_search(table, monkeypatch):
    made, income = table

    def fit(*given, **named):
        raise ValueError("no luck")

    monkeypatch.setattr(plugins.families.get("linear"), "fit", fit)
    assert pays(made(np.exp(income / 10)))


def test_classes_have_no_logarithm(finished):
    assert not pilot.log_pays(
        finished.runs[0].dataset,
        metric_for("roc_auc", "binary"),
        {},
        shape=Shape(rows=1, features=1, classes=2),
        seed=0,
    )
