"""The stages of a life that are kept: each is done once, recorded in the ledger, and then read.

A stage's key is a hash of everything that decides its result, so a changed configuration does
the stage anew and an unchanged one never does.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import (
    Audit,
    Candidate,
    Dataset,
    Explanation,
    Finding,
    Frontier,
    Indices,
    Lineage,
    MetricLike,
    Notify,
    Progress,
    Recipe,
    Statistics,
    as_record,
    from_record,
    recipe_of,
)
from raymm.audit import fairness
from raymm.bundle import build as building
from raymm.bundle.blend import Blend, mixed
from raymm.bundle.packed import Bundle
from raymm.bundle.pipeline import Pipeline
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.compression import parsed
from raymm.compression.compressor import Rows
from raymm.compression.judging import NONE
from raymm.compression.schedule import remaining
from raymm.compression.spread import by_rows
from raymm.compression.truncate import kept_rounds
from raymm.config import RunConfig
from raymm.evaluation.compressed import Pair, foretold
from raymm.evaluation.metrics import Metric
from raymm.explanation import attribution
from raymm.forms import kept_share, require_parity
from raymm.idle import cpus, idle_cpus
from raymm.oof import PARTS, crossed
from raymm.registry.versions import Registry
from raymm.search.ledger import Ledger

_PACKAGES = (
    *("raymm", "lightgbm", "xgboost", "xgboost-cpu", "catboost", "scikit-learn", "scipy"),
    *("numpy", "onnxruntime"),
)
_EXPLAINED_ROWS = 50
_SHUFFLED_BYTES = 4e9
EXPLORING, EXPLORING_LEAST = 0.2, 2.0
"""Share of the run so far that measuring compressed forms may take, and the least seconds: a run is
to be at most a quarter longer than without compression, and a form may take longer than foreseen
(at 0.22, runs became 20 to 25 % longer)."""

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
    fits: dict[str, tuple[Bundle, Blend]] = field(default_factory=dict)
    """What this process has already trained on all training rows, by recipe."""
    probes: dict[str, Pipeline] = field(default_factory=dict)
    """What this process has already trained on the first fold, by trial."""
    runners: dict[str, tuple[Bundle, Runner]] = field(default_factory=dict)
    """What this process has already read from the store, by SHA-256, ready to predict."""
    tested: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """What these said of the test rows, by SHA-256."""
    weighed: tuple[Finding, ...] = ()
    """What was decided of the features before the search."""
    spent: float = 0.0
    """Seconds that deciding it took, which the search has less."""
    began: float = field(default_factory=time.monotonic)
    """When this process began with it; a run that goes on began before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The winner as a bundle: SHA-256 of the file that is shipped and of the file before it was
    compressed, how the choice was made, and the bytes of the latter with its graph as it is.
    """

    bundle: str
    full: str
    frontier: Frontier
    plain: int = 0


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
    """Return how many threads a fit in this process may use: one in deterministic mode.

    Else ``ray.cpus``, or what this process is given: a container's limit counts.
    """
    return 1 if config.search.parallel == 1 else config.ray.cpus or cpus()


def free_threads(config: RunConfig) -> int:
    """Return `threads`, less what other processes keep busy just now."""
    return idle_cpus(threads(config))


# ------------------------------------------------------------------------------- build, compress


def build(life: Life, recipe: Recipe) -> Built:
    """Train a recipe on all training rows, put it into a bundle, and compress that.

    What to keep is chosen on validation rows, with a bundle that was trained without them. Test
    rows are left alone, so what is said of them holds for the very model that ships.
    """
    deciding = {
        "recipe": recipe.deciding(),
        "compression": life.config.compression.model_dump(mode="json"),
        # Named where there are any, so that what was built without them is found again.
        **life.config.goal.model_dump(mode="json", include={"limits"}, exclude_defaults=True),
    }

    def make() -> Built:
        began = time.monotonic()
        full, blend = fitted(life, recipe)
        found = _explore(life, recipe, full, time.monotonic() - began)
        return compressed(life, full, blend, found)

    return kept(life, "build", deciding, Built, make)


def compressed(life: Life, full: Bundle, blend: Blend, found: Frontier) -> Built:
    """Compress a bundle as was chosen, prove that its graph does what it should, and store both."""
    dataset, limits, seed = life.dataset, life.config.goal.limits, life.config.seed
    rows = trained_rows(dataset, dataset.train, life.metric, seed)
    valid = dataset.rows(dataset.folds[0].valid)
    proven = partial(require_parity, dataset=dataset, rows=dataset.train, blend=blend, seed=seed)
    before = None if chosen(found).technique == NONE else parsed.runner_of(full)
    bundle, frontier = compressing.applied(full, found, rows, valid, limits, proven)
    stored = whole = life.registry.store.put_blob(bundle.to_bytes())
    if before is not None and bundle is not full:
        whole = life.registry.store.put_blob(full.to_bytes())
        life.tested[whole] = by_rows(before.predict, dataset.rows(dataset.test))
    parsed.forget()
    return Built(bundle=stored, full=whole, frontier=frontier, plain=full.plain_bytes)


def fitted(life: Life, recipe: Recipe) -> tuple[Bundle, Blend]:
    """Train a recipe on all training rows and prove its graph row by row."""
    dataset, key = life.dataset, json.dumps(recipe.deciding(), sort_keys=True)
    if key not in life.fits:
        life.fits[key] = building.build(
            dataset,
            recipe,
            rows=dataset.train,
            statistics=life.statistics,
            lineage=lineage_of(life, recipe),
            threads=free_threads(life.config),
            check_rows=dataset.test,
        )
    return life.fits[key]


def _explore(life: Life, recipe: Recipe, full: Bundle, took: float) -> Frontier:
    """Choose how to compress a bundle that took so many seconds to train."""
    started = time.monotonic()
    allowed = _allowed(life, took)
    dataset, fold = life.dataset, life.dataset.folds[0]
    trained = [life.probes.get(one.trial.id) for one in recipe.members]
    probe, _ = building.build(
        dataset,
        recipe,
        rows=fold.train,
        statistics=life.statistics,
        lineage=full.lineage,
        threads=free_threads(life.config),
        check_rows=None,
        blend=mixed([one for one in trained if one], recipe) if all(trained) else None,
    )
    rows = trained_rows(dataset, fold.train, life.metric, life.config.seed)
    return compressing.explore(
        probe,
        life.config.compression.techniques,
        trained=replace(rows, soft_seconds=_soft_seconds(life, recipe)),
        tensors=dataset.rows(fold.valid),
        y=dataset.y[fold.valid],
        metric=life.metric,
        max_loss=life.config.compression.max_loss,
        seed=life.config.seed,
        limits=life.config.goal.limits,
        seconds=life.config.search.time if allowed is None else None,
        left=remaining(allowed, started),
        beside=partial(_beside, life, full),
    )


def _beside(
    life: Life, full: Bundle, made: npt.NDArray[Any], whole: npt.NDArray[Any], y: npt.NDArray[Any]
) -> str:
    """Say why the proof is likely to refuse a compressed form that the metric finds good."""
    decision = full.schema.decision
    return foretold(
        Pair(truth=y, made=made, full=whole, decision=decision, seed=life.config.seed),
        task=life.dataset.schema.task,
        metric=life.metric,
        max_loss=life.config.compression.max_loss,
    )


def _allowed(life: Life, took: float) -> float | None:
    """Return how many seconds measuring forms may take: a share of what came before, which is at
    least what weighing features, searching, and training the winner on all rows took.

    None in deterministic mode, where no clock is to decide, and where it is not known.
    """
    searches = [one for one in life.ledger.records("stage") if one["name"] == "search"]
    if life.config.search.parallel == 1 or not searches:
        return None
    before = float(searches[-1]["record"].get("seconds") or 0.0) + life.spent + took
    return max(EXPLORING_LEAST, EXPLORING * max(before, time.monotonic() - life.began))


def _soft_seconds(life: Life, recipe: Recipe) -> float:
    """Return what out-of-fold labels of a recipe are likely to take, one thread for each part."""
    if life.config.search.parallel == 1:
        return 0.0
    folds, threads_ = len(life.dataset.folds), threads(life.config)
    one = sum(member.trial.seconds for member in recipe.members) / folds
    return one * PARTS / min(PARTS, threads_)


def trained_rows(dataset: Dataset, rows: Indices, metric: MetricLike, seed: int) -> Rows:
    """Return what compression may fit to: the rows that a bundle was trained on."""

    def soft(lineage: Lineage, chosen: Indices) -> npt.NDArray[Any]:
        return crossed(dataset, rows, recipe_of(lineage.trial, lineage.recipe), chosen, seed=seed)

    return Rows(tensors=dataset.rows(rows), y=dataset.y[rows], metric=metric, seed=seed, soft=soft)


def chosen(frontier: Frontier) -> Candidate:
    """Return the candidate that was chosen."""
    return next(candidate for candidate in frontier.candidates if candidate.chosen)


def lineage_of(life: Life, recipe: Recipe, *, refit: bool = False) -> Lineage:
    """Return where a recipe's bundle comes from, or with ``refit`` that of all rows.

    What is trained without the test rows is the same whatever ``goal.refit`` asks for, and so
    are its bytes: the setting is named in the bundle of all rows alone.
    """
    deciding = recipe.deciding()
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
    configuration["goal"].pop("refit")
    configuration["goal"].update({"refit": "all"} if refit else {})
    return Lineage(
        run=life.run,
        data_sha256=life.dataset.sha256,
        source=os.path.basename(life.dataset.source.rstrip("/")),
        seed=life.config.seed,
        ledger=life.ledger.digest(),
        configuration=configuration,
        trial=deciding["members"][0]["trial"],
        recipe={} if recipe.plain else deciding,
        packages=packages,
    )


def load(life: Life, sha256: str) -> Bundle:
    """Read a bundle of this run back from the store, its hash checked; once in a process."""
    return _ready(life, sha256)[0]


def runner(life: Life, sha256: str) -> Runner:
    """Return what predicts by a bundle of this run; see `load`."""
    return _ready(life, sha256)[1]


def _ready(life: Life, sha256: str) -> tuple[Bundle, Runner]:
    if sha256 not in life.runners:
        bundle = Bundle.from_bytes(life.registry.store.get_blob(sha256), sha256=sha256)
        life.runners[sha256] = bundle, Runner(bundle, threads=free_threads(life.config))
    return life.runners[sha256]


def explain(life: Life, built: Built, shipped: str, recipe: Recipe) -> Explanation:
    """Say what the shipped bundle's predictions rest on."""

    def make() -> Explanation:
        dataset = life.dataset
        return attribution.explain(
            runner(life, shipped).judge,
            dataset.rows(dataset.test),
            dataset.y[dataset.test],
            life.metric,
            task=dataset.schema.task,
            unit=dataset.schema.classes[-1] if dataset.schema.classes else dataset.schema.target,
            seed=life.config.seed,
            exact=_exact(life, built, shipped, recipe),
            rows=_EXPLAINED_ROWS,
            shuffled=_shuffled_rows(load(life, shipped)),
        )

    return kept(life, "explain", shipped, Explanation, make)


def _shuffled_rows(bundle: Bundle) -> int:
    """Return how many rows to shuffle, several times for each column: fewer of large graphs.

    A row costs in proportion to the graph: 2,000 of one of 15 MB took a minute.
    """
    return int(np.clip(_SHUFFLED_BYTES / len(bundle.graph), 200, 2000))


def _exact(life: Life, built: Built, shipped: str, recipe: Recipe) -> attribution.Exact | None:
    """Return the models' own contributions for the rows to explain, where they have any.

    They are those of the bundle that ships: a truncated one keeps the first rounds of each model,
    and so do its contributions; one with other leaves has none, and the graph itself is asked.
    """
    share = 1.0 if shipped == built.full else kept_share(chosen(built.frontier))
    if share is None or recipe.decision:
        return None
    blend = fitted(life, recipe)[1]
    rows = life.dataset.rows(life.dataset.test[:_EXPLAINED_ROWS])
    rounds = [kept_rounds(one.trial.rounds, share) for one in recipe.members]
    found = blend.contributions(rows, rounds)
    if found is None:
        return None
    return attribution.Exact(contributions=found[0], columns=found[1])


def audit(life: Life, shipped: str) -> Audit:
    """Compare the groups of the protected columns."""
    protected, dataset = life.config.goal.protected, life.dataset

    def make() -> Audit:
        if not protected:
            return Audit(groups=(), gaps=())
        return fairness.audit(
            dataset.y[dataset.test],
            runner(life, shipped).judge(dataset.rows(dataset.test)),
            dataset.frame.iloc[dataset.test],
            dataset.schema,
            metric=life.metric,
            protected=protected,
            seed=life.config.seed,
        )

    return kept(life, "audit", [shipped, protected], Audit, make)
