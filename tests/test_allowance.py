"""What may be lost is told in the metric's units, wherever it is told."""

from __future__ import annotations

import pytest

from raymm import allowance
from raymm.artifacts import Candidate, Frontier, Score
from raymm.cli import printing
from raymm.report.frontier import draw
from raymm.report.html import ReportInputs, render


def frontier(metric, score, max_loss=0.005):
    forms = tuple(
        Candidate(
            technique=name, parameters={}, score=score, bytes=size, row_microseconds=1.0,
            loss=Score(metric=metric, value=0.0, low=0.0, high=0.0), chosen=name == "none",
        )
        for name, size in (("none", 9000), ("prune", 3000))
    )  # fmt: skip
    return Frontier(candidates=forms, metric=metric, max_loss=max_loss, rows=100)


@pytest.mark.parametrize(
    ("metric", "score", "loss", "told"),
    [
        ("roc_auc", 0.9, 0.005, "a loss of 0.005 roc_auc is allowed"),
        ("rmse", 200.0, 1.0, "a loss of 1 rmse is allowed (0.5 % of 200)"),
    ],
)
def test_table_report_and_picture_tell_the_same_loss(metric, score, loss, told, capsys):
    found = frontier(metric, score)
    assert allowance.allowed(found) == pytest.approx(loss)
    assert allowance.statement(found) == told
    printing.frontier(found)
    assert told in " ".join(capsys.readouterr().out.split())
    assert told in render(ReportInputs(name="m", frontier=found))
    assert f"a loss of {loss:g} {metric} is allowed" in draw(found)
