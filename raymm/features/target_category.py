"""Categories of many levels as what the target was like in each, and how frequent it is.

A level's statistic is the mean of the target over its rows, drawn towards the overall mean by as
many rows as the empirical Bayes estimate says: the variance within levels over that between them
(Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical attributes"; the
variances by the moments of a one-way layout, Searle, Casella & McCulloch 1992, section 3.6). A
target that differs between levels no more than chance would have it makes no statistic.

A training row must not see its own target: in its statistic it would find the answer, and on 4,000
levels without any effect a booster's log loss rises from 0.52 to 1.49. Its statistic is therefore
that of the other folds' rows (`training`), drawn towards the mean of all folds, so that no value
tells which fold a row lies in. Groups, and stretches of time, are whole in a fold. New rows get the
statistic of all training rows (`transform`).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column
from raymm.features.onehot_category import OneHotCategory
from raymm.features.ordinal_category import count_words
from raymm.features.transform import Transform
from raymm.onnx_builder import ML_DOMAIN, GraphBuilder
from raymm.plugins import transform

FEW = 20
"""Levels up to which a column is no case for statistics: their order or a column each serves."""
CROWDED = 200
"""Rows a level from which a row's own target hardly counts in the order of levels."""
LEVELS = 10_000
"""Most levels with a statistic of their own, the most frequent ones: the bundle holds them all."""
CLASSES = 10
"""Most classes whose share is a feature, the most frequent ones."""
FOLDS = 5
SIGNIFICANT = 2.0
"""Deviations by which the variance ratio must exceed 1, its value where levels do not matter."""
_WEAKEST, _STRONGEST = 1.0, 1e4


def suits(values: npt.NDArray[Any]) -> bool:
    """Return whether a category column, shape (n,), has many levels with few rows each."""
    levels = len(pd.unique(np.asarray(values, dtype=object)))
    return levels > FEW and len(values) < CROWDED * levels


def strength(
    groups: npt.NDArray[np.int64], target: npt.NDArray[np.float64], count: int
) -> float | None:
    """Return by how many rows a group's mean is drawn towards the overall one.

    Parameters
    ----------
    groups : int64, shape (n,)
        Each row's group, from 0 to before ``count``.
    target : float64, shape (n,)

    Returns
    -------
    float or None
        From 1 to 10,000 rows; None where the groups' means differ no more than by chance.
    """
    rows = np.bincount(groups, minlength=count).astype(np.float64)
    used, total = int((rows > 0).sum()), len(target)
    if used < 2 or total <= used:
        return None
    mean = np.bincount(groups, weights=target, minlength=count) / np.maximum(rows, 1.0)
    within = float(np.sum((target - mean[groups]) ** 2)) / (total - used)
    between = float(np.sum(rows * (mean - target.mean()) ** 2)) / (used - 1)
    if between <= within * (1.0 + SIGNIFICANT * np.sqrt(2.0 / (used - 1))):
        return None
    spread = (total - float(np.sum(rows**2)) / total) / (used - 1)
    return float(np.clip(within * spread / (between - within), _WEAKEST, _STRONGEST))


def _targets(y: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Return what is averaged, each of shape (n,), by a name for a person."""
    if not np.issubdtype(y.dtype, np.integer):
        return {"target mean": np.asarray(y, dtype=np.float64)}
    counts = np.bincount(y) if y.size else np.zeros(0, dtype=np.int64)
    if len(counts) <= 2:
        return {"target share": (y == 1).astype(np.float64)}
    most = np.sort(np.argsort(-counts, kind="stable")[:CLASSES])
    return {f"share of class {code}": (y == code).astype(np.float64) for code in most.tolist()}


class _Statistics(Transform):
    """A table of one row a level and one more for all others, shape (levels + 1, k)."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.strengths: dict[str, float] = {}

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the levels, and their statistics over all rows."""
        positions, words = count_words(values)
        counts = np.bincount(positions, minlength=len(words))
        most = np.sort(np.argsort(-counts, kind="stable")[:LEVELS])
        self._index = pd.Index([words[i] for i in most], dtype=object)
        groups, size = self._places(values), len(most) + 1
        found = {name: strength(groups, part, size) for name, part in _targets(y).items()}
        self.strengths = {name: rows for name, rows in found.items() if rows is not None}
        means = self._means(groups, _targets(y), np.ones(len(y), dtype=bool))
        rows = np.bincount(groups, minlength=size)
        rows[-1] = 0
        self._table = np.column_stack([*means, np.log1p(rows)]).astype(np.float32)
        return self

    def _places(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        found = self._index.get_indexer(pd.Index(values, dtype=object))
        return np.where(found < 0, len(self._index), found).astype(np.int64)

    def _means(
        self,
        groups: npt.NDArray[np.int64],
        targets: dict[str, npt.NDArray[np.float64]],
        used: npt.NDArray[np.bool_],
    ) -> list[npt.NDArray[np.float64]]:
        """Return each statistic over the rows used, shape (levels + 1,)."""
        size = len(self._index) + 1
        rows = np.bincount(groups[used], minlength=size)
        means = []
        for name, weight in self.strengths.items():
            target = targets[name]
            sums = np.bincount(groups[used], weights=target[used], minlength=size)
            means.append((sums + weight * target.mean()) / (rows + weight))
        return means

    def _crossed(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the table's entries, but with statistics of the rows of other folds."""
        groups, targets = self._places(values), _targets(y)
        made = self._table[groups]
        fold = self.fold
        if fold is None:
            fold = np.random.default_rng(0).permutation(len(y)) % FOLDS
        for number in range(FOLDS):
            inside = fold == number
            for place, mean in enumerate(self._means(groups, targets, ~inside)):
                made[inside, place] = mean[groups[inside]]
        return made

    def _look_up(self, builder: GraphBuilder, tensor: str, table: npt.NDArray[np.float32]) -> str:
        """Add a LabelEncoder to places and the table that they are looked up in."""
        flat = builder.node("Reshape", [tensor, builder.constant([-1], np.int64)])
        place = builder.node(
            "LabelEncoder",
            [flat],
            domain=ML_DOMAIN,
            keys_strings=list(self._index),
            values_int64s=list(range(len(self._index))),
            default_int64=len(self._index),
        )
        return builder.node("Gather", [builder.constant(table), place])

    @property
    def _statistic_names(self) -> tuple[str, ...]:
        return tuple(f"{self.column.name} {name}" for name in (*self.strengths, "rows"))


@transform("target_category")
class TargetCategory(_Statistics):
    """The statistics as they are; a missing value is a level like any other."""

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return each row's statistics and the logarithm of its level's rows, shape (n, k)."""
        return self._table[self._places(values)]

    def training(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, k), with statistics of the rows of other folds."""
        return self._crossed(values, y)

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the table."""
        return self._look_up(builder, tensor, self._table)

    @property
    def names(self) -> tuple[str, ...]:
        """One a statistic, and the number of rows."""
        return self._statistic_names


@transform("scaled_target_category")
class ScaledTargetCategory(_Statistics):
    """The statistics on a common scale, and a column each for the most frequent levels.

    A share is taken as its log-odds, which add up in a linear model. What no training row shows is
    taken as the nearest that one does: of levels with a hundred rows each, a new one with none
    would lie some fifty deviations off, and so would what is predicted for it.
    """

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the statistics, their scale over the training rows, and the frequent levels."""
        super().fit(values, y)
        self._frequent = OneHotCategory(self.column).fit(values, y)
        self._odds = np.issubdtype(y.dtype, np.integer)
        width = self._table.shape[1]
        self._centre = np.zeros(width, dtype=np.float32)
        self._spread = np.ones(width, dtype=np.float32)
        made = self._scaled(self._crossed(values, y)).astype(np.float64)
        spread = made.std(axis=0)
        self._centre = made.mean(axis=0).astype(np.float32)
        self._spread = np.where(spread > 1e-12, spread, 1.0).astype(np.float32)
        self._scaled_table = self._scaled(self._table)
        if len(made):
            low, high = made.min(axis=0), made.max(axis=0)
            scale = ((edge - self._centre) / self._spread for edge in (low, high))
            self._scaled_table[-1] = np.clip(self._scaled_table[-1], *scale)
        return self

    def _scaled(self, made: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        made = made.copy()
        if self._odds:
            share = np.clip(made[:, :-1], 1e-4, 1.0 - 1e-4)
            made[:, :-1] = np.log(share / (1.0 - share))
        scaled: npt.NDArray[np.float32] = (made - self._centre) / self._spread
        return scaled

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, k)."""
        return np.hstack(
            [self._scaled_table[self._places(values)], self._frequent.transform(values)]
        )

    def training(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return shape (n, k), statistics of the rows of other folds among them."""
        return np.hstack([self._scaled(self._crossed(values, y)), self._frequent.transform(values)])

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add the table and the columns of the frequent levels."""
        parts = [self._look_up(builder, tensor, self._scaled_table)]
        return builder.node("Concat", [*parts, self._frequent.to_onnx(builder, tensor)], axis=1)

    @property
    def names(self) -> tuple[str, ...]:
        """One a statistic, the number of rows, and ``column = level`` for each frequent one."""
        return (*self._statistic_names, *self._frequent.names)
