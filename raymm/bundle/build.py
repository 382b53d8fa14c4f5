"""From the trials that are worth it to a proven bundle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raymm.artifacts import Dataset, Indices, Lineage, Recipe, Statistics
from raymm.bundle.blend import Blend, fit
from raymm.bundle.graph import to_graph
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import adversarial, check
from raymm.bundle.run import Runner

ADVERSARIAL_ROWS = 500


def build(
    dataset: Dataset,
    recipe: Recipe,
    *,
    rows: Indices,
    statistics: Statistics,
    lineage: Lineage,
    threads: int,
    check_rows: Indices | None,
    blend: Blend | None = None,
) -> tuple[Bundle, Blend]:
    """Train what a recipe is made of, write it as a graph and prove the graph.

    Parameters
    ----------
    dataset : Dataset
    recipe : Recipe
        Each trial's configuration is trained for its ``rounds``, with ``lineage.seed``.
    rows : int64, shape (n,)
        Rows to train on.
    statistics, lineage
        Packed with the graph.
    threads : int
        Threads that training may use.
    check_rows : int64, shape (m,)
        Rows on which graph and pipeline are compared; their targets are not looked at. With None
        nothing is proven: for a graph that is measured and does not ship.
    blend : Blend, optional
        What came of training, where that is done already.

    Returns
    -------
    Bundle, Blend

    Raises
    ------
    BundleError
        When the graph cannot be built or run.
    ParityError
        When graph and pipeline differ on ``check_rows`` or on adversarial rows.
    """
    blend = blend or fit(dataset, rows, recipe, seed=lineage.seed, threads=threads)
    bundle = write(blend, recipe, statistics=statistics, lineage=lineage)
    if check_rows is not None:
        _prove(blend, Runner(bundle, threads=threads), dataset, rows, check_rows, lineage.seed)
    return bundle, blend


def write(blend: Blend, recipe: Recipe, *, statistics: Statistics, lineage: Lineage) -> Bundle:
    """Write what was trained as a bundle; nothing is proved of it yet.

    Of columns that the model does not see, such as ids and addresses, the schema keeps the name and
    the kind alone: a bundle goes where the table must not.

    Raises
    ------
    BundleError
        When the graph cannot be built.
    """
    columns = tuple(
        replace(
            one,
            # Two words of a boolean are how it is read, and nobody's secret.
            categories=one.categories if one.kind == "boolean" else (),
            example=None,
            minimum=None,
            maximum=None,
        )
        if one.role == "ignored"
        else one
        for one in blend.schema.columns
    )
    return Bundle(
        graph=to_graph(blend, recipe.decision),
        schema=replace(blend.schema, columns=columns, decision=recipe.decision),
        statistics=statistics,
        lineage=lineage,
    )


def _prove(
    pipeline: Blend,
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
