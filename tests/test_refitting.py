"""What is blessed is trained anew on all rows where the goal asks for it, and told so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm import lifecycle, refitting
from raymm.artifacts import Blessing, Check
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.config import parse
from raymm.errors import Interrupted, ParityError
from raymm.evaluation.metrics import metric_for
from raymm.proving import Proof
from raymm.registry.versions import Registry
from raymm.search.ledger import Ledger
from raymm.stages import Built, Life


def test_only_the_new_stage_is_done(refitted):
    assert refitted.run.run == refitted.before.run
    assert "refit" in refitted.stages
    assert not {"search", "build", "evaluate", "explain", "audit"} & set(refitted.stages)


def test_what_ships_has_learnt_from_all_rows_and_scores_are_the_proven_ones(refitted):
    run, before = refitted.run, refitted.before
    assert run.blessing.blessed
    assert run.promoted
    assert run.version.number == 3
    assert run.bundle.sha256 == run.version.bundle != before.version.bundle
    assert run.bundle.statistics.rows == 2000
    assert before.bundle.statistics.rows == 1600
    assert run.evaluation.score == before.evaluation.score
    assert run.explanation.importance == before.explanation.importance
    summary = run.version.summary
    assert (summary["refit"], summary["proven_bundle"]) == ("all", before.version.bundle)
    assert before.version.bundle[:12] in summary["score_of"]
    assert (before.version.summary["refit"], before.version.summary["proven_bundle"]) == (
        "train",
        "",
    )
    # It answers test rows as one that has seen them, which is near to the proven one.
    rows = run.dataset.rows(run.dataset.test)
    answers = [Runner(one.bundle).predict(rows) for one in (run, before)]
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.2


def test_a_check_and_a_finding_say_what_was_measured_on_what(refitted):
    (check,) = [one for one in refitted.run.blessing.checks if one.name == "refit"]
    proven, shipped = refitted.before.version.bundle[:12], refitted.run.version.bundle[:12]
    assert f"that of bundle {proven}, trained without the 400 test rows" in check.statement
    assert f"bundle {shipped}, trained on all 2,000 rows by the same recipe" in check.statement
    (finding,) = [one for one in refitted.run.recipe.findings if one.policy == "refit"]
    assert finding.kept
    assert "all 2,000 rows, the 400 test rows too" in finding.statement


def test_without_it_the_policy_says_that_test_rows_are_left_alone(finished):
    (finding,) = [one for one in finished.runs[1].recipe.findings if one.policy == "refit"]
    assert finding.kept
    assert "all 1,600 training rows" in finding.statement
    assert "the 400 test rows are left alone" in finding.statement


@pytest.mark.slow
def test_running_again_trains_nothing(refitted, searching_here, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a finished stage was done anew")

    monkeypatch.setattr(refitting.building, "build", never)
    again = lifecycle.run(refitted.run.config)
    assert again.version == refitted.run.version
    assert again.blessing == refitted.run.blessing
    assert again.promoted


@pytest.fixture
def proven(refitted, tmp_path):
    """Return a way to refit what was proven, with a ledger of its own and changes."""
    before = refitted.before
    store = Registry(str(tmp_path))
    store.store.put_blob(before.bundle.to_bytes())

    def make(blessed=True, **changes):
        raw = refitted.run.config.model_dump(mode="json", by_alias=True)
        with Ledger.open(str(tmp_path), "r-1") as ledger:
            life = Life(
                config=parse({**raw, "storage": str(tmp_path)}, changes),
                run="r-1",
                dataset=before.dataset,
                statistics=before.statistics,
                metric=metric_for("roc_auc", "binary"),
                registry=store,
                ledger=ledger,
                notify=lambda progress: None,
            )
            judged = Proof(
                bundle=before.version.bundle,
                evaluation=before.evaluation,
                blessing=Blessing(blessed=blessed, checks=before.blessing.checks[:1]),
            )
            whole = replace(before.frontier.candidates[0], chosen=True)
            built = Built(
                bundle=judged.bundle,
                full=judged.bundle,
                frontier=replace(before.frontier, candidates=(whole,)),
            )
            return judged, built, refitting.refit(life, before.recipe, built, judged)

    return make


@pytest.mark.slow
def test_the_same_rows_and_seed_give_the_same_bytes(proven, tmp_path):
    _, _, (_, first, proof) = proven()
    (tmp_path / "runs" / "r-1" / "ledger.jsonl").unlink()
    _, _, (_, second, _) = proven()
    assert first.bundle == second.bundle == first.full == proof.bundle
    stored = Bundle.from_bytes(Registry(str(tmp_path)).store.get_blob(first.bundle))
    assert stored.lineage.configuration["goal"]["refit"] == "all"


def refused(judged, built, found, why):
    """Assert that the proven bundle ships, still blessed, and that the reason is told."""
    recipe, after, proof = found
    assert after == built
    assert (proof.bundle, proof.proven, proof.blessing.blessed) == (judged.bundle, "", True)
    (check,) = [one for one in proof.blessing.checks if one.name == "refit"]
    assert check.passed
    assert "What was proven ships" in check.statement
    assert why in check.statement
    (finding,) = [one for one in recipe.findings if one.policy == "refit"]
    assert not finding.kept
    assert why in finding.statement


def test_one_that_is_worse_does_not_ship(proven, monkeypatch):
    failed = Check(name="refit", passed=False, statement="it is worse.")
    monkeypatch.setattr(refitting, "refitted", lambda *_, **__: failed)
    refused(*proven(), "it is worse.")


def test_one_that_cannot_be_proven_does_not_ship(proven, monkeypatch):
    def build(*args, **kwargs):
        raise ParityError("the graph differs.")

    monkeypatch.setattr(refitting.building, "build", build)
    refused(*proven(), "It could not be made: the graph differs.")


@pytest.mark.slow
def test_one_beyond_the_limits_does_not_ship(proven):
    refused(*proven(**{"goal.limits.bundle_mb": 1e-6}), "the limit is 1e-06 MB")


def test_an_interruption_is_none_of_these(proven, monkeypatch):
    def build(*args, **kwargs):
        raise Interrupted("stopped.")

    monkeypatch.setattr(refitting.building, "build", build)
    with pytest.raises(Interrupted):
        proven()


def test_nothing_is_trained_where_nothing_is_blessed(proven, monkeypatch):
    monkeypatch.setattr(refitting, "kept", None)
    judged, built, (recipe, after, proof) = proven(blessed=False)
    assert (after, proof) == (built, judged)
    assert "not blessed" in recipe.findings[-1].statement
    assert not recipe.findings[-1].kept
