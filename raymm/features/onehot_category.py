"""Categories as one column each, for models that add up weights."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm.artifacts import Column
from raymm.features.ordinal_category import count_words, rare_below
from raymm.features.transform import Transform
from raymm.onnx_builder import FLOAT, ML_DOMAIN, GraphBuilder
from raymm.plugins import transform

LARGEST = 50
"""Most columns that one category column may make, "other" and "missing" not counted."""


@transform("onehot_category")
class OneHotCategory(Transform):
    """A column for each of the most frequent categories, one for all others, one for missing.

    The columns "other" and "missing" are there even where training rows fill neither, since a
    later row may; a feature that is constant in training is then dropped by the features as a
    whole, and such a row reads 0 everywhere.
    """

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.categories: tuple[str, ...] = ()

    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn the most frequent categories; ties go by the alphabet."""
        positions, words = count_words(values)
        counts = np.bincount(positions, minlength=len(words))
        order = np.argsort(-counts, kind="stable")
        least = rare_below(len(positions))
        common = [words[i] for i in order if words[i] and counts[i] >= least]
        self.categories = tuple(common[:LARGEST])
        self._index = pd.Index([*self.categories, ""], dtype=object)
        return self

    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return zeros and ones, shape (n, k)."""
        found = self._index.get_indexer(pd.Index(values, dtype=object))
        found[found < 0] = len(self.categories) + 1
        result = np.zeros((len(found), len(self.categories) + 2), dtype=np.float32)
        result[np.arange(len(found)), found] = 1.0
        return result

    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add a LabelEncoder to positions and compare them with 0 … k - 1."""
        size = len(self.categories) + 2
        place = builder.node(
            "LabelEncoder",
            [tensor],
            domain=ML_DOMAIN,
            keys_strings=list(self._index),
            values_int64s=list(range(size - 1)),
            default_int64=size - 1,
        )
        places = builder.constant(np.arange(size)[None, :], np.int64)
        return builder.node("Cast", [builder.node("Equal", [place, places])], to=FLOAT)

    @property
    def names(self) -> tuple[str, ...]:
        """``column = category`` for each."""
        words = (*self.categories, "(missing)", "(other)")
        return tuple(f"{self.column.name} = {word}" for word in words)
