"""What a student learns from: soft labels of rows, and rows that are made.

Of the rows themselves the soft labels are out-of-fold ones: a model is too sure of the rows that
it was trained on, and repeats their labels. They are mixed with the true labels (Hinton, Vinyals &
Dean 2015, "Distilling the knowledge in a neural network", section 2). Made rows take some values
of a row that is near, and the bundle tells what they are (Bucila, Caruana & Niculescu-Mizil 2006,
"Model compression", section 4, with values taken as they are rather than drawn around).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Schema, Tensors
from raymm.bundle.packed import Bundle
from raymm.compression.compressor import Rows
from raymm.compression.parsed import runner_of

Floats = npt.NDArray[np.float64]

MOST_ROWS = 20_000
"""Rows that are learned from at most, drawn by the seed."""
MADE, MOST_MADE = 3, 30_000
"""Rows that are made for each of those, and at most."""
MOST_CELLS = 1_500_000
"""Rows times classes, of the rows and of the made ones, at most."""
SOFT = 0.3
"""What part of the target of a row is its soft label; the rest is its label. With more of it
trees of 60 rounds and 16 leaves lost on every table that was tried."""
SWAPPED = 0.1
"""Chance of each value of a made row to be the near row's; with 0.3 and more, students lost."""
NEAR = 32
"""Rows of which the nearest is taken."""
_WIDEST = 64
"""Columns by which rows are near at most, drawn by the seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Rows and what is to be said of them.

    Attributes
    ----------
    tensors : mapping of column name to array, shape (n,)
    y : shape (n,)
        Class numbers, or values.
    target : float64, shape (n, classes) or (n, 1)
        Soft and true labels mixed, as probabilities or values.
    made : mapping of column name to array, shape (m,)
    made_target : float64, shape (m, classes) or (m, 1)
    """

    tensors: Tensors
    y: npt.NDArray[np.generic]
    target: Floats
    made: Tensors
    made_target: Floats


def labels_alone(schema: Schema, rows: Rows) -> Lesson:
    """Return the same rows as `lesson_of`, with their labels and without made ones."""
    chosen = _chosen(rows, len(schema.classes))
    tensors, y = {name: values[chosen] for name, values in rows.tensors.items()}, rows.y[chosen]
    true = _true(schema, y)
    nothing = {name: values[:0] for name, values in tensors.items()}
    return Lesson(tensors=tensors, y=y, target=true, made=nothing, made_target=true[:0])


def lesson_of(bundle: Bundle, rows: Rows) -> Lesson:
    """Return what a bundle teaches; the same bundle and rows teach the same."""
    alone = labels_alone(bundle.schema, rows)
    runner = runner_of(bundle)
    if rows.soft is None:
        soft = runner.predict(alone.tensors)
    else:
        soft = rows.soft(bundle.lineage, _chosen(rows, len(bundle.schema.classes)))
    shape = alone.target.shape
    # Of classes they are probabilities; float32 sums of weights may be a step above 1.
    ends = (0.0, 1.0) if bundle.schema.classes else (-np.inf, np.inf)
    generator = np.random.default_rng([rows.seed, 11])
    names = [column.name for column in bundle.schema.features]
    own = {name: alone.tensors[name] for name in names}
    made = mixtures(own, generator, min(MADE * len(alone.y), _most(shape[1])))
    share = np.clip(np.asarray(soft, np.float64).reshape(shape), *ends)
    told = runner.predict(made).astype(np.float64).reshape(-1, shape[1])
    return Lesson(
        tensors=alone.tensors,
        y=alone.y,
        # Twice, as 0.3 and 0.7 of 1 may add up to more.
        target=np.clip(SOFT * share + (1 - SOFT) * alone.target, *ends),
        made=made,
        made_target=np.clip(told, *ends),
    )


def mixtures(
    tensors: Tensors, generator: np.random.Generator, count: int
) -> dict[str, npt.NDArray[np.generic]]:
    """Make rows: each a row with some of its values replaced by those of a row near it.

    Near is the nearest of `NEAR` rows drawn at random, by the difference of ranks of numbers and
    by how many words differ.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        At least one row.
    count : int
        How many to make.
    """
    places = _places(tensors, generator)
    size = len(places)
    own = np.resize(generator.permutation(size), count)
    near, least = own.copy(), np.full(count, np.inf, np.float32)
    for _ in range(NEAR):
        other = generator.integers(0, size, count)
        apart = np.minimum(np.abs(places[own] - places[other]), 1.0).sum(axis=1)
        closer = (apart < least) & (other != own)
        near[closer], least[closer] = other[closer], apart[closer]
    made = {}
    for name, values in tensors.items():
        swapped = generator.random(count) < SWAPPED
        made[name] = values[np.where(swapped, near, own)]
    return made


def _places(tensors: Tensors, generator: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return numbers as their ranks from 0 to 1, and words and missing values far apart."""
    names = list(tensors)
    if len(names) > _WIDEST:
        names = [names[k] for k in np.sort(generator.choice(len(names), _WIDEST, replace=False))]
    columns = []
    for name in names:
        values = pd.Series(tensors[name])
        if values.dtype == object or not pd.api.types.is_numeric_dtype(values.dtype):
            columns.append(pd.factorize(values)[0].astype(np.float32))
        else:
            columns.append(values.rank(pct=True).fillna(-1).to_numpy(np.float32))
    return np.stack(columns, axis=1)


def _chosen(rows: Rows, classes: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the rows that are learned from, in order."""
    most = min(MOST_ROWS, _most(max(1, classes)))
    if len(rows.y) <= most:
        return np.arange(len(rows.y))
    drawn = np.random.default_rng([rows.seed, 10]).choice(len(rows.y), most, replace=False)
    return np.sort(drawn)


def _most(outputs: int) -> int:
    """Return how many rows there are made at most; of the others there are no more either."""
    return min(MOST_MADE, MOST_CELLS // (2 * outputs))


def _true(schema: Schema, y: npt.NDArray[np.generic]) -> Floats:
    if not schema.classes:
        return np.asarray(y, np.float64)[:, None]
    return np.eye(len(schema.classes))[np.asarray(y, np.int64)]
