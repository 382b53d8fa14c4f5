"""The end of a run: its report, its version in the registry, and its promotion."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from raymm import stages
from raymm.artifacts import (
    Anomaly,
    Audit,
    Explanation,
    Progress,
    Recipe,
    Target,
    Trial,
    Trials,
    Version,
    as_record,
)
from raymm.champions import PROVEN, PROVEN_ROWS, TRAIN_ROWS, every_row, train_rows
from raymm.config import home_folder
from raymm.counts import counted
from raymm.monitoring.estimates import LEAST_LABELS, reliability
from raymm.monitoring.predictions import predictions_of
from raymm.proving import Proof, tested
from raymm.report import html
from raymm.search.importance import importance, observed_space
from raymm.shelf import PREDICTIONS, RELIABILITY
from raymm.stages import Built, Life

REFIT = "what ships was trained on all rows by the same recipe"
"""What is told beside a score that is not that of the shipped bundle."""


def summary(life: Life, best: Trial, recipe: Recipe, built: Built, proof: Proof) -> dict[str, Any]:
    """Return what a version is known by: its score, its winner, its sizes, as plain JSON."""
    evaluation = proof.evaluation
    proven = f"the proven bundle, {proof.proven[:12]}, trained without the test rows"
    prefix = f"{best.family}."
    return {
        "task": life.dataset.schema.task,
        "target": life.dataset.schema.target,
        "metric": evaluation.score.metric,
        "direction": evaluation.direction,
        "score": evaluation.score.value,
        "score_low": evaluation.told.low,
        "score_high": evaluation.told.high,
        "baseline": evaluation.baseline,
        "metrics": {score.metric: score.value for score in (evaluation.score, *evaluation.others)},
        "best": {
            "family": best.family,
            "configuration": {
                key.removeprefix(prefix): value
                for key, value in best.config.items()
                if key != "family"
            },
            "rounds": best.rounds,
            "validation": best.value,
        },
        "ensemble": [
            {"trial": one.trial.number, "family": one.trial.family, "weight": one.weight}
            for one in recipe.members
        ],
        "policy": {one.policy: one.kept for one in recipe.findings},
        "compression": next(
            (one.statement for one in proof.blessing.checks if one.name == "compression"), ""
        ),
        "refit": "all" if proof.proven else "train",
        "proven_bundle": proof.proven,
        "score_of": f"{proven}; {REFIT}" if proof.proven else "what ships",
        "rows": len(life.dataset.y),
        "features": len(life.dataset.schema.features),
        **sizes(life, built),
        "source": life.dataset.source,
        "settings": {
            "goal": life.config.goal.model_dump(mode="json"),
            "serving": life.config.serving.model_dump(mode="json"),
            "monitoring": life.config.monitoring.model_dump(mode="json"),
        },
    }


def sizes(life: Life, built: Built) -> dict[str, int]:
    """Return what the winner's file takes before compression, packed and with its graph as it is.

    What an older raymm built is read for it.
    """
    return {
        "packed_bytes": len(life.registry.store.get_blob(built.full)),
        "uncompressed_bytes": built.plain or stages.load(life, built.full).plain_bytes,
    }


def register(
    life: Life,
    found: tuple[Trials, Recipe],
    built: Built,
    proof: Proof,
    explanation: Explanation,
    audit: Audit,
    anomalies: tuple[Anomaly, ...],
    *,
    picked: bool = False,
) -> tuple[Version, str]:
    """Write the report and put the version and all that proves it into the registry.

    ``report.html`` is that of the run's first version; those of others, such as ``picked`` forms,
    stand beside it under their numbers.

    Returns
    -------
    Version, str
        The version, the same one when it is there already, and the report's path.
    """
    trials, recipe = found
    best = trials.leaderboard[0]
    built, explanation = _shipped(built, proof), _of_proven(explanation, proof)
    page = _report(life, found, built, proof, explanation, audit, anomalies)
    records = {
        "trials": trials,
        "recipe": recipe,
        "evaluation": proof.evaluation,
        "blessing": proof.blessing,
        "frontier": built.frontier,
        "explanation": explanation,
        "audit": audit,
        "anomalies": anomalies,
    }
    parts = {
        f"{name}.json": json.dumps(as_record(value)).encode() for name, value in records.items()
    }
    version = life.registry.register(
        life.config.name,
        life.registry.store.get_blob(proof.bundle),
        run=life.run,
        blessed=proof.blessing.blessed,
        summary=summary(life, best, recipe, built, proof),
        parts={
            **parts,
            "report.html": page.encode(),
            **_learnt(life, proof),
            **_for_monitor(life, proof),
        },
    )
    if recipe.doubts is not None and recipe.doubts.found:
        _written(life, html.listed(recipe.doubts), "doubtful_labels.csv")
    name = _report_name(life, version, picked=picked)
    return version, _written(life, html.numbered(page, version.number), name)


def _report_name(life: Life, version: Version, *, picked: bool) -> str:
    """Return the name of a version's report, and tell where an earlier one's stays beside it."""
    made = [one for one in life.registry.versions(version.name) if one.run == life.run]
    if made[0].number == version.number:
        return "report.html"
    name = f"report-{version.number}.html"
    if not picked:
        told = f"{name}; report.html stays that of {version.name}@{made[0].number}"
        life.notify(Progress(stage="report", message=told))
    return name


def _learnt(life: Life, proof: Proof) -> dict[str, bytes]:
    """Return the parts that tell what a version was trained on, and the proven bundle itself."""
    dataset = life.dataset
    before = train_rows(dataset, dataset.train)
    if not proof.proven:
        return {TRAIN_ROWS: before}
    return {
        TRAIN_ROWS: train_rows(dataset, every_row(dataset)),
        PROVEN_ROWS: before,
        PROVEN: life.registry.store.get_blob(proof.proven),
    }


def _for_monitor(life: Life, proof: Proof) -> dict[str, bytes]:
    """Return the parts that tell a monitor what to expect, by the test rows.

    How often probabilities came true is that of the proven bundle, by whose recipe what ships was
    trained. What was predicted is kept of what ships alone, and only where it was not trained on
    the test rows. A refit predicts otherwise than the proven bundle: of boosters of telco_churn
    4 of 8 seemed to have drifted within 12 windows of rows like the test rows; and the test rows,
    which it knows, otherwise than new ones (2 of 8; forests 8 of 8). Without refit none did.
    """
    dataset = life.dataset
    if len(dataset.test) < LEAST_LABELS:
        return {}
    sha256 = proof.proven or proof.bundle
    truth, told = dataset.y[dataset.test], tested(life, sha256)
    target = Target.of(stages.load(life, sha256).schema)
    parts: dict[str, Any] = {}
    if target.task != "regression":
        parts[RELIABILITY] = reliability(target, truth, told)
    if not proof.proven and (made := predictions_of(target, truth, told)) is not None:
        parts[PREDICTIONS] = made
    return {name: json.dumps(as_record(one)).encode() for name, one in parts.items()}


def _of_proven(explanation: Explanation, proof: Proof) -> Explanation:
    """Say in an explanation's method what it explains, where that is not what ships."""
    if not proof.proven:
        return explanation
    told = f"{explanation.method}; of the proven bundle, {proof.proven[:12]}, not of all rows"
    return replace(explanation, method=told)


def _shipped(built: Built, proof: Proof) -> Built:
    """Mark the bundle as it was as the chosen form where that ships in a compressed one's place."""
    if proof.bundle != built.full or built.bundle == built.full:
        return built
    whole, *others = (replace(one, chosen=False) for one in built.frontier.candidates)
    candidates = (replace(whole, chosen=True), *others)
    return replace(built, frontier=replace(built.frontier, candidates=candidates))


def _report(
    life: Life,
    found: tuple[Trials, Recipe],
    built: Built,
    proof: Proof,
    explanation: Explanation,
    audit: Audit,
    anomalies: tuple[Anomaly, ...],
) -> str:
    trials, recipe = found
    bundle = stages.load(life, proof.bundle)
    rows = life.dataset.test
    space = observed_space([trial.config for trial in trials.trials])
    return html.render(
        html.ReportInputs(
            name=life.config.name,
            facts=_facts(life, trials, recipe),
            schema=bundle.schema,
            anomalies=anomalies,
            doubts=recipe.doubts,
            trials=replace(trials, resumed=0),
            frontier=built.frontier,
            evaluation=proof.evaluation,
            blessing=proof.blessing,
            explanation=explanation,
            audit=audit,
            lineage=bundle.lineage,
            truth=life.dataset.y[rows],
            predictions=tested(life, proof.judged),
            note=_note(proof),
            space=space,
            parameters=importance(space, trials),
        )
    )


def _facts(life: Life, trials: Trials, recipe: Recipe) -> dict[str, Any]:
    dataset, budget = life.dataset, life.config.search
    tried = counted(len(trials.trials), "trial")
    return {
        "run": life.run,
        "data": dataset.source,
        "data SHA-256": dataset.sha256,
        "rows": f"{len(dataset.y):,} ({len(dataset.train):,} training, {len(dataset.test):,} test)",
        "folds": len(dataset.folds),
        "features": len(dataset.schema.features),
        "search": f"{budget.algorithm}, {tried}, ended by {trials.stopped_by}",
        **{one.policy: one.statement for one in recipe.findings},
        "seed": life.config.seed,
        "ledger": life.ledger.digest(),
    }


def _note(proof: Proof) -> str:
    """Return what the report's figures are of, where that is not what ships."""
    if not proof.proven:
        return ""
    return (
        f"Scores, their figures, explanation and audit are of bundle {proof.proven}, trained "
        f"without the test rows; {REFIT}: bundle {proof.bundle}."
    )


def _written(life: Life, page: str, name: str) -> str:
    """Write the page beside the run where storage is a folder here, else in the home folder."""
    storage = life.config.storage
    home = home_folder() if "://" in storage else Path(storage)
    path = home / "runs" / life.run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return str(path)


def promote(life: Life, version: Version, *, anew: bool | Callable[[], bool] = True) -> bool:
    """Make a blessed version the champion; returns whether it is the champion now.

    Without ``anew`` it is only told whether it is; a function is asked once it is neither the
    champion nor unblessed.
    """
    if not version.blessed:
        return False
    champion = life.registry.champion(life.config.name)
    if champion is not None and champion.number == version.number:
        return True
    if not (anew() if callable(anew) else anew):
        return False
    if any(one.number == version.number for one in life.registry.promotions(life.config.name)):
        told = (
            f"{version.name}@{version.number} was the champion before and was replaced; it stays "
            f"so. To bring it back: raymm promote {version.name} {version.number}"
        )
        life.notify(Progress(stage="promote", message=told))
        return False
    metric, score = version.summary["metric"], version.summary["score"]
    reason = f"blessed by run {life.run}: {metric} {score:.6g}"
    if version.summary.get("refit") == "all":
        reason += f" before {REFIT}"
    life.registry.promote(life.config.name, version.number, reason=reason)
    life.notify(Progress(stage="promote", message=f"{version.name}@{version.number}"))
    return True
