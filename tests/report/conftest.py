from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import (
    Anomaly,
    Audit,
    Blessing,
    Candidate,
    Check,
    Column,
    Evaluation,
    Explanation,
    Frontier,
    Importance,
    Lineage,
    Schema,
    Score,
    SliceScore,
    Trial,
    Trials,
)
from raymm.report.html import ReportInputs

COLUMNS = (
    "tenure",
    "Contract",
    "MonthlyCharges",
    "InternetService",
    "a_very_long_column_name_in_one_piece",
)


def score(value: float, width: float = 0.02, metric: str = "roc_auc") -> Score:
    return Score(metric=metric, value=value, low=value - width, high=value + width, level=0.9)


def _search() -> tuple[Trials, Frontier]:
    generator = np.random.default_rng(0)
    trials = [
        Trial(
            id=f"t{i}",
            number=i,
            config={"family": "lightgbm", "learning_rate": 0.0123456789 * (i + 1), "leaves": i + 2},
            status="finished",
            value=float(0.84 - 0.1 * generator.exponential() / (1 + i / 5)),
            rounds=120 + i,
            seconds=1.5,
        )
        for i in range(40)
    ]
    trials.append(
        Trial(id="bad", number=40, config={}, status="failed", error="ValueError: <no rows>")
    )
    candidates = [
        Candidate(
            technique=name,
            parameters={"bits": 8} if place else {},
            score=0.85 - 0.002 * place,
            loss=score(0.002 * place, 0.001),
            bytes=int(2_000_000 / 4**place),
            row_microseconds=63.0 / (place + 1),
            slow_microseconds=77.7 if place == 2 else 0.0,
            thousand_microseconds=8_800.0 if place == 2 else 0.0,
            graph_bytes=1_234_000 if place == 2 else 0,
            heap_bytes=4_567_000 if place == 2 else 0,
            chosen=place == 2,
        )
        for place, name in enumerate(["none", "quantize", "prune + quantize", "distill"])
    ]
    frontier = Frontier(candidates=tuple(candidates), metric="roc_auc", max_loss=0.005, rows=900)
    return Trials(
        trials=tuple(trials), direction="maximize", metric="roc_auc", resumed=7, seconds=84.123
    ), frontier


def _proof() -> tuple[Evaluation, Blessing, Explanation, Audit]:
    generator = np.random.default_rng(1)
    parts = tuple(
        SliceScore(column="Contract", value=value, rows=300, score=score(0.8, 0.03))
        for value in ("One year", "<script>alert(1)</script>")
    )
    evaluation = Evaluation(
        direction="maximize",
        rows=1409,
        score=score(0.8502),
        others=(score(0.8, metric="accuracy"), score(0.42, metric="log_loss")),
        baseline=0.5,
        gain=score(0.3502),
        champion="churn@3",
        champion_gain=score(0.004, 0.003),
        slices=parts,
    )
    checks = (
        Check(name="baseline", passed=True, statement="roc_auc is better than the trivial one."),
        Check(name="at_least", passed=False, statement="roc_auc is 0.85, at least 0.83; 0.84 <."),
    )
    contributions = generator.normal(size=(20, len(COLUMNS)))
    explanation = Explanation(
        importance=tuple(
            Importance(column=name, value=0.1 / (i + 1), low=0.08 / (i + 1), high=0.12 / (i + 1))
            for i, name in enumerate(COLUMNS)
        ),
        columns=COLUMNS,
        contributions=tuple(tuple(map(float, row)) for row in contributions),
        base=-1.2,
        outputs=tuple(map(float, contributions.sum(axis=1) - 1.2)),
        unit="log-odds of Yes",
        method="TreeSHAP, summed by raw column",
    )
    audit = Audit(groups=parts, gaps=(score(0.05, 0.03, "roc_auc by gender"),))
    return evaluation, Blessing(blessed=False, checks=checks), explanation, audit


@pytest.fixture
def inputs() -> ReportInputs:
    """Everything a report can tell."""
    trials, frontier = _search()
    evaluation, blessing, explanation, audit = _proof()
    generator = np.random.default_rng(2)
    chance = generator.beta(1, 2, 1409)
    schema = Schema(
        target="Churn",
        task="binary",
        classes=("No", "Yes"),
        columns=(
            Column(name="tenure", kind="number", minimum=0, maximum=72),
            Column(name="Contract", kind="category", categories=("Month-to-month", "One year")),
            Column(name="customerID", kind="text", role="ignored", reason="every value differs"),
            Column(name="Churn", kind="category", role="target", categories=("No", "Yes")),
        ),
    )
    anomaly = Anomaly(
        rule="missing",
        column="TotalCharges",
        observed="11 rows hold blanks",
        allowed="numbers",
        remedy="they are read as missing",
        severity="warning",
    )
    return ReportInputs(
        name="churn",
        number=4,
        facts={"data": "churn.csv", "rows": 7043, "columns": 21, "budget": "60 s", "seed": 0},
        schema=schema,
        evaluation=evaluation,
        blessing=blessing,
        trials=trials,
        frontier=frontier,
        explanation=explanation,
        audit=audit,
        anomalies=(anomaly,),
        lineage=Lineage(
            run="churn-0123456789",
            data_sha256="ab" * 32,
            source="churn.csv",
            seed=0,
            ledger="cd" * 32,
            configuration={},
            trial={},
            packages={"lightgbm": "4.7.0", "numpy": "2.4.6"},
        ),
        truth=(generator.random(1409) < chance).astype(np.int64),
        predictions=np.stack([1 - chance, chance], axis=1),
    )
