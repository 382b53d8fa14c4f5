"""The stages of a life that are kept: each is done once, recorded in the ledger, and then read.

A stage's key is a hash of everything that decides its result, so a changed configuration does
the stage anew and an unchanged one never does.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import numpy as np

from raymm import champions
from raymm.artifacts import (
    Audit,
    Blessing,
    Candidate,
    Check,
    Dataset,
    Evaluation,
    Explanation,
    Frontier,
    Lineage,
    Notify,
    Progress,
    Statistics,
    Trial,
    Version,
    as_record,
    from_record,
)
from raymm.audit import fairness
from raymm.bundle import build as building
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import Pipeline
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.compression.truncate import kept_rounds
from raymm.config import RunConfig
from raymm.evaluation import blessing as blessings
from raymm.evaluation import evaluate as evaluations
from raymm.evaluation import slices as slicing
from raymm.evaluation.metrics import Metric, baseline_prediction
from raymm.explanation import attribution
from raymm.registry.versions import Registry
from raymm.search.ledger import Ledger

_PACKAGES = ("raymm", "lightgbm", "xgboost", "xgboost-cpu", "scikit-learn", "numpy", "onnxruntime")
_EXPLAINED_ROWS = 50
_SHUFFLED_BYTES = 4e9

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """What every stage works with."""

    config: RunConfig
    run: str
    dataset: Dataset
    statistics: Statistics
    metric: Metric
    registry: Registry
    ledger: Ledger
    notify: Notify
    fits: dict[str, tuple[Bundle, Pipeline]] = field(default_factory=dict)
    """What this process has already trained, by trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The winner as a bundle: SHA-256 of the file that is shipped and of the file before it was
    compressed, and how the choice was made.
    """

    bundle: str
    full: str
    frontier: Frontier


def kept(life: Life, stage: str, deciding: Any, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
    """Read a stage's result from the ledger, or make it and record it.

    ``deciding`` is turned to JSON and hashed; it must hold all that the result depends on
    besides the run itself.
    """
    text = json.dumps(as_record(deciding), sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()
    record = life.ledger.stage(stage, key)
    if record is not None:
        return from_record(kind, record)
    life.notify(Progress(stage=stage))
    value = make()
    life.ledger.finish_stage(stage, key, as_record(value))
    return value


def threads(config: RunConfig) -> int:
    """Return how many threads a fit in this process may use: one in deterministic mode."""
    if config.search.parallel == 1:
        return 1
    if config.ray.cpus:
        return config.ray.cpus
    given = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(given(0)) if given else os.cpu_count() or 1


# ------------------------------------------------------------------------------- build, compress


def build(life: Life, best: Trial) -> Built:
    """Train the winner on all training rows, put it into a bundle, and compress that.

    What to keep is chosen on validation rows, with a bundle that was trained without them.
    """
    config = life.config
    deciding = {
        "trial": best.id,
        "config": best.config,
        "rounds": best.rounds,
        "compression": config.compression.model_dump(mode="json"),
    }

    def make() -> Built:
        full, _ = fitted(life, best)
        frontier = _explore(life, best, full)
        bundle = compressing.apply(full, chosen(frontier))
        blobs = [life.registry.store.put_blob(item.to_bytes()) for item in (bundle, full)]
        return Built(bundle=blobs[0], full=blobs[1], frontier=frontier)

    return kept(life, "build", deciding, Built, make)


def fitted(life: Life, trial: Trial) -> tuple[Bundle, Pipeline]:
    """Train a trial's configuration on all training rows and prove its graph row by row."""
    dataset = life.dataset
    if trial.id not in life.fits:
        life.fits[trial.id] = building.build(
            dataset,
            trial,
            rows=dataset.train,
            statistics=life.statistics,
            lineage=_lineage(life, trial),
            threads=threads(life.config),
            check_rows=dataset.test,
        )
    return life.fits[trial.id]


def _explore(life: Life, best: Trial, full: Bundle) -> Frontier:
    dataset, fold = life.dataset, life.dataset.folds[0]
    probe, _ = building.build(
        dataset,
        best,
        rows=fold.train,
        statistics=life.statistics,
        lineage=full.lineage,
        threads=threads(life.config),
        check_rows=fold.valid[:1],
    )
    return compressing.explore(
        probe,
        life.config.compression.techniques,
        tensors=dataset.rows(fold.valid),
        y=dataset.y[fold.valid],
        metric=life.metric,
        max_loss=life.config.compression.max_loss,
        seed=life.config.seed,
    )


def chosen(frontier: Frontier) -> Candidate:
    """Return the candidate that was chosen."""
    return next(candidate for candidate in frontier.candidates if candidate.chosen)


def _lineage(life: Life, trial: Trial) -> Lineage:
    record = as_record(trial)
    record.pop("seconds")
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    sections = {"name", "goal", "search", "compression", "seed"}
    configuration = life.config.model_dump(mode="json", by_alias=True, include=sections)
    configuration["data"] = life.config.data.model_dump(
        mode="json", by_alias=True, exclude={"source"}
    )
    return Lineage(
        run=life.run,
        data_sha256=life.dataset.sha256,
        source=os.path.basename(life.dataset.source.rstrip("/")),
        seed=life.config.seed,
        ledger=life.ledger.digest(),
        configuration=configuration,
        trial=record,
        packages=packages,
    )


# ----------------------------------------------------------------------- evaluate, bless, explain


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the test rows say: the file that is shipped, its evaluation and its blessing."""

    bundle: str
    evaluation: Evaluation
    blessing: Blessing


def prove(life: Life, built: Built) -> Proof:
    """Evaluate and bless the compressed bundle; ship the full one where only that is blessed.

    The test rows are read once: every bundle concerned predicts them in this one stage.
    """
    champion = _reigning(life, built)
    deciding = {
        "bundles": [built.bundle, built.full],
        "champion": champion.bundle if champion else "",
        "goal": life.config.goal.model_dump(mode="json"),
    }

    def make() -> Proof:
        first = _prove_one(life, built, built.bundle, champion)
        if first.blessing.blessed or built.bundle == built.full:
            return first
        second = _prove_one(life, built, built.full, champion)
        return second if second.blessing.blessed else first

    return kept(life, "evaluate", deciding, Proof, make)


def _reigning(life: Life, built: Built) -> Version | None:
    """Return the version promoted last that is not this very model from an earlier session."""
    for promotion in reversed(life.registry.promotions(life.config.name)):
        version = life.registry.version(life.config.name, promotion.number)
        if version.run != life.run or version.bundle not in (built.bundle, built.full):
            return version
    return None


def load(life: Life, sha256: str) -> Bundle:
    """Read a bundle of this run back from the store, its hash checked."""
    return Bundle.from_bytes(life.registry.store.get_blob(sha256), sha256=sha256)


def _prove_one(life: Life, built: Built, sha256: str, champion: Version | None) -> Proof:
    evaluation, reason = _evaluation(life, sha256, champion)
    candidate = chosen(built.frontier)
    if sha256 == built.full:
        candidate = built.frontier.candidates[0]
    blessing = blessings.bless(
        evaluation,
        life.config.goal,
        bundle_bytes=len(life.registry.store.get_blob(sha256)),
        row_microseconds=candidate.row_microseconds,
    )
    if reason:
        check = Check(name="champion", passed=False, statement=reason)
        blessing = Blessing(blessed=False, checks=(*blessing.checks, check))
    return Proof(bundle=sha256, evaluation=evaluation, blessing=blessing)


def _evaluation(life: Life, sha256: str, champion: Version | None) -> tuple[Evaluation, str]:
    """Return the evaluation on the test rows, and why there is no comparison where one is due."""
    dataset = life.dataset
    rows, truth = dataset.test, dataset.y[dataset.test]
    classes = len(dataset.schema.classes)
    judge = partial(
        evaluations.evaluate,
        task=dataset.schema.task,
        metric=life.metric,
        seed=life.config.seed,
        confidence=life.config.goal.confidence,
    )
    trained = dataset.y[dataset.train]
    baseline = baseline_prediction(trained, classes, len(rows), metric=life.metric)
    runner = Runner(load(life, sha256), threads=threads(life.config))
    predictions = runner.predict(dataset.rows(rows))
    slices = slicing.slices(dataset.frame, dataset.schema, rows)
    if champion is None:
        return judge(truth, predictions, baseline=baseline, slices=slices), ""
    rival = champions.rival(life.registry, champion, dataset)
    if rival.reason:
        return judge(truth, predictions, baseline=baseline, slices=slices), rival.reason
    new = rival.unseen
    known = (rival.name, rival.predictions)
    if new.all():
        return judge(truth, predictions, baseline=baseline, champion=known, slices=slices), ""
    whole = judge(truth, predictions, baseline=baseline, slices=slices)
    part = judge(
        truth[new],
        predictions[new],
        baseline=baseline[new],
        champion=(rival.name, rival.predictions[new]),
    )
    told = f"{rival.name} on {new.sum():,} rows it was not trained on"
    return replace(whole, champion=told, champion_gain=part.champion_gain), ""


def explain(life: Life, built: Built, proof: Proof, best: Trial) -> Explanation:
    """Say what the shipped bundle's predictions rest on."""

    def make() -> Explanation:
        dataset = life.dataset
        rows = dataset.test
        return attribution.explain(
            Runner(load(life, proof.bundle), threads=threads(life.config)).predict,
            dataset.rows(rows),
            dataset.y[rows],
            life.metric,
            task=dataset.schema.task,
            unit=dataset.schema.classes[-1] if dataset.schema.classes else dataset.schema.target,
            seed=life.config.seed,
            exact=_exact(life, built, proof, best),
            rows=_EXPLAINED_ROWS,
            shuffled=_shuffled_rows(load(life, proof.bundle)),
        )

    return kept(life, "explain", proof.bundle, Explanation, make)


def _shuffled_rows(bundle: Bundle) -> int:
    """Return how many rows to shuffle for the importances: fewer where the graph is large.

    A row costs in proportion to the graph, and every column is shuffled several times; 2,000 rows
    of a graph of 15 MB took a minute.
    """
    return int(np.clip(_SHUFFLED_BYTES / len(bundle.graph), 200, 2000))


def _exact(life: Life, built: Built, proof: Proof, best: Trial) -> attribution.Exact | None:
    """Return the winner's own contributions for the rows to explain, where its family has any.

    A truncated bundle keeps the first rounds of the model, and so do its contributions.
    """
    _, pipeline = fitted(life, best)
    keep = 1.0
    if proof.bundle != built.full:
        keep = float(chosen(built.frontier).parameters.get("keep") or 1.0)
    x = pipeline.features.transform(life.dataset.rows(life.dataset.test[:_EXPLAINED_ROWS]))
    rounds = kept_rounds(best.rounds, keep)
    found = pipeline.family.contributions(pipeline.model, x, rounds)
    if found is None:
        return None
    return attribution.Exact(contributions=found, columns=pipeline.features.columns)


def audit(life: Life, proof: Proof) -> Audit:
    """Compare the groups of the protected columns."""
    protected = life.config.goal.protected
    dataset = life.dataset

    def make() -> Audit:
        runner = Runner(load(life, proof.bundle), threads=threads(life.config))
        return fairness.audit(
            dataset.y[dataset.test],
            runner.predict(dataset.rows(dataset.test)),
            dataset.frame.iloc[dataset.test],
            dataset.schema,
            metric=life.metric,
            protected=protected,
            seed=life.config.seed,
        )

    return kept(life, "audit", [proof.bundle, protected], Audit, make)
