"""Out-of-fold predictions: what trials say of validation rows that they were not trained on.

Workers send values alone, so the few trials that are weighed are trained anew on the folds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Indices, Trial
from raymm.bundle.pipeline import Bench, Pipeline

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
        found = []
        for bench, tensors in zip(self._benches, self._tensors, strict=True):
            pipeline = bench.fit(
                trial.config, rounds=trial.rounds, seed=self._seed, threads=self._threads
            )
            self.first.setdefault(trial.id, pipeline)
            found.append(pipeline.predict(tensors).astype(np.float32))
        return np.concatenate(found)


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
