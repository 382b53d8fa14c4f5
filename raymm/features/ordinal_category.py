"""Categories as one whole number each, in an order that trees can cut well.

The order is that of the target among the category's rows: for two classes or a squared loss the
best split of a set of categories into two lies among the cuts of this order (Fisher 1958, "On
grouping for maximum homogeneity"), which an order by frequency does not give. With several
classes the order is that of the first principal component of the class shares (Coppersmith, Hong
& Hosking 1999). Shares are smoothed towards the overall ones by `SMOOTHING` rows, and categories
of few rows are put into one group, so that the order tells little of any single row's target.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column
from raymm.features.transform import Transform
from raymm.onnx_builder import ML_DOMAIN, GraphBuilder
from raymm.plugins import transform

SMOOTHING = 20.0


def rare_below(rows: int) -> int:
    """Return the number of rows under which a category is grouped: 1 % of ``rows``, 2 to 10."""
    return min(10, max(2, rows // 100))


def count_words(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return each row's position among the distinct words, and the words, sorted."""
    codes, words = pd.factorize(np.asarray(values, dtype=object), sort=False)
    found = [str(word) for word in words]
    order = sorted(range(len(found)), key=found.__getitem__)
    rank = np.empty(len(found), dtype=np.int64)
    rank[order] = np.arange(len(found))
    return rank[codes], [found[i] for i in order]


@transform("ordinal_category")
class OrdinalCategory(Transform):
    """One feature: the category's place in the order; rare and unseen share one, missing is NaN.

    Attributes
    ----------
    codes : dict of str to float
        The place of each category that has one of its own.
    other : float
        The place of all others.
    """

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.codes: dict[str, float] = {}
        self.other = 0.0

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the order."""
        positions, words = count_words(values)
        counts = np.bincount(positions, minlength=len(words))
        common = [
            i for i, word in enumerate(words) if word and counts[i] >= rare_below(len(positions))
        ]
        group = np.full(len(words), len(common), dtype=np.int64)
        group[common] = np.arange(len(common))
        present = np.array([word != "" for word in words], dtype=bool)[positions]
        score = _target_scores(group[positions][present], y[present], len(common) + 1)
        place = np.empty(len(common) + 1)
        place[np.argsort(score, kind="stable")] = np.arange(len(common) + 1)
        self.codes = {words[i]: float(place[k]) for k, i in enumerate(common)}
        self.other = float(place[-1])
        self._index = pd.Index([*self.codes, ""], dtype=object)
        self._table = np.array([*self.codes.values(), np.nan, self.other], dtype=np.float32)
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the places, shape (n, 1)."""
        found = self._index.get_indexer(pd.Index(values, dtype=object))
        return self._table[found][:, None]

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add one LabelEncoder."""
        return builder.node(
            "LabelEncoder",
            [tensor],
            domain=ML_DOMAIN,
            keys_strings=list(self._index),
            values_floats=[float(value) for value in self._table[:-1]],
            default_float=self.other,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The column's own name."""
        return (self.column.name,)

    @property
    def nominal(self) -> tuple[int, ...]:
        """The places."""
        return (len(self.codes) + 1,)


def _target_scores(
    groups: npt.NDArray[np.int64], y: npt.NDArray[Any], count: int
) -> npt.NDArray[np.float64]:
    """Return one number a group by which to order them, shape (count,)."""
    rows = np.bincount(groups, minlength=count).astype(np.float64)
    if y.size == 0:
        return np.zeros(count)
    if not np.issubdtype(y.dtype, np.integer):
        mean = float(np.mean(y))
        sums = np.bincount(groups, weights=y, minlength=count)
        return np.asarray((sums + SMOOTHING * mean) / (rows + SMOOTHING))
    classes = int(y.max()) + 1
    table = np.bincount(groups * classes + y, minlength=count * classes).reshape(count, classes)
    prior = np.bincount(y, minlength=classes) / y.size
    shares = (table + SMOOTHING * prior) / (rows + SMOOTHING)[:, None]
    if classes == 2:
        return np.asarray(shares[:, 1])
    weighted = (shares - prior) * np.sqrt(rows)[:, None]
    axis = np.linalg.svd(weighted, full_matrices=False)[2][0]
    axis = axis * (1.0 if axis[np.argmax(np.abs(axis))] >= 0 else -1.0)
    # Rounded, so that the last bits of the decomposition never decide between equal groups.
    return np.asarray(np.round((shares - prior) @ axis, 12))
