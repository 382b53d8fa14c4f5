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
from raymm.errors import DataError
from raymm.features.dealing import together
from raymm.features.pipeline import Features
from raymm.models.quick import Quick

Floats = npt.NDArray[np.float32]

ROWS, FEWEST = 15_000, 2_000
"""Rows of a fold to train on, and as many to be judged by: the most, and the least where columns or
classes are many."""
FOLDS = 3
ROUNDS, LEAST_ROUNDS = 200, 20
BLOCKS = 20
"""Parts of a fold's groups or times that chance is reckoned by."""
TREES = 1_000
"""Of one try, all classes together."""
WORK = 2e8
"""Rows by features by trees of one try; some two seconds of one thread."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """A fold's rows: features to train on and to be judged by, and the numbers that they are of.

    ``part`` deals the rows to be judged by, shape (n,), where those of a part are of the same
    groups or times and err alike; None where each row stands for itself.
    """

    features: Features
    x: Floats
    y: npt.NDArray[Any]
    valid_x: Floats
    valid_y: npt.NDArray[Any]
    part: npt.NDArray[np.int64] | None = None
    tensors: dict[str, npt.NDArray[Any]] = field(repr=False)
    valid_tensors: dict[str, npt.NDArray[Any]] = field(repr=False)

    @cached_property
    def sources(self) -> tuple[frozenset[str], ...]:
        """The columns that each feature is made of."""
        return tuple(map(frozenset, self.features.sources))

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
        try:
            features, matrix = Bench(dataset, train).features("ordinal")
        except DataError:  # none differs between these rows
            return [], 0
        tensors, valid_tensors = dataset.rows(train), dataset.rows(valid)
        one = Try(
            features=features,
            x=matrix.x,
            y=quick.target(matrix.y),
            valid_x=features.transform(valid_tensors),
            valid_y=quick.target(dataset.y[valid]),
            part=together(dataset, valid, BLOCKS, generator),
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
    tries: Sequence[Try],
    before: npt.NDArray[np.float64],
    after: npt.NDArray[np.float64],
    sure: float,
) -> Score:
    """Return by which share of it the loss is lower, with so many standard errors each side.

    In regression errors are compared, as a few large squares would hide what all other rows show;
    where the squares are what counts, and grow, the lower end is not above 0. Rows of one part of a
    try are one observation.
    """
    lower = before - after
    whole = max(float(before.mean()), 1e-300)
    value, error = float(lower.mean()) / whole, standard_error(tries, lower) / whole
    low, high = value - sure * error, value + sure * error
    if quick.mean(after) >= quick.mean(before):
        low = min(low, 0.0)
    return Score(metric="loss", value=value, low=low, high=high, level=math.erf(sure / 2**0.5))


def standard_error(tries: Sequence[Try], values: npt.NDArray[np.float64]) -> float:
    """Return the standard error of the mean of what all tries' rows to be judged by have."""
    own = values - values.mean()
    sums, start = [], 0
    for one in tries:
        rows = own[start : start + len(one.valid_y)]
        sums.append(rows if one.part is None else np.bincount(one.part, rows))
        start += len(rows)
    parts = np.concatenate(sums)
    return float(np.sqrt(np.sum(parts**2) * len(parts) / max(1, len(parts) - 1)) / len(values))


def saved(gain: Score) -> str:
    """Say by how much the loss is lower, and what that is at least."""
    value, low = 100 * gain.value, 100 * gain.low
    if value <= 0:
        return f"the loss on validation rows rises by {-value:.3g} %"
    sure = f"at least {low:.3g} % with {50 + 50 * gain.level:.0f} % confidence"
    return f"the loss on validation rows falls by {value:.3g} % ({sure})"
