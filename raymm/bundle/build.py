"""From the best trial to a proven bundle."""

from __future__ import annotations

import numpy as np

from raymm.artifacts import Dataset, Indices, Lineage, Statistics, Trial
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import adversarial, check
from raymm.bundle.pipeline import Pipeline, fit
from raymm.bundle.run import Runner

ADVERSARIAL_ROWS = 500


def build(
    dataset: Dataset,
    trial: Trial,
    *,
    rows: Indices,
    statistics: Statistics,
    lineage: Lineage,
    threads: int,
    check_rows: Indices,
) -> tuple[Bundle, Pipeline]:
    """Train a trial's configuration, write it as a graph and prove the graph.

    Parameters
    ----------
    dataset : Dataset
    trial : Trial
        Its configuration is trained for its ``rounds``, with ``lineage.seed``.
    rows : int64, shape (n,)
        Rows to train on.
    statistics, lineage
        Packed with the graph.
    threads : int
        Threads that training may use.
    check_rows : int64, shape (m,)
        Rows on which graph and pipeline are compared; their targets are not looked at.

    Returns
    -------
    Bundle, Pipeline

    Raises
    ------
    BundleError
        When the graph cannot be built or run.
    ParityError
        When graph and pipeline differ on ``check_rows`` or on adversarial rows.
    """
    pipeline = fit(
        dataset, rows, trial.config, rounds=trial.rounds, seed=lineage.seed, threads=threads
    )
    bundle = Bundle(
        graph=to_graph(pipeline), schema=dataset.schema, statistics=statistics, lineage=lineage
    )
    _prove(pipeline, Runner(bundle, threads=threads), dataset, rows, check_rows, lineage.seed)
    return bundle, pipeline


def _prove(
    pipeline: Pipeline,
    runner: Runner,
    dataset: Dataset,
    rows: Indices,
    check_rows: Indices,
    seed: int,
) -> None:
    """Compare graph and pipeline on ``check_rows`` and on adversarial rows made of ``rows``.

    Raises
    ------
    ParityError
        When they differ by more than `raymm.bundle.parity.BOUND`.
    """
    hard = adversarial(
        dataset.rows(rows),
        dataset.schema,
        generator=np.random.default_rng(seed),
        count=ADVERSARIAL_ROWS,
    )
    spread = float(np.std(dataset.y[rows]))
    for tensors in (dataset.rows(check_rows), hard):
        check(pipeline, runner, tensors, spread=spread)
