"""What is known of a model that was trained elsewhere, and what is asked of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Schema, Task
from raymm.bundle.packed import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a model file says of itself.

    Attributes
    ----------
    library : str
    task : Task or "" where the target has to tell
    names : tuple of str
        Of the columns it reads, in order; empty where the file does not say.
    width : int
        How many columns it reads; 0 where the file does not say.
    classes : int
        How many it tells apart; 0 for regression, and where the target has to tell.
    bytes : int
        The file's size.
    """

    library: str
    task: Task | str
    names: tuple[str, ...]
    width: int
    classes: int
    bytes: int


class Foreign(ABC):
    """A model that was trained elsewhere."""

    facts: Facts

    def settle(self, x: npt.NDArray[np.float32], schema: Schema) -> str:
        """Learn from rows, float32 (n, d), what the file does not say; returns a note, or "".

        Raises
        ------
        BundleError
            When the model does not fit the target.
        """
        return ""

    @abstractmethod
    def graph(self, schema: Schema) -> bytes:
        """Return the graph of a bundle of this schema, whose features are the model's columns.

        Raises
        ------
        BundleError
            When the model holds what a graph of raymm's cannot.
        """

    def compressible(self, graph: bytes, dataset: Dataset) -> tuple[bytes, tuple[str, ...]]:
        """Return what `graph` made, in the forms that raymm compresses, and notes on what stays.

        Parameters
        ----------
        dataset : Dataset
            Rows that the graph must answer as before.
        """
        return graph, ()

    @abstractmethod
    def predict(self, x: npt.NDArray[np.float32], schema: Schema) -> npt.NDArray[Any]:
        """Return the library's own probabilities, shape (n, classes), or values, shape (n,)."""

    @abstractmethod
    def require_same(self, bundle: Bundle, dataset: Dataset) -> None:
        """Raise ParityError where a bundle and the library's own predictions differ.

        And DataError where the library has no finite answer.
        """
