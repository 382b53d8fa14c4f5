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

from raymm.artifacts import Dataset, Indices, Trial
from raymm.bundle.pipeline import Bench, Pipeline
from raymm.idle import idle_cpus
from raymm.models.mlp import limited_threads

ROWS = 20_000
"""Validation rows that are predicted at most: on so many the standard error of a probability's
mean is below 0.004."""


class Folds:
    """The folds of a dataset, ready to train trials on.

    Attributes
    ----------
    truth : shape (n,)
        Class codes or values of the validation rows of all folds, one fold after the other; at
        most `ROWS` of them, drawn at random.
    first : mapping of trial's id to Pipeline
        What was trained on the first fold.
    """

    def __init__(self, dataset: Dataset, *, seed: int, threads: int) -> None:
        self._seed, self._threads = seed, threads
        self._benches = [Bench(dataset, fold.train) for fold in dataset.folds]
        rows = _drawn([fold.valid for fold in dataset.folds], np.random.default_rng([seed, 2]))
        self._tensors = [dataset.rows(part) for part in rows]
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


def _drawn(parts: list[Indices], generator: np.random.Generator) -> list[Indices]:
    """Return a share of each part where they hold more than `ROWS` rows together."""
    total = sum(map(len, parts))
    if total <= ROWS:
        return parts
    sizes = [max(1, ROWS * len(part) // total) for part in parts]
    return [
        np.sort(generator.choice(part, size, replace=False))
        for part, size in zip(parts, sizes, strict=True)
    ]
