"""A recipe says what decides a bundle, and nothing that a clock does."""

from __future__ import annotations

import json

from raymm.artifacts import Finding, Member, Recipe, Trial, as_record, from_record, recipe_of


def trial(number: int = 0) -> Trial:
    config = {"family": "linear", "linear.C": 0.1}
    return Trial(
        id=str(number), number=number, config=config, status="finished", value=0.5, seconds=3.0
    )


def mix() -> Recipe:
    return Recipe(
        members=(Member(trial=trial(1), weight=0.6), Member(trial=trial(0), weight=0.4)),
        calibration=(0.9, 0.1),
        decision=(0.3, 0.7),
        findings=(Finding(policy="ensemble", kept=True, statement="3 ms"),),
    )


def test_a_recipe_is_read_back_equal():
    assert from_record(Recipe, json.loads(json.dumps(as_record(mix())))) == mix()


def test_what_decides_holds_no_time_and_no_finding():
    told = json.dumps(mix().deciding())
    assert "seconds" not in told
    assert "3 ms" not in told


def test_a_lineage_without_a_recipe_means_its_trial_alone():
    alone = Recipe.of(trial())
    assert alone.plain
    assert not mix().plain
    assert recipe_of(as_record(trial()), {}) == alone
    rebuilt = recipe_of({}, json.loads(json.dumps(mix().deciding())))
    assert rebuilt.deciding() == mix().deciding()
