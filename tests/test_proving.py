"""The proof on the test rows: bounds that so few rows allow, and limits that are measured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raymm import proving, release
from raymm.artifacts import Blessing, Candidate, Check, Frontier, Score
from raymm.config import parse
from raymm.evaluation.evaluate import evaluate
from raymm.evaluation.metrics import metric_for
from raymm.registry.versions import Registry
from raymm.stages import Built


@pytest.mark.parametrize("rows", [30, 300])
def test_a_perfect_score_on_few_rows_is_not_certain(rows):
    truth = np.arange(rows) % 2
    sure = np.eye(2)[truth]
    found = evaluate(
        truth,
        sure,
        task="binary",
        metric=metric_for("accuracy", "binary"),
        baseline=np.full((rows, 2), 0.5),
        seed=0,
        confidence=0.95,
    )
    # Clopper & Pearson's one-sided bound for n of n successes: 0.05 ** (1 / n).
    assert found.score.value == 1.0
    assert found.score.low == pytest.approx(0.05 ** (1 / rows), abs=1e-9)


def test_the_slowest_rows_are_measured_on_the_bundle_that_ships(finished):
    run = finished.runs[1]
    life = SimpleNamespace(dataset=run.dataset)
    slow = proving._slow_row(life, run.bundle)
    # A row through a small graph takes tens of microseconds; a second would mean another unit.
    assert 1 < slow < 1e6


def test_a_version_that_was_rolled_back_is_not_promoted_by_running_again(finished, home):
    registry = Registry(str(home))
    told = []
    life = SimpleNamespace(
        registry=registry,
        config=finished.runs[1].config,
        run=finished.runs[1].run,
        notify=told.append,
    )
    registry.rollback("loans", reason="a person knows better")
    try:
        assert not release.promote(life, finished.runs[1].version)
        assert registry.champion("loans").number == 1
        assert "raymm promote loans 2" in told[-1].message
    finally:
        registry.promote("loans", 2, reason="put back for the other tests")
    assert release.promote(life, finished.runs[1].version)


TRUTH = np.random.default_rng(0).integers(0, 2, 600)
SURE = np.eye(2)[TRUTH] * 0.8 + 0.1
DULL = 0.5 + (SURE - 0.5) * 1e-3
"""The same order of rows, and no probability that says anything."""


@pytest.fixture
def proven(monkeypatch):
    """Return what is proven of two bundles of these predictions and bytes."""

    def make(made, full, *, blessed=("made", "full"), size=1, **changes):
        told = {"made": made, "full": full}
        asked = []

        def predict(life, name):
            asked.append(name)
            return SimpleNamespace(predict=lambda rows: told[name])

        def prove_one(life, name, champion, slices):
            check = Check(name="baseline", passed=name in blessed, statement=f"{name} is judged.")
            blessing = Blessing(blessed=name in blessed, checks=(check,))
            return proving.Proof(bundle=name, evaluation=None, blessing=blessing)

        monkeypatch.setattr(proving, "kept", lambda life, stage, deciding, kind, make: make())
        monkeypatch.setattr(proving, "_reigning", lambda *_: None)
        monkeypatch.setattr(proving, "_prove_one", prove_one)
        monkeypatch.setattr(proving, "runner", predict)
        schema = SimpleNamespace(task="binary", decision=())
        monkeypatch.setattr(proving, "load", lambda *_: SimpleNamespace(schema=schema))
        monkeypatch.setattr(proving.slicing, "slices", lambda *_: [])
        dataset = SimpleNamespace(
            frame=None,
            schema=schema,
            y=TRUTH,
            test=np.arange(len(TRUTH)),
            rows=lambda rows: {"a": rows},
        )
        life = SimpleNamespace(
            config=parse({"data": {"source": "a", "target": "y"}}, changes),
            dataset=dataset,
            metric=metric_for("roc_auc", "binary"),
            registry=SimpleNamespace(store=SimpleNamespace(get_blob=lambda _: b"0" * size)),
            tested={},
        )
        built = Built(bundle="made", full="full", frontier=FRONTIER)
        return proving.prove(life, built), asked

    return make


def one_of_two(technique, chosen):
    return Candidate(
        technique=technique,
        parameters={},
        score=0.9,
        loss=Score(metric="roc_auc", value=0.0, low=0.0, high=0.0),
        bytes=1,
        row_microseconds=1.0,
        chosen=chosen,
    )


FRONTIER = Frontier(
    candidates=(one_of_two("none", False), one_of_two("cut", True)),
    metric="roc_auc",
    max_loss=0.0005,
    rows=10,
)


def test_a_compressed_bundle_that_is_as_good_ships(proven):
    proof, asked = proven(SURE, SURE)
    assert (proof.bundle, proof.blessing.blessed) == ("made", True)
    assert asked == ["made", "full"]
    (check,) = [one for one in proof.blessing.checks if one.name == "compression"]
    assert check.passed
    assert release._shipped(Built(bundle="made", full="full", frontier=FRONTIER), proof).bundle


def test_one_whose_probabilities_say_nothing_does_not_and_the_reason_is_told(proven):
    proof, _ = proven(DULL, SURE)
    assert (proof.bundle, proof.blessing.blessed) == ("full", True)
    (check,) = [one for one in proof.blessing.checks if one.name == "compression"]
    assert check.passed
    assert "log_loss grows from" in check.statement
    built = release._shipped(Built(bundle="made", full="full", frontier=FRONTIER), proof)
    assert [one.chosen for one in built.frontier.candidates] == [True, False]


def test_where_neither_can_be_blessed_the_compressed_one_is_shown(proven):
    proof, asked = proven(SURE, SURE, blessed=())
    assert (proof.bundle, proof.blessing.blessed) == ("made", False)
    assert not asked
    proof, _ = proven(DULL, SURE, blessed=("made",))
    assert (proof.bundle, proof.blessing.blessed) == ("made", False)


def test_nothing_is_compared_with_a_bundle_that_is_beyond_the_limits(proven):
    proof, asked = proven(DULL, SURE, size=2000, **{"goal.limits.bundle_mb": 0.001})
    assert (proof.bundle, proof.blessing.blessed, asked) == ("made", True, [])
    assert "nothing is compared" in proof.blessing.checks[-1].statement
