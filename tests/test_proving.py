"""The proof on the test rows: bounds that so few rows allow, and limits that are measured."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raymm import proving, release
from raymm.evaluation.evaluate import evaluate
from raymm.evaluation.metrics import metric_for
from raymm.registry.versions import Registry


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
