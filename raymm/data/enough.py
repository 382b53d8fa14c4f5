"""How many rows of a table are trained and tested on: all, or a sample of a very large one.

Beyond some millions of rows a model gets better by little, and one trial takes minutes: on
14,000,000 rows of 17 features not one ended within two minutes, and the matrices of all trials
took 20 GB. Statistics and schema are those of all rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from raymm.artifacts import Anomaly, Dataset, Indices, Schema, Table
from raymm.sections import DataConfig

CELLS = 30_000_000
"""Rows times features up to which a table is taken whole where ``data.rows`` is "auto"."""
LEAST = 200_000
"""Rows that are taken whatever the number of features."""
RARE = 100
"""Rows of a class that are taken where it has them."""


def most(features: int, config: DataConfig) -> int | None:
    """Return how many rows are taken at most; None for all.

    >>> most(17, DataConfig(source="a.csv", target="y"))
    1764705
    """
    if config.rows == "all":
        return None
    return max(LEAST, CELLS // max(1, features)) if config.rows == "auto" else config.rows


def thinned(table: Table, schema: Schema, config: DataConfig, *, seed: int) -> Table:
    """Return the table, or a random sample of its rows whose target is known, in their order.

    The frame's index stays that of the table. A class keeps its share of the rows, and `RARE` of
    them where it has so many.
    """
    limit = most(len(schema.features), config)
    target = table.frame[schema.target]
    known = np.flatnonzero(target.notna().to_numpy())
    if limit is None or len(known) <= limit:
        return table
    codes = None if schema.task == "regression" else pd.factorize(target.iloc[known])[0]
    rows = known[_chosen(len(known), codes, limit, np.random.default_rng([seed, 7]))]
    return dataclasses.replace(table, frame=table.frame.iloc[rows])


def _chosen(
    count: int, codes: Indices | None, limit: int, generator: np.random.Generator
) -> Indices:
    taken = np.zeros(count, dtype=bool)
    taken[generator.choice(count, limit, replace=False)] = True
    if codes is not None:
        have = np.bincount(codes)
        got = np.bincount(codes[taken], minlength=len(have))
        for code in np.flatnonzero(got < np.minimum(RARE, have)):
            there = np.flatnonzero((codes == code) & ~taken)
            taken[generator.choice(there, min(RARE, have[code]) - got[code], replace=False)] = True
    return np.flatnonzero(taken).astype(np.int64)


def told(table: Table, dataset: Dataset, config: DataConfig) -> tuple[Anomaly, ...]:
    """Return what a person is told where a sample was taken."""
    limit = most(len(dataset.schema.features), config)
    if limit is None or int(table.frame[dataset.schema.target].notna().sum()) <= limit:
        return ()
    return (
        Anomaly(
            rule="rows",
            column="",
            observed=f"{len(table.frame):,} rows",
            allowed=f"{limit:,} rows to train and test on",
            remedy=(
                f"A random sample of {len(dataset.y):,} was taken; statistics and schema are of "
                "all. Set data.rows to all, or to a number, where time and memory allow more."
            ),
            severity="warning",
        ),
    )
