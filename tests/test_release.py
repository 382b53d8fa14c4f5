"""A version in the registry: what proves it lies beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from raymm import champions, release
from raymm.artifacts import (
    Audit,
    Blessing,
    Evaluation,
    Explanation,
    Frontier,
    Predictions,
    Reliability,
    Trials,
    from_record,
)
from raymm.bundle.run import Runner
from raymm.monitoring.estimates import BINS
from raymm.monitoring.predictions import LEAST_ROWS, predicted
from raymm.monitoring.sketches import cells_of
from raymm.registry.fsck import fsck
from raymm.registry.store import blob_path
from raymm.registry.versions import Registry
from raymm.report.html import numbered
from raymm.shelf import PREDICTIONS, RELIABILITY


def test_every_proof_can_be_read_back_from_the_registry(finished, home):
    run = finished.runs[1]
    registry = Registry(str(home))
    kinds = {
        "evaluation": Evaluation,
        "blessing": Blessing,
        "frontier": Frontier,
        "explanation": Explanation,
        "audit": Audit,
        "trials": Trials,
    }
    for part, kind in kinds.items():
        record = json.loads(registry.part(run.version, f"{part}.json"))
        assert isinstance(from_record(kind, record), kind)
    assert from_record(Blessing, json.loads(registry.part(run.version, "blessing.json"))) == (
        run.blessing
    )


def test_how_often_probabilities_came_true_is_kept_for_the_monitor(finished, home):
    run, registry = finished.runs[1], Registry(str(home))
    known = from_record(Reliability, json.loads(registry.part(run.version, RELIABILITY)))
    accuracy = next(s.value for s in run.evaluation.others if s.metric == "accuracy")
    assert sum(known.rows) == run.evaluation.rows
    # Of two classes, answers above one half come true where the second is right.
    half = BINS // 2
    right = sum(known.rows[:half]) - sum(known.hits[:half]) + sum(known.hits[half:])
    assert right / sum(known.rows) == pytest.approx(accuracy, abs=0.02)


def test_what_was_predicted_on_test_rows_is_kept_for_the_monitor(finished, home):
    run, registry = finished.runs[1], Registry(str(home))
    known = from_record(Predictions, json.loads(registry.part(run.version, PREDICTIONS)))
    told = Runner(run.bundle).predict(run.dataset.rows(run.dataset.test))
    cells = cells_of(known.column)
    cells.add(predicted(told))
    assert cells.counts.tolist() == cells.reference.tolist()
    assert known.column.rows == run.evaluation.rows >= LEAST_ROWS


def test_a_refit_has_no_predictions_to_compare_with(refitted):
    parts = refitted.run.version.parts
    assert PREDICTIONS not in parts
    assert RELIABILITY in parts or refitted.run.evaluation.rows < LEAST_ROWS


def test_the_report_is_the_same_beside_the_run_and_in_the_registry(finished, home):
    run = finished.runs[1]
    page = Registry(str(home)).part(run.version, "report.html").decode()
    # The registry's was written before the version had its number, which nothing else differs by.
    beside = Path(run.report).read_text(encoding="utf-8")
    assert beside == numbered(page, run.version.number)
    assert f"version {run.version.number}<" in beside
    for words in (run.run, "income", "blessed", "Leaderboard"):
        assert words.lower() in page.lower()


def test_a_refit_keeps_the_proven_bundle_and_says_whose_scores_they_are(refitted):
    run, registry = refitted.run, Registry(str(refitted.home))
    assert registry.part(run.version, champions.PROVEN) == refitted.before.bundle.to_bytes()
    whole = np.frombuffer(registry.part(run.version, champions.TRAIN_ROWS), "<u8")
    before = np.frombuffer(registry.part(run.version, champions.PROVEN_ROWS), "<u8")
    assert (len(whole), len(before)) == (2000, 1600)
    assert np.isin(before, whole).all()
    assert "proven.raymm" not in refitted.before.version.parts
    page = Path(run.report).read_text(encoding="utf-8")
    assert f"are of bundle {refitted.before.version.bundle}, trained without the test" in page
    assert f"by the same recipe: bundle {run.version.bundle}" in page
    assert "are of bundle" not in Path(refitted.before.report).read_text(encoding="utf-8")
    reason = registry.promotions("loans")[-1].reason
    assert reason.endswith("before what ships was trained on all rows by the same recipe")


def test_the_proven_bundle_is_one_that_must_be_there(refitted, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(refitted.home, home)
    proven = refitted.run.version.summary["proven_bundle"]
    assert not [one for one in fsck(Registry(str(home))) if one.severity == "error"]
    before = refitted.before.version
    (home / "models/loans/versions" / f"{before.number:08d}.json").write_bytes(b"{")
    (home / blob_path(proven)).unlink()
    told = [one.statement for one in fsck(Registry(str(home)))]
    assert any("00000003.json refers to blob" in one and proven in one for one in told)


def test_promotions_say_why(finished, home):
    reasons = [one.reason for one in Registry(str(home)).promotions("loans")]
    assert reasons[0] == f"blessed by run {finished.runs[0].run}: roc_auc " + (
        f"{finished.runs[0].version.summary['score']:.6g}"
    )


def test_whether_to_promote_is_asked_where_a_version_would_take_over(tmp_path):
    registry = Registry(str(tmp_path))
    summary = {"metric": "roc_auc", "score": 0.9}
    poor, good = (
        registry.register("m", b"%d" % n, run=f"r{n}", blessed=bool(n), summary=summary, parts={})
        for n in range(2)
    )
    config = SimpleNamespace(name="m")
    life = SimpleNamespace(registry=registry, config=config, run="r1", notify=lambda _: None)
    asked = []
    for answer in (False, True, False):
        takes = release.promote(life, good, anew=lambda said=answer: asked.append(said) or said)
        assert takes is bool(asked[1:])
    assert asked == [False, True]  # the third time it reigns
    assert not release.promote(life, poor, anew=lambda: asked.append(True) or True)
    assert len(asked) == 2


def test_the_report_of_a_later_version_leaves_that_of_the_first(tmp_path):
    registry, told = Registry(str(tmp_path)), []
    config = SimpleNamespace(name="m")
    life = SimpleNamespace(registry=registry, config=config, run="r", notify=told.append)
    versions = [
        registry.register("m", b"%d" % n, run=run, blessed=True, summary={}, parts={})
        for n, run in enumerate(["another", "r", "r"])
    ]
    names = [release._report_name(life, one, picked=False) for one in versions[1:]]
    assert names == ["report.html", "report-3.html"]
    assert [one.message for one in told] == ["report-3.html; report.html stays that of m@2"]
