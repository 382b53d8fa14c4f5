"""Another point of a version's frontier as a new version: blessed anew on the same test rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from raymm import champions, proving, refitting, release, stages
from raymm.allowance import allowed
from raymm.artifacts import (
    Anomaly,
    Blessing,
    Candidate,
    Dataset,
    Evaluation,
    Explanation,
    Frontier,
    Notify,
    Progress,
    Recipe,
    Trials,
    Version,
    from_record,
)
from raymm.bundle import parity
from raymm.bundle.packed import Bundle
from raymm.compression import frontier as compressing
from raymm.compression.agreement import require_agreement
from raymm.config import RunConfig, parse
from raymm.data import ingest, split, statistics
from raymm.errors import ConfigError, DataError, NotFound, RegistryError
from raymm.evaluation.metrics import metric_for
from raymm.explanation import attribution
from raymm.registry.versions import Registry
from raymm.search import account
from raymm.search.ledger import Ledger
from raymm.stages import Built, Life

Kind = TypeVar("Kind")

_EXPLAINED_ROWS, _SHUFFLED_ROWS = 50, 1000
_HARD_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A new version, the point that it is, and what the test rows say of it."""

    version: Version
    candidate: Candidate
    evaluation: Evaluation
    blessing: Blessing
    report: str


def frontier_of(registry: Registry, version: Version) -> Frontier:
    """Return the compressed forms that were measured for a version.

    Raises
    ------
    NotFound
        When it has none.
    RegistryError
        When its record is damaged.
    """
    return _part(registry, version, "frontier", Frontier)


def wanted(found: Frontier, pick: str) -> Candidate:
    """Return the candidate of a number (from 1, as they are printed) or of a technique.

    Of several of one technique it is the smallest whose loss surely is allowed, else the one that
    surely loses least.

    Raises
    ------
    ConfigError
        When there is no such candidate.
    """
    count = len(found.candidates)
    if pick.isdecimal() and 1 <= int(pick) <= count:
        return found.candidates[int(pick) - 1]
    named = [one for one in found.candidates if one.technique == pick]
    if not named:
        known = ", ".join(dict.fromkeys(one.technique for one in found.candidates))
        raise ConfigError(
            f"--pick must be a number from 1 to {count} or one of {known}, but got {pick!r}."
        )
    good = [one for one in named if one.loss.high <= allowed(found)]
    if good:
        return min(good, key=lambda one: one.bytes)
    return min(named, key=lambda one: one.loss.high)


def pick(
    storage: str, name: str, number: int, choice: str, *, source: str | None, notify: Notify
) -> Picked:
    """Make another point of a version's frontier a new version of its model.

    The bundle before compression is read from the store, compressed as the candidate was, and
    judged on the run's test rows beside the reigning champion. Nothing is promoted.

    Of a version that was trained on all rows it is the proven bundle that is compressed and judged,
    as the test rows are new to that one alone; a form that is blessed is then trained on all rows
    and compressed in the same way, as the run's ``goal.refit`` asks for.

    Parameters
    ----------
    choice : str
        As for `wanted`.
    source : str, optional
        Where the table of the run is now.

    Raises
    ------
    DataError
        When the table is not the one that the version was made of.
    ConfigError, NotFound, RegistryError
        When there is no such candidate or version, or the run's records are gone.
    """
    registry = Registry(storage)
    version = registry.version(name, number)
    found = frontier_of(registry, version)
    candidate = wanted(found, choice)
    stored = Bundle.from_bytes(registry.bundle(version), sha256=version.bundle)
    config = _config(stored, version, storage, source)
    notify(Progress(stage="data", message=f"reading {config.data.source}"))
    dataset = _dataset(stored, config)
    with Ledger.open(storage, version.run) as ledger:
        life = Life(
            config=config,
            run=version.run,
            dataset=dataset,
            statistics=statistics.reference(dataset),
            metric=metric_for(found.metric, dataset.schema.task),
            registry=registry,
            ledger=ledger,
            notify=notify,
        )
        return _proven(life, version, found, candidate)


def _proven(life: Life, version: Version, found: Frontier, candidate: Candidate) -> Picked:
    """Compress, judge and register."""
    life.notify(Progress(stage="compress", message=candidate.technique))
    ended = account.end_of(life.ledger)
    try:
        return _registered(life, version, found, candidate)
    finally:
        if ended is not None:  # the run stays finished, whatever became of the pick
            account.close(life.ledger, stopped_by=ended.get("stopped_by", ""))


def _registered(life: Life, version: Version, found: Frontier, candidate: Candidate) -> Picked:
    built = _built(life, version, found, candidate)
    stages.kept(life, "pick", [built.bundle, built.full], Built, lambda: built)
    # The picked form alone is judged: the one before compression is not to take its place.
    proof = proving.prove(life, replace(built, full=built.bundle))
    explanation, audit = _explanation(life, proof.bundle), stages.audit(life, proof.bundle)
    recipe = _part(life.registry, version, "recipe", Recipe)
    recipe, built, proof = refitting.refit(life, recipe, built, proof)
    made, report = release.register(
        life,
        (_part(life.registry, version, "trials", Trials), recipe),
        built,
        proof,
        explanation,
        audit,
        _anomalies(life.registry, version),
        picked=True,
    )
    return Picked(
        version=made,
        candidate=candidate,
        evaluation=proof.evaluation,
        blessing=proof.blessing,
        report=report,
    )


def _built(life: Life, version: Version, found: Frontier, candidate: Candidate) -> Built:
    """Return the bundle before compression and the candidate's form of it, both stored.

    Raises
    ------
    ParityError
        When the form's trees or networks do not add up as they should.
    """
    full = _full(life, version)
    store, train = life.registry.store, life.dataset.train
    bundle = Bundle.from_bytes(store.get_blob(full), sha256=full)
    rows = stages.trained_rows(life.dataset, train, life.metric, life.config.seed)
    made = compressing.apply(bundle, candidate, rows)
    generator = np.random.default_rng(life.config.seed)
    schema, real = life.dataset.schema, life.dataset.rows(train)
    hard = parity.adversarial(real, schema, generator=generator, count=_HARD_ROWS)
    require_agreement(made, hard)
    chosen = tuple(replace(one, chosen=one is candidate) for one in found.candidates)
    return Built(
        bundle=store.put_blob(made.to_bytes()),
        full=full,
        frontier=replace(found, candidates=chosen),
        plain=bundle.plain_bytes,
    )


def _full(life: Life, version: Version) -> str:
    """Return the SHA-256 of the bundle that a version was compressed from.

    A version that was picked itself is known by the record that `pick` leaves in the ledger.
    """
    known = champions.proven_of(version)
    for record in reversed(life.ledger.records("stage")):
        built = record["record"]
        if record["name"] in ("build", proving.REBUILD, "pick") and known in (
            built["bundle"],
            built["full"],
        ):
            return str(built["full"])
    raise NotFound(
        f"the ledger of run {version.run} does not tell what {version.name}@{version.number} was "
        "compressed from. Run raymm run again with its configuration."
    )


def _config(stored: Bundle, version: Version, storage: str, source: str | None) -> RunConfig:
    """Return the configuration of the run that made a version, as its lineage tells it."""
    raw = {**stored.lineage.configuration, **version.summary.get("settings", {})}
    raw["data"] = {**raw["data"], "source": source or version.summary["source"]}
    return parse({**raw, "storage": storage})


def _dataset(stored: Bundle, config: RunConfig) -> Dataset:
    """Read the table that a bundle was made of, and split it as it was split then."""
    table = ingest.table(config.data)
    if table.sha256 != stored.lineage.data_sha256:
        raise DataError(
            f"{config.data.source} is not the table that the version was made of: its content has "
            "changed. Say where the same table is with --source."
        )
    schema = replace(stored.schema, decision=())
    return split.again(table, schema, config.data, seed=config.seed)


def _explanation(life: Life, sha256: str) -> Explanation:
    """Say what the picked bundle's predictions rest on, by its predictions alone."""
    rows, schema = life.dataset.test, life.dataset.schema

    def make() -> Explanation:
        return attribution.explain(
            stages.runner(life, sha256).judge,
            life.dataset.rows(rows),
            life.dataset.y[rows],
            life.metric,
            task=schema.task,
            unit=schema.classes[-1] if schema.classes else schema.target,
            seed=life.config.seed,
            rows=_EXPLAINED_ROWS,
            shuffled=_SHUFFLED_ROWS,
        )

    return stages.kept(life, "explain", ["picked", sha256], Explanation, make)


def _part(registry: Registry, version: Version, name: str, kind: type[Kind]) -> Kind:
    """Read a record that lies beside a version."""
    try:
        return from_record(kind, json.loads(registry.part(version, f"{name}.json")))
    except (ValueError, TypeError, KeyError) as error:
        place = f"{version.name}@{version.number}"
        raise RegistryError(f"the {name} of {place} cannot be read: {error}.") from error


def _anomalies(registry: Registry, version: Version) -> tuple[Anomaly, ...]:
    records = json.loads(registry.part(version, "anomalies.json"))
    return tuple(from_record(Anomaly, record) for record in records)
