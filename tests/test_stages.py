"""Stages are kept under a hash of what decides them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from raymm import stages
from raymm.artifacts import Candidate, Check, Score
from raymm.config import parse
from raymm.evaluation.metrics import metric_for
from raymm.search.ledger import Ledger


@pytest.fixture
def life(tmp_path):
    with Ledger.open(str(tmp_path), "r-1") as ledger:
        yield SimpleNamespace(ledger=ledger, notify=lambda progress: None)


def test_a_stage_is_done_once_for_what_decides_it(life):
    made = []

    def make():
        made.append(1)
        return Check(name="n", passed=True, statement="s")

    results = [stages.kept(life, "s", {"a": a}, Check, make) for a in (1, 1, 2, 1)]
    assert len(made) == 2
    assert len(set(results)) == 1


def test_one_worker_means_one_thread(monkeypatch):
    raw = {"data": {"source": "a", "target": "y"}}
    assert stages.threads(parse(raw, {"search.parallel": 1, "ray.cpus": 8})) == 1
    assert stages.threads(parse(raw, {"ray.cpus": 8})) == 8
    monkeypatch.setattr(stages, "cpus", lambda: 3)
    assert stages.threads(parse(raw)) == 3


def test_lineage_holds_no_clock_and_no_folder(finished):
    record = str(finished.runs[1].bundle.lineage)
    assert "seconds" not in record
    assert str(finished.home) not in record
    assert str(finished.csv.parent) not in record


def test_bytes_do_not_depend_on_whether_all_rows_follow(finished, life):
    """What is trained without the test rows is one bundle, whatever ships after it."""
    run = finished.runs[1]
    life.__dict__.update(run="r-1", dataset=run.dataset)
    found = []
    for value in ("train", "all"):
        life.config = parse({"data": {"source": "a", "target": "y"}}, {"goal.refit": value})
        found.append(stages.lineage_of(life, run.recipe))
    assert found[0] == found[1]
    again = stages.lineage_of(life, run.recipe, refit=True).configuration["goal"]
    assert again == {**found[0].configuration["goal"], "refit": "all"}


def test_lineage_names_every_package_that_trains(finished, monkeypatch, life):
    monkeypatch.setattr(stages, "version", lambda name: f"1 of {name}")
    run = finished.runs[1]
    life.__dict__.update(config=parse({"data": {"source": "a", "target": "y"}}), run="r-1")
    life.dataset = run.dataset
    found = stages.lineage_of(life, run.recipe).packages
    trained_by = {"lightgbm", "xgboost", "catboost", "scikit-learn", "scipy"}
    assert trained_by <= set(found)
    assert found["catboost"] == "1 of catboost"


def test_the_chosen_candidate_is_one_and_what_is_shipped(finished):
    for run in finished.runs:
        assert sum(one.chosen for one in run.frontier.candidates) == 1
        shipped = run.version.bundle_bytes
        assert shipped <= run.packed_bytes < run.uncompressed_bytes
        if stages.chosen(run.frontier).technique == "none":
            assert shipped == run.packed_bytes


def test_a_form_of_other_leaves_has_no_contributions_of_its_models():
    candidate = Candidate(
        technique="prune",
        parameters={"size": 0.3},
        score=0.0,
        loss=Score(metric="m", value=0.0, low=0.0, high=0.0),
        bytes=1,
        row_microseconds=1.0,
        chosen=True,
    )
    built = SimpleNamespace(full="f", frontier=SimpleNamespace(candidates=(candidate,)))
    assert stages._exact(None, built, "shipped", SimpleNamespace(decision=())) is None


def test_contributions_add_up_to_what_the_bundle_answers(finished):
    run = finished.runs[1]
    if "log-odds" not in run.explanation.unit:
        pytest.skip("the winner has no exact contributions")
    rows = run.dataset.test[: len(run.explanation.outputs)]
    from raymm.bundle.run import Runner

    answered = Runner(run.bundle).predict(run.dataset.rows(rows))[:, -1]
    told = 1 / (1 + np.exp(-np.array(run.explanation.outputs)))
    # Float32 sums of some hundred trees stay below 1e-5 in probability.
    assert np.abs(answered - told).max() < 1e-4


def test_measuring_forms_may_take_a_share_of_what_came_before_but_one_worker_has_no_clock(life):
    raw = {"data": {"source": "a", "target": "y"}}
    life.config = parse(raw)
    life.spent, life.began = 20.0, time.monotonic()
    assert stages._allowed(life, 30.0) is None
    for seconds in (9.0, 400.0):
        life.ledger.finish_stage("search", str(seconds), {"seconds": seconds})
    assert stages._allowed(life, 30.0) == pytest.approx(450 * stages.EXPLORING)
    life.config = parse(raw, {"search.parallel": 1})
    assert stages._allowed(life, 30.0) is None
    life.config, life.spent = parse(raw), 0.0
    life.ledger.finish_stage("search", "short", {"seconds": 1.0})
    assert stages._allowed(life, 1.0) == stages.EXPLORING_LEAST
    # Choosing among trials and mixing them took its time too.
    life.began -= 100.0
    assert stages._allowed(life, 1.0) == pytest.approx(100 * stages.EXPLORING, rel=0.05)


def test_a_form_that_the_proof_is_likely_to_refuse_is_told_before(life):
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 1000)
    sure = np.clip(np.where(y == 1, 0.8, 0.2) + random.normal(0, 0.05, 1000), 0.01, 0.99)
    whole = np.stack([1 - sure, sure], axis=1)
    life = SimpleNamespace(
        config=parse({"data": {"source": "a", "target": "y"}}),
        dataset=SimpleNamespace(schema=SimpleNamespace(task="binary")),
        metric=metric_for("roc_auc", "binary"),
    )
    full = SimpleNamespace(schema=SimpleNamespace(decision=()))
    assert stages._beside(life, full, whole, whole, y) == ""
    # The order of the rows stays, and so does the metric.
    unsure = 0.5 + (whole - 0.5) / 2
    assert stages._beside(life, full, unsure, whole, y).startswith("the log_loss grows from")


def test_soft_labels_are_those_of_the_lineage_s_recipe(monkeypatch):
    asked = {}

    def crossed(dataset, rows, recipe, chosen, *, seed):
        asked.update(rows=rows, recipe=recipe, chosen=chosen, seed=seed)
        return np.zeros((len(chosen), 2))

    monkeypatch.setattr(stages, "crossed", crossed)
    dataset = SimpleNamespace(rows=lambda rows: {"a": rows}, y=np.arange(9))
    rows = stages.trained_rows(dataset, np.arange(2, 9), None, 3)
    trial = {"id": "t", "number": 0, "config": {"family": "linear"}, "status": "finished"}
    assert rows.soft(SimpleNamespace(trial=trial, recipe={}), np.arange(2)).shape == (2, 2)
    assert asked["recipe"].members[0].trial.family == "linear"
    assert (asked["rows"].tolist(), asked["seed"]) == (list(range(2, 9)), 3)


def test_a_form_that_takes_the_place_of_the_chosen_one_has_the_goal_s_limits(life, monkeypatch):
    class Known(Exception):
        pass

    def applied(bundle, found, rows, tensors, limits, proven):
        raise Known(limits.bundle_mb)

    life.config = parse({"data": {"source": "a", "target": "y"}}, {"goal.limits.bundle_mb": 0.25})
    life.dataset = SimpleNamespace(
        train=None, folds=[SimpleNamespace(valid=None)], rows=lambda rows: {}
    )
    life.metric = None
    monkeypatch.setattr(stages, "fitted", lambda life, recipe: (None, None))
    monkeypatch.setattr(stages, "trained_rows", lambda *_: None)
    found = SimpleNamespace(candidates=[SimpleNamespace(chosen=True, technique="none")])
    monkeypatch.setattr(stages, "_explore", lambda *_: found)
    monkeypatch.setattr(stages.compressing, "applied", applied)
    with pytest.raises(Known, match=r"0\.25"):
        stages.build(life, SimpleNamespace(deciding=dict))
