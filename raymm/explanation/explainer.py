"""What explains single predictions of a served bundle: the contract, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Schema, Statistics, Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What each column adds to each output of each row.

    Attributes
    ----------
    columns : tuple of str, length d
    values, errors : float64, shape (n, outputs, d)
        Contributions, and the standard error of each where they are sampled (else 0).
    base : float64, shape (outputs,)
        The mean output over the background: ``base`` plus a row's contributions is its output.
    outputs : float64, shape (n, outputs)
        What the bundle predicts: probabilities of the classes, or the value.
    method : str
        How they were computed, as a sentence.
    """

    columns: tuple[str, ...]
    values: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    base: npt.NDArray[np.float64]
    outputs: npt.NDArray[np.float64]
    method: str


class Explainer(Protocol):
    """Explains the rows of one bundle; called from one thread at a time.

    Parameters
    ----------
    predict : callable
        From tensors of n rows to probabilities (n, classes) or values (n,).
    schema : Schema
    statistics : Statistics or None
        Of the training data.
    seed : int
        The same seed and rows give the same contributions.
    """

    name: str

    def __init__(
        self,
        predict: Callable[[Tensors], npt.NDArray[Any]],
        schema: Schema,
        statistics: Statistics | None,
        *,
        seed: int,
    ) -> None: ...

    def explain(self, tensors: Tensors) -> Contributions:
        """Return the contributions to n rows, n at least 1."""
        ...
