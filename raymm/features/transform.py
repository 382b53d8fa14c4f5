"""The contract of a feature transform: ``fit``, ``transform``, ``to_onnx``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, Tensors
from raymm.onnx_builder import GraphBuilder


class Transform(ABC):
    """Turns one raw column into one or more float32 features.

    A transform is made for a column, fitted on training rows only, and then adds to the graph
    the nodes that do exactly what `transform` does: equal bit by bit wherever float32 allows.
    """

    name: ClassVar[str]
    fold: npt.NDArray[np.int64] | None = None
    """Set before `fit`: parts of the training rows, shape (n,), that must not tell each other's
    target; None where rows may be dealt at random. See `raymm.features.dealing`."""

    def __init__(self, column: Column) -> None:
        self.column = column

    @property
    def sources(self) -> tuple[str, ...]:
        """The raw columns that the features are made of."""
        return (self.column.name,)

    @property
    def origins(self) -> tuple[tuple[str, ...], ...]:
        """The raw columns that each feature is made of: `sources`, where it has none of its own."""
        return (self.sources,) * len(self.names)

    def take(self, tensors: Tensors) -> npt.NDArray[Any]:
        """Return the ``values`` that the other methods are given, shape (n,): the column's own."""
        return tensors[self.column.name]

    def take_onnx(self, builder: GraphBuilder, inputs: Mapping[str, str]) -> str:
        """Return what `take` does as a tensor, shape (n, 1), of the raw columns' tensors."""
        return inputs[self.column.name]

    @abstractmethod
    def fit(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> Self:
        """Learn from training rows, each array of shape (n,), and return self.

        ``values`` is the column's tensor as `raymm.artifacts.Tensors` describes.
        """

    @abstractmethod
    def transform(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return features of shape (n, k); k is `len(self.names)` and fixed by `fit`."""

    def training(self, values: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return the features of the rows that `fit` was given, for a model to learn from.

        What `transform` returns, unless that would show a row its own target.
        """
        return self.transform(values)

    @abstractmethod
    def to_onnx(self, builder: GraphBuilder, tensor: str) -> str:
        """Add nodes; ``tensor`` names the raw column, shape (n, 1). Returns float32 (n, k)."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The features' names, for a person: the column's name and what was made of it."""

    @property
    def nominal(self) -> tuple[int, ...]:
        """For each feature how many categories without an order it tells of; 0 for a number.

        A category is the whole part of the feature, from 0 on.
        """
        return (0,) * len(self.names)
