"""Out-of-fold predictions: what trials say of validation rows that they were not trained on.

Workers send values alone, so the few trials that are weighed are trained anew on the folds: one
fold in a thread, each fit with one, as threads that share a small fit wait for each other most of
the time. A fold that is alone shares what processors are idle.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Indices, Recipe, Trial
from raymm.bundle.blend import fit
from raymm.bundle.pipeline import Bench, Pipeline
from raymm.features.dealing import together
from raymm.idle import idle_cpus
from raymm.models.mlp import limited_threads

ROWS = 20_000
"""Validation rows that are predicted at most: on so many the standard error of a probability's
mean is below 0.004."""
RARE, MOST = 200, 100_000
"""More rows are, up to the second number, until so many of the rarer of two classes are likely to
be among them."""
PARTS = 3
"""Parts of training rows, each of which is predicted by what was trained on the others."""


def crossed(
    dataset: Dataset, rows: Indices, recipe: Recipe, chosen: Indices, *, seed: int
) -> npt.NDArray[np.float64]:
    """Return what a recipe says of rows that it was trained without, on the others of ``rows``.

    The rows are put into `PARTS` parts by the seed, groups and stretches of time whole, and the
    recipe is trained without each.

    Parameters
    ----------
    rows : int64, shape (n,)
        Row numbers of the dataset.
    recipe : Recipe
    chosen : int64, shape (m,)
        Which of them to predict, as places in ``rows``.

    Returns
    -------
    float64, shape (m, classes) or (m,)
    """
    part = together(dataset, rows, PARTS, np.random.default_rng([seed, 9]))
    if part is None:
        part = np.random.default_rng([seed, 9]).permutation(len(rows)) % PARTS
    numbers = np.unique(part).tolist()
    threads = idle_cpus(PARTS)

    def one(number: int) -> npt.NDArray[np.float64]:
        blend = fit(dataset, rows[part != number], recipe, seed=seed, threads=1)
        here = rows[chosen[part[chosen] == number]]
        return np.asarray(blend.predict(dataset.rows(here)), np.float64)

    pool = ThreadPoolExecutor(max(1, min(PARTS, threads)))
    try:
        # Set once around all: the fits set and reset what is one for the whole process.
        with limited_threads(1):
            found = list(pool.map(one, numbers))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    made = np.empty((len(chosen), *found[0].shape[1:]))
    for number, values in zip(numbers, found, strict=True):
        made[part[chosen] == number] = values
    return made


class Folds:
    """The folds of a dataset, ready to train trials on.

    Attributes
    ----------
    truth : shape (n,)
        Class codes or values of the validation rows of all folds, one fold after the other; at
        most `ROWS` of them, drawn at random.
    rows : int64, shape (n,)
        Their row numbers.
    first : mapping of trial's id to Pipeline
        What was trained on the first fold.
    """

    def __init__(self, dataset: Dataset, *, seed: int, threads: int) -> None:
        self._seed, self._threads = seed, threads
        self._benches = [Bench(dataset, fold.train) for fold in dataset.folds]
        valid = [fold.valid for fold in dataset.folds]
        rows = _drawn(valid, _wanted(dataset, valid), np.random.default_rng([seed, 2]))
        self._tensors = [dataset.rows(part) for part in rows]
        self.rows: Indices = np.concatenate(rows)
        self.truth: npt.NDArray[Any] = np.concatenate([dataset.y[part] for part in rows])
        self.first: dict[str, Pipeline] = {}

    def predict(self, trial: Trial) -> npt.NDArray[np.float32]:
        """Train a trial on each fold and return its predictions, shape (n, classes) or (n,).

        Raises
        ------
        ConfigError, DataError
            As `raymm.bundle.pipeline.fit`.
        """
        count = len(self._benches)
        if min(count, self._threads) == 1:
            threads = idle_cpus(self._threads)
            return np.concatenate([self._one(trial, fold, threads) for fold in range(count)])
        pool = ThreadPoolExecutor(min(count, self._threads))
        try:
            # Set once around all: the fits set and reset what is one for the whole process.
            with limited_threads(1):
                found = list(pool.map(lambda fold: self._one(trial, fold, 1), range(count)))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return np.concatenate(found)

    def _one(self, trial: Trial, fold: int, threads: int) -> npt.NDArray[np.float32]:
        pipeline = self._benches[fold].fit(
            trial.config, rounds=trial.rounds, seed=self._seed, threads=threads
        )
        if fold == 0:
            self.first.setdefault(trial.id, pipeline)
        return pipeline.predict(self._tensors[fold]).astype(np.float32)


def _wanted(dataset: Dataset, parts: list[Indices]) -> int:
    """Return how many rows are to be predicted; see `RARE`.

    They are drawn evenly, as probabilities and scores would be off with another share of a class.
    """
    if len(dataset.schema.classes) != 2:
        return ROWS
    codes = np.concatenate([dataset.y[part] for part in parts])
    rare = np.unique(codes, return_counts=True)[1].min()
    return int(np.clip(RARE * len(codes) / rare, ROWS, max(ROWS, MOST)))


def _drawn(parts: list[Indices], most: int, generator: np.random.Generator) -> list[Indices]:
    """Return a share of each part where they hold more than ``most`` rows together."""
    total = sum(map(len, parts))
    if total <= most:
        return parts
    sizes = [max(1, most * len(part) // total) for part in parts]
    return [
        np.sort(generator.choice(part, size, replace=False))
        for part, size in zip(parts, sizes, strict=True)
    ]
