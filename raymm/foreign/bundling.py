"""A model that was trained elsewhere and a table it has not seen: a bundle, and smaller ones."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import (
    Candidate,
    Check,
    Column,
    Dataset,
    Frontier,
    Lineage,
    MetricLike,
    Notify,
    Progress,
    Schema,
    Table,
    Task,
)
from raymm.bundle import parity
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression import frontier as compressing
from raymm.compression.agreement import require_agreement
from raymm.compression.compressor import Rows
from raymm.data import ingest, kinds, schema, split, statistics
from raymm.errors import ConfigError, DataError, TargetError
from raymm.evaluation.compressed import Pair, foretold
from raymm.evaluation.metrics import Metric, baseline_prediction, metric_for
from raymm.features.columns import encode_target
from raymm.foreign.model import Facts, Foreign
from raymm.foreign.proof import FEWEST, Parts, prove
from raymm.foreign.reading import read
from raymm.prediction import unreadable
from raymm.sections import DataConfig

_SHOWN = 8
_HARD_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """What became of a model that was trained elsewhere.

    Attributes
    ----------
    facts : Facts
    frontier : Frontier
        Measured on the half of the rows that nothing was fitted to.
    full, bundle : Bundle
        The model as it was, and in the form that was chosen.
    notes : tuple of str
        What a person should know of how table and model were put together.
    checks : tuple of Check
        See `raymm.foreign.proof.Proof`; the frontier's chosen form is what passed.
    """

    facts: Facts
    frontier: Frontier
    full: Bundle
    bundle: Bundle
    notes: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def compress(  # noqa: PLR0913  (a model, a table, and what is allowed)
    model: str,
    data: str,
    target: str,
    *,
    metric: str = "auto",
    max_loss: float = 0.0005,
    techniques: Sequence[str] | Literal["auto"] = "auto",
    seed: int = 0,
    seconds: float | None = None,
    task: Task | None = None,
    notify: Notify = lambda event: None,
) -> Compressed:
    """Make a bundle of a model file and compress it over a table that it was not trained on.

    Half of the rows, drawn by the seed and stratified, judge and choose. Most of the others are for
    techniques that fit again, and the rest prove what was chosen (see `raymm.foreign.proof`).

    Parameters
    ----------
    seconds : float, optional
        How long forms may be measured, about. Without it all are, and the clock decides nothing:
        the same rows lead to the same choice.
    task : "binary", "multiclass" or "regression", optional
        What a model predicts whose file does not tell, as an ONNX graph's; else the target says.
    notify : callable, optional
        Is told which stage begins: data, compress and, where rows are held back for it, prove.

    Raises
    ------
    ConfigError
        When a metric or technique is not known, the file is no model, or tells another task.
    DataError
        When the table cannot be read, or lacks what the model reads.
    BundleError
        When the model cannot be taken over.
    ParityError
        When a graph says something else than the model, or does not add up as it should.
    """
    notify(Progress(stage="data", message=f"reading {data}"))
    foreign = read(model)
    _require_own(task, foreign.facts, model)
    table = ingest.read(data)
    dataset, notes = dataset_of(foreign, table, target, seed=seed, task=task)
    judge = metric_for(metric, dataset.schema.task)
    full, said = bundle_of(foreign, dataset)
    foreign.require_same(full, dataset)
    told = (*_missing(dataset.schema), *_rounded(dataset))
    notes = (*notes, *said, *told, *_doubts(full, dataset, judge))
    parts = Parts.of(dataset)
    fitted = Rows(tensors=dataset.rows(parts.fit), y=dataset.y[parts.fit], metric=judge, seed=seed)
    began = time.monotonic()
    notify(Progress(stage="compress", message=f"measuring forms on {len(parts.judge):,} rows"))
    found = compressing.explore(
        full,
        techniques,
        trained=fitted,
        tensors=dataset.rows(parts.judge),
        y=dataset.y[parts.judge],
        metric=judge,
        max_loss=max_loss,
        seed=seed,
        left=None if seconds is None else lambda: seconds - (time.monotonic() - began),
        beside=partial(_beside, dataset.schema.task, judge, max_loss, seed),
    )
    make = partial(_made, full, fitted, dataset, seed)
    _tell_proof(parts, notify)
    done = prove(dataset, parts, found, make, metric=judge, seed=seed)
    return Compressed(
        facts=foreign.facts,
        frontier=done.frontier,
        full=full,
        bundle=done.bundle,
        notes=(*notes, *_unproven(parts)),
        checks=done.checks,
    )


def _require_own(task: Task | None, facts: Facts, model: str) -> None:
    """Refuse a task that is not the one that the model's file tells."""
    if task and facts.task and task != facts.task:
        raise ConfigError(
            f"--task must be what {model} tells of itself, but it is {task}, and the "
            f"{facts.library} model was trained for {facts.task}. Leave --task out."
        )


def _made(full: Bundle, fitted: Rows, dataset: Dataset, seed: int, form: Candidate) -> Bundle:
    """Return a form of the model, proven to add up; ParityError where it does not."""
    made = compressing.apply(full, form, fitted)
    generator = np.random.default_rng(seed)
    real, kept = dict(dataset.tensors), dataset.schema
    require_agreement(made, parity.adversarial(real, kept, generator=generator, count=_HARD_ROWS))
    return made


def _tell_proof(parts: Parts, notify: Notify) -> None:
    """Tell who waits that the proof begins, where rows are held back for one."""
    if count := len(parts.proof):
        told = f"holding what is chosen against the model as it was, on {count:,} other rows"
        notify(Progress(stage="prove", message=told))


def _unproven(parts: Parts) -> tuple[str, ...]:
    """Say that what is told of the chosen form is of the rows that chose it."""
    if len(parts.proof):
        return ()
    judges = len(parts.judge)
    told = (
        f"{len(parts.fit) + judges:,} rows are too few to hold some back for a proof of the form "
        "that is chosen: what is told of it is of the rows that chose it"
    )
    if judges < FEWEST:
        # The rule of three, exactly: what befalls a share of rows is seen in none of n with the
        # probability (1 - share) ** n (Hanley & Lippman-Hand 1983), here one of 20.
        unseen = 1 - 0.05 ** (1 / judges)
        told += (
            f". These are {judges:,}, which can hardly decide: errors in {unseen:.0%} of all rows "
            f"may show in none of them. Give {2 * FEWEST:,} rows or more"
        )
    return (f"{told}.",)


def _beside(
    task: Task,
    metric: Metric,
    max_loss: float,
    seed: int,
    made: npt.NDArray[Any],
    whole: npt.NDArray[Any],
    y: npt.NDArray[Any],
) -> str:
    """Say why a form is not as good that the metric finds good, as the proof of a run would."""
    pair = Pair(truth=y, made=made, full=whole, decision=(), seed=seed)
    return foretold(pair, task=task, metric=metric, max_loss=max_loss)


def _missing(known: Schema) -> Iterator[str]:
    """Say which columns hold words that are no numbers, and were taken for missing values."""
    for column in known.features:
        odd = [repr(word) for word in column.missing if word.lower() not in kinds.MISSING]
        if odd:
            yield (
                f"{column.name}: {' and '.join(odd)} is taken for missing here and by the bundle. "
                "If it is a mistake in the table, mend it."
            )


def _rounded(dataset: Dataset) -> Iterator[str]:
    """Say which columns hold whole numbers that float32, in which graphs compare, cannot tell."""
    for column in dataset.schema.features:
        exact = pd.to_numeric(dataset.frame[column.name], errors="coerce").to_numpy(np.float64)
        lost = (np.abs(exact) > 2.0**24) & (exact.astype(np.float32) != exact)
        if lost.any():
            yield (
                f"{column.name}: {lost.mean():.0%} of its numbers are rounded, as a graph has 24 "
                "bits for each: predictions may differ from the library's. Train on smaller ones."
            )


def dataset_of(
    foreign: Foreign, table: Table, target: str, *, seed: int, task: Task | None = None
) -> tuple[Dataset, tuple[str, ...]]:
    """Return a table as the model reads it, in two halves, and what there is to say of it.

    Columns are found by their names; where the file has none, they are the table's in order. The
    ``task`` is asked for where the file does not tell it.

    Raises
    ------
    DataError
        When columns or classes are missing, or hold what the model cannot read.
    """
    facts = foreign.facts
    config = DataConfig(source=table.source, target=target, test=0.5)
    if facts.task or task:
        # A target of many whole numbers looks like values; the model says that they are classes.
        config = config.model_copy(update={"task": facts.task or task})
    try:
        known = schema.infer(table, statistics.describe(table), config)
    except TargetError as error:
        raise DataError(_unfit(facts, target, error)) from error
    names, notes = _columns(facts, table, target)
    task, classes = _classes(facts, known)
    columns = tuple(_number(known.column(name)) for name in names)
    made = Schema(
        columns=(*columns, known.column(target)), target=target, task=task, classes=classes
    )
    bad = unreadable(table.frame, made)
    if bad:
        raise DataError(
            "the model reads numbers, but the table holds others: "
            f"{'; '.join(bad[:_SHOWN])}. Give the table as the model was trained on it."
        )
    left = int((~encode_target(table.frame, made)[1]).sum())
    if left:
        told = "lacks a target and is" if left == 1 else "lack a target and are"
        notes = (*notes, f"{left:,} of {len(table.frame):,} rows {told} left out")
    return split.split(table, made, config, seed=seed), notes


def _unfit(facts: Facts, target: str, error: TargetError) -> str:
    """Say what the model predicts, what the target holds, and what helps: the task is its own."""
    asked = {"": "classes that repeat, or numbers", "regression": "the numbers"}
    wanted = asked.get(facts.task, "the classes")
    model = {
        "": "a model predicts classes that repeat or numbers",
        "regression": "the model predicts numbers",
    }.get(facts.task, f"the model tells {facts.classes} classes apart")
    trained = " that it was trained for" if facts.task else ""
    return (
        f'{model}, but the target "{target}" {error.holds}. Name the column of {wanted}{trained} '
        "with --target."
    )


def bundle_of(foreign: Foreign, dataset: Dataset) -> tuple[Bundle, tuple[str, ...]]:
    """Return the model as a bundle, and what there is to say of it.

    Raises
    ------
    BundleError
        When the model cannot be taken over.
    """
    x = np.stack([dataset.tensors[one.name] for one in dataset.schema.features], axis=1)
    note = foreign.settle(x[:10_000], dataset.schema)
    graph, kept = foreign.compressible(foreign.graph(dataset.schema), dataset)
    library = foreign.facts.library
    lineage = Lineage(
        run=f"foreign-{hashlib.sha256(graph).hexdigest()[:10]}",
        data_sha256=dataset.sha256,
        source=Path(dataset.source).name,
        seed=0,
        ledger="",
        configuration={},
        trial={"config": {"family": library.lower()}},
        packages={"raymm": version("raymm")},
    )
    bundle = Bundle(
        graph=graph,
        schema=dataset.schema,
        statistics=statistics.reference(dataset),
        lineage=lineage,
    )
    return bundle, (note, *kept) if note else kept


def _columns(facts: Facts, table: Table, target: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the table's columns in the model's order."""
    held = [str(name) for name in table.frame.columns if name != target]
    if not held:
        raise DataError(
            f"the table has no column beside {target}. Give those that the model was trained on."
        )
    if not facts.names:
        if facts.width and len(held) != facts.width:
            raise DataError(
                f"the model has {facts.width} columns without names, but the table has "
                f"{len(held)} beside {target}. Give the columns that it was trained on, in order."
            )
        told = (
            f"the model has no names of columns: the table's were taken in order, {held[0]} first"
        )
        return tuple(held), (told,)
    # LightGBM writes names with underscores in the place of spaces.
    plain = {name.replace(" ", "_"): name for name in held}
    found = [name if name in held else plain.get(name, "") for name in facts.names]
    missing = [name for name, column in zip(facts.names, found, strict=True) if not column]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"the table lacks {len(missing)} of the model's {len(found)} columns: "
            f"{', '.join(missing[:_SHOWN])}{more}. It has: {', '.join(held[: 2 * _SHOWN])}."
        )
    unused = sorted(set(held) - set(found))
    note = f"columns that the model does not read: {', '.join(unused[:_SHOWN])}"
    return tuple(found), (note,) if unused else ()


def _classes(facts: Facts, known: Schema) -> tuple[Task, tuple[str, ...]]:
    """Return the task, and the target's classes in order."""
    if facts.task == "regression":
        return "regression", ()
    if not facts.task:
        return known.task, known.classes
    if len(known.classes) != facts.classes:
        raise DataError(
            f"the model tells {facts.classes} classes apart, but the target {known.target} has "
            f"{len(known.classes) or 'numbers'}. Name the target that it was trained for, and give "
            "rows of every class."
        )
    return ("binary" if facts.classes == 2 else "multiclass"), known.classes


def _number(column: Column) -> Column:
    kind: Any = "boolean" if column.kind == "boolean" else "number"
    return replace(column, role="feature", kind=kind, reason="", format=None)


def _doubts(bundle: Bundle, dataset: Dataset, metric: MetricLike) -> tuple[str, ...]:
    """Say where a model is no better than nothing: its columns or classes may be others."""
    rows = dataset.test
    truth, classes = dataset.y[rows], len(dataset.schema.classes)
    score = metric(truth, Runner(bundle).predict(dataset.rows(rows)))
    trivial = baseline_prediction(dataset.y[dataset.train], classes, len(rows), metric=metric)  # type: ignore[arg-type]
    sign = 1 if metric.direction == "maximize" else -1
    if sign * (score - metric(truth, trivial)) > 0:
        return ()
    return (
        f"the model's {metric.name} on these rows is {score:.6g}, no better than a constant: its "
        "classes are taken in sorted order and its columns as told above; is that so?",
    )
