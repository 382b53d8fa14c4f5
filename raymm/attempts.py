"""Quick tries on a table's folds: boosters grown on some rows and judged by others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Indices, Score
from raymm.bundle.pipeline import Bench
from raymm.features.pipeline import Features
from raymm.models.quick import Quick

Floats = npt.NDArray[np.float32]

ROWS, FEWEST = 15_000, 2_000
"""Rows of a fold to train on, and as many to be judged by: the most, and the least where columns or
classes are many."""
FOLDS = 3
ROUNDS, LEAST_ROUNDS = 200, 20
TREES = 1_000
"""Of one try, all classes together."""
WORK = 2e8
"""Rows by features by trees of one try; some two seconds of one thread."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """A fold's rows: features to train on and to be judged by, and the numbers that they are of."""

    features: Features
    x: Floats
    y: npt.NDArray[Any]
    valid_x: Floats
    valid_y: npt.NDArray[Any]
    tensors: dict[str, npt.NDArray[Any]] = field(repr=False)
    valid_tensors: dict[str, npt.NDArray[Any]] = field(repr=False)

    @cached_property
    def sources(self) -> tuple[frozenset[str], ...]:
        """The columns that each feature is made of."""
        parts = zip(self.features.transforms, self.features.kept, strict=True)
        return tuple(
            frozenset({part.column.name, getattr(part, "second", part.column).name})
            for part, kept in parts
            for _ in kept
        )

    def of(self, columns: frozenset[str]) -> npt.NDArray[np.int64]:
        """Return the places of the features that none of these columns is needed for."""
        return np.flatnonzero([not (made & columns) for made in self.sources])


def attempts(dataset: Dataset, quick: Quick, *, spare: int) -> tuple[list[Try], int]:
    """Return the folds to judge by and the rounds of boosters there; none where it is dear.

    ``spare`` is how many features may be added to the columns'.
    """
    wide = len(dataset.schema.features) + spare
    rounds = int(np.clip(WORK / (FEWEST * wide * quick.outputs), 0, ROUNDS))
    rounds = min(rounds, TREES // quick.outputs)
    if rounds < LEAST_ROUNDS:
        return [], 0
    rows = int(np.clip(WORK / (rounds * wide * quick.outputs), FEWEST, ROWS))
    found = []
    for number, fold in enumerate(dataset.folds[:FOLDS]):
        generator = np.random.default_rng([quick.seed, 6, number])
        train, valid = _few(fold.train, rows, generator), _few(fold.valid, rows, generator)
        features, matrix = Bench(dataset, train).features("ordinal")
        tensors, valid_tensors = dataset.rows(train), dataset.rows(valid)
        one = Try(
            features=features,
            x=matrix.x,
            y=matrix.y,
            valid_x=features.transform(valid_tensors),
            valid_y=dataset.y[valid],
            tensors=tensors,
            valid_tensors=valid_tensors,
        )
        found.append(one)
    return found, rounds


def _few(rows: Indices, most: int, generator: np.random.Generator) -> Indices:
    return rows if len(rows) <= most else np.sort(generator.choice(rows, most, replace=False))


def constant(quick: Quick, tries: Sequence[Try]) -> npt.NDArray[np.float64]:
    """Return the losses of the best constant prediction of each fold's training rows."""

    def nothing(_: int, one: Try) -> tuple[Floats, Floats]:
        return np.zeros((len(one.y), 1), np.float32), np.zeros((len(one.valid_y), 1), np.float32)

    return anew(quick, tries, 1, [nothing])[0]


def anew(
    quick: Quick,
    tries: Sequence[Try],
    rounds: int,
    makes: Sequence[Callable[[int, Try], tuple[Floats, Floats]]],
) -> list[npt.NDArray[np.float64]]:
    """Return the losses of boosters grown on what each of ``makes`` makes of each fold."""

    def one(place: tuple[int, int]) -> npt.NDArray[np.float64]:
        which, number = place
        fold = tries[number]
        x, valid = makes[which](number, fold)
        return quick.losses(quick.fit(x, fold.y, rounds), valid, fold.valid_y)

    places = [(which, number) for which in range(len(makes)) for number in range(len(tries))]
    found = dict(zip(places, quick.each(one, places), strict=True))
    return [
        np.concatenate([found[which, number] for number in range(len(tries))])
        for which in range(len(makes))
    ]


def compared(
    quick: Quick,
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    sure: float,
) -> Score:
    """Return by which share of it the loss is lower, with so many standard errors each side.

    In regression errors are compared, as a few large squares would hide what all other rows show;
    where the squares are what counts, and grow, the lower end is not above 0.
    """
    lower = before - after
    whole = max(float(before.mean()), 1e-300)
    value, error = float(lower.mean()) / whole, float(lower.std()) / len(lower) ** 0.5 / whole
    low, high = value - sure * error, value + sure * error
    if quick.mean(after) >= quick.mean(before):
        low = min(low, 0.0)
    return Score(metric="loss", value=value, low=low, high=high, level=math.erf(sure / 2**0.5))


def saved(gain: Score) -> str:
    """Say by how much the loss is lower, and what that is at least where it surely is."""
    value, least = 100 * gain.value, 100 * gain.low
    told = f"falls by {value:.3g}" if value >= 0 else f"rises by {-value:.3g}"
    sure = f" (at least {least:.3g} %)" if least > 0 else ""
    return f"the loss on validation rows {told} %{sure}"
