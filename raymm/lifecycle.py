"""The whole life of a model, from a table to a blessed version.

>>> from raymm.lifecycle import run
>>> from raymm.config import parse
>>> parse({"data": {"source": "churn.csv", "target": "Churn"}}).name
'churn'
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from raymm import (
    fallback,
    featuring,
    labels,
    milder,
    recipes,
    refitting,
    release,
    searching,
    stages,
)
from raymm.artifacts import (
    Anomaly,
    Audit,
    Blessing,
    Dataset,
    Evaluation,
    Explanation,
    Frontier,
    Notify,
    Progress,
    Recipe,
    Schema,
    Statistics,
    Table,
    Trials,
    Version,
    from_record,
    recipe_of,
)
from raymm.audit import fairness
from raymm.bundle import build as building
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.config import RunConfig, default_storage, parse
from raymm.counts import counted
from raymm.data import enough, ingest, schema, skew, split, statistics, validation
from raymm.data.guessed import Guessed
from raymm.errors import DataError
from raymm.evaluation.metrics import Metric, default_metric, metric_for
from raymm.features.columns import encode
from raymm.prediction import champion
from raymm.registry.versions import Registry
from raymm.search import account
from raymm.search.ledger import Ledger


def _silent(_: Progress) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: each attribute is what a stage made.

    Attributes
    ----------
    packed_bytes, uncompressed_bytes : int
        What the winner's file takes before compression, packed and with its graph as it is.
    """

    config: RunConfig
    run: str
    dataset: Dataset
    statistics: Statistics
    anomalies: tuple[Anomaly, ...]
    trials: Trials
    recipe: Recipe
    bundle: Bundle
    packed_bytes: int
    uncompressed_bytes: int
    frontier: Frontier
    evaluation: Evaluation
    blessing: Blessing
    explanation: Explanation
    audit: Audit
    version: Version
    promoted: bool
    report: str
    seconds: float

    @property
    def schema(self) -> Schema:
        """The columns and what is predicted."""
        return self.bundle.schema

    @cached_property
    def _runner(self) -> Runner:
        return Runner(self.bundle, compiled=True)

    def predict(self, data: pd.DataFrame) -> list[Any]:
        """Return a label or value for each row of a table with the training table's columns."""
        return self._runner.labels(self._runner.predict(encode(data, self.schema)))

    def predict_proba(self, data: pd.DataFrame) -> np.ndarray:
        """Return probabilities, shape (n, classes), in the order of ``schema.classes``."""
        return self._runner.predict(encode(data, self.schema))

    def summary(self) -> dict[str, Any]:
        """Return what ``raymm run --json`` prints, as plain JSON values."""
        return {
            "run": self.run,
            "name": self.config.name,
            "version": self.version.number,
            "blessed": self.blessing.blessed,
            "promoted": self.promoted,
            **self.version.summary,
            "packed_bytes": self.packed_bytes,
            "uncompressed_bytes": self.uncompressed_bytes,
            "trials": sum(trial.status != "failed" for trial in self.trials.trials),
            "resumed_trials": self.trials.resumed,
            "failed_trials": sum(trial.status == "failed" for trial in self.trials.trials),
            "search_seconds": round(self.trials.seconds, 2),
            "stopped_by": self.trials.stopped_by,
            "seconds": round(self.seconds, 2),
            "bundle_bytes": self.version.bundle_bytes,
            "report": self.report,
        }


def run(
    config: RunConfig,
    *,
    notify: Notify = _silent,
    table: Table | None = None,
    promote: bool | Callable[[], bool] = True,
) -> Run:
    """Live the whole life; the same call again reads what is finished and goes on from there.

    Parameters
    ----------
    config : RunConfig
    notify : callable of Progress
        Told at each stage and after each trial.
    table : Table, optional
        Instead of reading ``config.data.source``.
    promote : bool or function to bool
        Whether a blessed version becomes the champion; else it is a challenger to be tried. A
        function is asked when it would, which may be hours after the call.

    Raises
    ------
    DataError, SearchError, BundleError, RegistryError, Interrupted
        Each states what to do; finished trials and stages stay on disk.
    """
    started = time.monotonic()
    searching.require_names(config)
    dataset, anomalies = _dataset(config, notify, table)
    name = config.run_id(dataset.sha256)
    with Ledger.open(config.storage, name) as ledger, account.closed_on_error(ledger):
        life = _life(config, name, dataset, ledger, notify)
        _head(ledger, config, life.metric)
        life = featuring.decided(life)
        trials = searching.search(life)
        recipe, built = fallback.built(life, trials, recipes.compose(life, trials))
        anomalies += labels.anomalies(recipe.doubts, dataset.schema, labels.TRAINED_ON)
        built, proof = milder.proven(life, recipe, built)
        explanation = stages.explain(life, built, proof.bundle, recipe)
        audit = stages.audit(life, proof.bundle)
        recipe, built, proof = refitting.refit(life, recipe, built, proof)
        version, report = release.register(
            life, (trials, recipe), built, proof, explanation, audit, anomalies
        )
        promoted = release.promote(life, version, anew=promote)
        account.close(ledger)
    return Run(
        config=config,
        run=name,
        dataset=life.dataset,
        statistics=life.statistics,
        anomalies=anomalies,
        trials=trials,
        recipe=recipe,
        bundle=stages.load(life, proof.bundle),
        **release.sizes(life, built),
        frontier=built.frontier,
        evaluation=proof.evaluation,
        blessing=proof.blessing,
        explanation=explanation,
        audit=audit,
        version=version,
        promoted=promoted,
        report=report,
        seconds=time.monotonic() - started,
    )


def _dataset(
    config: RunConfig, notify: Notify, table: Table | None, known: Schema | None = None
) -> tuple[Dataset, tuple[Anomaly, ...]]:
    notify(Progress(stage="data", message=f"reading {config.data.source}"))
    table = table or ingest.table(config.data)
    guessed = Guessed(table)
    described = statistics.describe(table, guessed)
    fairness.require_columns(config.goal.protected, table.frame)
    if known is not None:
        columns = known
    elif config.data.schema_file:
        columns = split.agreed(schema.read(config.data.schema_file), config.data, table.frame)
    else:
        columns = schema.infer(table, described, config.data, guessed)
    parted = any(split.parting(columns, config.data))
    anomalies = validation.validate(
        table, columns, described, parted=parted, metric=config.goal.metric
    )
    validation.require_valid(anomalies)
    parts = split.split if known is None else split.again
    dataset = parts(table, columns, config.data, seed=config.seed)
    fewer = enough.told(table, dataset, config.data)
    rows, features = len(table.frame if fewer else dataset.y), len(columns.features)
    told = f"{counted(rows, 'row')}, {counted(features, 'feature')}, {columns.task}"
    notify(Progress(stage="data", message=told))
    for one in fewer:
        notify(Progress(stage="data", message=one.remedy))
    return dataset, (*anomalies, *fewer, *skew.skew(dataset))


def _life(
    config: RunConfig, name: str, dataset: Dataset, ledger: Ledger, notify: Notify
) -> stages.Life:
    return stages.Life(
        config=config,
        run=name,
        dataset=dataset,
        statistics=statistics.reference(dataset),
        metric=metric_for(_metric(config, dataset), dataset.schema.task),
        registry=Registry(config.storage),
        ledger=ledger,
        notify=notify,
    )


def _metric(config: RunConfig, dataset: Dataset) -> str:
    chosen = config.goal.metric
    return default_metric(dataset.schema.task) if chosen == "auto" else chosen


def _head(ledger: Ledger, config: RunConfig, metric: Metric) -> None:
    """Let the ledger say what it is about, so that it can be read alone."""
    if not ledger.records("run"):
        source = config.data.source
        ledger.append(
            "run", name=config.name, metric=metric.name, direction=metric.direction, source=source
        )


def again(name: str, source: str, changes: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that made the champion of a model, for newer data.

    Parameters
    ----------
    source : str
        The newer table.
    changes : mapping of dotted key to value
        As in `raymm.config.load`.

    Raises
    ------
    NotFound
        When there is no such model, or no champion.
    """
    storage = str(changes.get("storage") or default_storage())
    registry = Registry(storage)
    version = champion(registry, name)
    lineage = Bundle.from_bytes(registry.bundle(version), sha256=version.bundle).lineage
    raw = {**lineage.configuration, **version.summary.get("settings", {}), "storage": storage}
    raw["data"] = {**raw["data"], "source": source}
    return parse(raw, {key: value for key, value in changes.items() if key != "storage"})


def replay(
    storage: str, name: str, number: int, source: str | None = None
) -> tuple[bool, str, str]:
    """Rebuild a version from its lineage: same data, trial and seed.

    Returns
    -------
    bool, str, str
        Whether the bundles are equal byte for byte, the stored SHA-256 and the rebuilt one.

    Raises
    ------
    DataError
        When the table is not the one the version was made of.
    """
    registry = Registry(storage)
    version = registry.version(name, number)
    stored = Bundle.from_bytes(registry.bundle(version), sha256=version.bundle)
    lineage = stored.lineage
    raw = dict(lineage.configuration)
    raw["data"] = {**raw["data"], "source": source or version.summary["source"]}
    config = parse(raw)
    dataset, _ = _dataset(config, _silent, None, stored.schema)
    if dataset.sha256 != lineage.data_sha256:
        raise DataError(
            f"{config.data.source} is not the table that {name}@{number} was made of: its content "
            f"has changed. Say where the same table is with --source."
        )
    rows = refitting.rows_of(dataset, config.goal)
    full, _ = building.build(
        dataset,
        recipe_of(lineage.trial, lineage.recipe),
        rows=rows,
        statistics=statistics.reference(replace(dataset, train=rows)),
        lineage=lineage,
        threads=stages.threads(config),
        check_rows=dataset.test,
    )
    frontier = from_record(Frontier, json.loads(registry.part(version, "frontier.json")))
    rebuilt = compressing.apply(
        full,
        stages.chosen(frontier),
        stages.trained_rows(
            dataset,
            rows,
            metric_for(_metric(config, dataset), dataset.schema.task),
            config.seed,
        ),
    )
    for sha256 in (rebuilt.sha256, full.sha256):
        if sha256 == version.bundle:
            return True, version.bundle, sha256
    return False, version.bundle, rebuilt.sha256
