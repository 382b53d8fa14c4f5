"""The features stage: decided once, recorded, and obedient to what a person has written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm import featuring, worth
from raymm.artifacts import Finding, Interaction
from raymm.search.ledger import Ledger
from raymm.stages import Life

DROPPED = Finding(policy="selection", kept=True, statement="1 of 4 columns are left out.")


@pytest.fixture
def life(finished, tmp_path):
    run = finished.runs[0]
    with Ledger.open(str(tmp_path), "features-0000000000") as ledger:
        yield Life(
            config=run.config,
            run="features-0000000000",
            dataset=run.dataset,
            statistics=run.statistics,
            metric=None,
            registry=None,
            ledger=ledger,
            notify=lambda told: None,
        )


@pytest.fixture
def asked(life, monkeypatch):
    """What `worth.weigh` is asked; it drops the first feature."""
    calls = []

    def weigh(dataset, quick, **given):
        calls.append(given)
        return worth.Worth(dropped=(dataset.schema.features[0].name,), findings=(DROPPED,))

    monkeypatch.setattr(worth, "weigh", weigh)
    object.__setattr__(life, "metric", type("Metric", (), {"name": "roc_auc"})())
    fresh = dataclasses.replace(life.dataset.schema, interactions=None)
    object.__setattr__(life, "dataset", dataclasses.replace(life.dataset, schema=fresh))
    return calls


def test_what_is_decided_is_recorded_and_not_decided_again(life, asked):
    gone = life.dataset.schema.features[0].name
    first, second = featuring.decided(life), featuring.decided(life)
    assert asked == [{"select": True, "interact": True}]
    assert first.dataset.schema == second.dataset.schema
    assert gone not in [one.name for one in first.dataset.schema.features]
    assert gone not in [one.name for one in first.statistics.columns]
    assert first.weighed == (DROPPED,)


def test_a_try_that_fails_ends_nothing(life, asked, monkeypatch):
    def fails(*given, **named):
        raise ValueError("no luck")

    monkeypatch.setattr(worth, "weigh", fails)
    told = []
    found = featuring.decided(dataclasses.replace(life, notify=told.append))
    assert found.dataset.schema.features == life.dataset.schema.features
    assert any("no luck" in one.message for one in told)


def test_it_can_be_switched_off(life, asked):
    data = life.config.data.model_copy(update={"select": "off", "interactions": "off"})
    life = dataclasses.replace(life, config=life.config.model_copy(update={"data": data}))
    assert featuring.decided(life) is life
    assert asked == []


def test_an_edited_schema_keeps_its_columns_and_its_interactions(life, asked):
    data = life.config.data.model_copy(update={"schema_file": "edited.yaml"})
    life = dataclasses.replace(life, config=life.config.model_copy(update={"data": data}))
    featuring.decided(life)
    assert asked == [{"select": False, "interact": True}]
    pair = Interaction(first="income", second="income", operation="sum")
    given = dataclasses.replace(life.dataset.schema, interactions=(pair,))
    told = dataclasses.replace(life, dataset=dataclasses.replace(life.dataset, schema=given))
    assert featuring.decided(told) is told
    assert len(asked) == 1


def test_a_run_whose_trials_were_made_without_goes_on_without(life, asked, monkeypatch):
    monkeypatch.setattr(life.ledger, "trials", lambda: [object()])
    assert featuring.decided(life) is life
    assert asked == []


def test_a_real_run_ships_what_was_decided(finished):
    run = finished.runs[1]
    assert run.schema.interactions is not None
    assert run.dataset.schema.features == run.schema.features
    policies = [one.policy for one in run.recipe.findings]
    assert "selection" in policies or len(run.dataset.train) < worth.LEAST_ROWS
    assert np.isfinite(run.evaluation.score.value)
