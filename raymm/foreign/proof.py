"""What rows that nothing was fitted to or chosen by say of the form that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Candidate, Check, Dataset, Frontier
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.schedule import told
from raymm.errors import ParityError
from raymm.evaluation import slices as slicing
from raymm.evaluation.compressed import Pair, compressed
from raymm.evaluation.metrics import Metric
from raymm.milder import milder
from raymm.sections import Limits

FEWEST = 200
"""Rows of a proof: of fewer hardly anything is sure, so they are better fitted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The rows of a table, as they serve a model that was trained elsewhere.

    Attributes
    ----------
    fit : int64
        Techniques that fit again do so on these.
    judge : int64
        Half of all: these judge the forms, and one is chosen by them.
    proof : int64
        Nothing is fitted to these or chosen by them; empty where they would be too few.
    """

    fit: npt.NDArray[np.int64]
    judge: npt.NDArray[np.int64]
    proof: npt.NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset) -> Parts:
        """Take those of the first fold that validate for the proof, if they are enough."""
        fold = dataset.folds[0]
        if len(fold.valid) < FEWEST:
            return cls(fit=dataset.train, judge=dataset.test, proof=dataset.test[:0])
        return cls(fit=fold.train, judge=dataset.test, proof=fold.valid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is shipped, the frontier that says so, and what the proof's rows say of it.

    Attributes
    ----------
    bundle : Bundle
    frontier : Frontier
        With what is shipped as the one that was chosen.
    checks : tuple of Check
        Of each form that was proven, in their order; the last one is of what is shipped, unless
        that is the model as it was.
    """

    bundle: Bundle
    frontier: Frontier
    checks: tuple[Check, ...] = ()


def prove(
    dataset: Dataset,
    parts: Parts,
    found: Frontier,
    make: Callable[[Candidate], Bundle],
    *,
    metric: Metric,
    seed: int,
) -> Proof:
    """Hold the chosen form against the model as it was, by the proof's rows.

    As in a run: only what is surely worse by more than is allowed counts, in the metric, the log
    loss, the calibration and every slice. Where the form is refused, one that surely loses less is
    tried, once, and after that the model is shipped as it was.

    Parameters
    ----------
    make : callable
        Returns a form, proven to add up.
    """
    whole = found.candidates[0]
    first = next(one for one in found.candidates if one.chosen)
    made = make(first)
    if first is whole or not len(parts.proof):
        return Proof(bundle=made, frontier=found)
    full = make(whole)
    check = partial(_check, dataset, parts.proof, full, found, metric=metric, seed=seed)
    checks = [check(first, made)]
    shipped = first
    if not checks[0].passed:
        shipped, made = whole, full
        second = milder(found, Limits())
        if second is not None and (other := _made(make, second)) is not None:
            checks.append(check(second, other))
            if checks[-1].passed:
                shipped, made = second, other
    candidates = tuple(replace(one, chosen=one is shipped) for one in found.candidates)
    return Proof(bundle=made, frontier=replace(found, candidates=candidates), checks=tuple(checks))


def _made(make: Callable[[Candidate], Bundle], form: Candidate) -> Bundle | None:
    try:
        return make(form)
    except ParityError:
        return None


def _check(
    dataset: Dataset,
    rows: npt.NDArray[np.int64],
    full: Bundle,
    found: Frontier,
    form: Candidate,
    made: Bundle,
    *,
    metric: Metric,
    seed: int,
) -> Check:
    tensors = dataset.rows(rows)
    pair = Pair(
        truth=dataset.y[rows],
        made=Runner(made).predict(tensors),
        full=Runner(full).predict(tensors),
        seed=seed,
    )
    slices = slicing.slices(dataset.frame, dataset.schema, rows)
    return compressed(
        pair,
        task=dataset.schema.task,
        metric=metric,
        max_loss=found.max_loss,
        slices=slices,
        name=told(form.technique, form.parameters),
    )
