"""A version in the registry: what proves it lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

from raymm.artifacts import Audit, Blessing, Evaluation, Explanation, Frontier, Trials, from_record
from raymm.registry.versions import Registry
from raymm.report.html import numbered


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


def test_the_report_is_the_same_beside_the_run_and_in_the_registry(finished, home):
    run = finished.runs[1]
    page = Registry(str(home)).part(run.version, "report.html").decode()
    # The registry's was written before the version had its number, which nothing else differs by.
    beside = Path(run.report).read_text(encoding="utf-8")
    assert beside == numbered(page, run.version.number)
    assert f"version {run.version.number}<" in beside
    for words in (run.run, "income", "blessed", "Leaderboard"):
        assert words.lower() in page.lower()


def test_promotions_say_why(finished, home):
    reasons = [one.reason for one in Registry(str(home)).promotions("loans")]
    assert reasons[0] == f"blessed by run {finished.runs[0].run}: roc_auc " + (
        f"{finished.runs[0].version.summary['score']:.6g}"
    )
