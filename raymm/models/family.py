"""The contract of a model family: ``space``, ``fit``, ``predict``, ``to_onnx``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Config, Encoding, Shape, Space, Task
from raymm.onnx_builder import GraphBuilder

USUAL_RATE = 0.05
"""The `Family.rate` at which one round counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Features and target of some rows.

    Attributes
    ----------
    x : float32, shape (n, d), C order
        May hold NaN in the "ordinal" encoding only. Read-only memory must be accepted.
    y : int64 or float64, shape (n,)
        Class codes 0 … classes - 1, or values.
    names : tuple of str, length d
        Feature names, made of letters, digits and underscores.
    nominal : tuple of (int, int)
        Features whose whole parts are categories without an order, or days, and how many there
        are at most, counted from 0.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[Any]
    names: tuple[str, ...]
    nominal: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What a fit needs besides its configuration and its rows.

    ``classes`` is 0 for regression. ``rounds`` is the amount of training; families whose
    `Family.max_rounds` is 1 pay no heed to it. ``threads`` is how many may be used, never more.
    """

    task: Task
    classes: int
    seed: int
    rounds: int = 1
    threads: int = 1


class Family(ABC):
    """A kind of model: its search space, how it is fitted, and its ONNX form.

    A fitted model is whatever `fit` returns; only its own family looks inside. Fitting the same
    configuration on the same rows with the same `Fitting` gives the same model, bit by bit.
    """

    name: ClassVar[str]
    encoding: ClassVar[Encoding]
    """"ordinal": missing is NaN, categories are whole numbers; "dense": no NaN, scaled, one-hot;
    "compact": as dense, with numbers scaled side by side where that suits them, in few bytes."""
    order: ClassVar[int] = 100
    """Families with a smaller number have their `portfolio` tried first: cheap and strong ones."""
    sparse: ClassVar[bool] = False
    """Whether fits are quick where most cells are 0, and good there: first on tables with texts."""
    rate: ClassVar[str] = ""
    """The parameter that rounds are traded for, where there is one: half of it takes twice as many,
    and mostly gets a little further (Friedman 2001, "Greedy function approximation", section 5)."""

    @abstractmethod
    def space(self, task: Task, shape: Shape) -> Space:
        """Return the parameters to search for a table of this task and size."""

    @abstractmethod
    def fit(self, config: Config, train: Matrix, how: Fitting) -> Any:
        """Train for ``how.rounds`` rounds and return the fitted model."""

    @abstractmethod
    def predict(
        self, model: Any, x: npt.NDArray[np.float32], share: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """Return probabilities, shape (n, classes), rows summing to 1; or values, shape (n,).

        ``share`` predicts with that share of a model's rounds or trees alone, from the first on
        and at least one, as compression may have left them; other families pay no heed to it.
        """

    @abstractmethod
    def to_onnx(self, model: Any, builder: GraphBuilder, features: str) -> str:
        """Add the model's nodes.

        ``features`` names a float32 tensor of shape (n, d). Returns the name of a float32 tensor:
        probabilities of shape (n, classes), or values of shape (n, 1).
        """

    def announce(  # noqa: B027  (most models look up nothing)
        self, model: Any, builder: GraphBuilder, features: str
    ) -> None:
        """Say what a model will look up besides the features, before any model is written."""

    def suits(self, task: Task, shape: Shape) -> bool:
        """Say whether to try it on such a table where no one has named it.

        False where it would take too long, or a package that it needs is not installed.
        """
        return True

    def portfolio(self, task: Task, shape: Shape) -> Sequence[Config]:
        """Return strong configurations to try first, the best known one first; may be empty."""
        return ()

    def max_rounds(self, config: Config) -> int:
        """Return the largest amount of training worth trying; 1 where training is one step."""
        return 1

    def pace(self, config: Config) -> float:
        """Return how far one round of training gets, above 0; 1 where all configurations do alike.

        Rounds times pace compare between configurations: a booster that learns at half the rate
        has come as far after twice the rounds, and is judged then.
        """
        return float(config.get(self.rate) or USUAL_RATE) / USUAL_RATE if self.rate else 1.0

    def extend(self, model: Any, rounds: int) -> Any:
        """Train a fitted model on until it has ``rounds`` rounds in all, and return it.

        Only called where `max_rounds` is above 1. Gives what `fit` with that many rounds gives.
        """
        raise NotImplementedError(f"{self.name} trains in one step; max_rounds must be 1")

    def state(self, model: Any) -> Any:
        """Return what of a fitted model can be pickled and is enough for `resume`."""
        return model

    def resume(self, state: Any, config: Config, train: Matrix, how: Fitting) -> Any:
        """Return the model of a `state`, which `extend` trains on; arguments are those of `fit`.

        Where training draws random numbers, those of the rounds to come may be others than they
        would have been.
        """
        return state

    def contributions(
        self, model: Any, x: npt.NDArray[np.float32], rounds: int | None = None
    ) -> npt.NDArray[np.float64] | None:
        """Return each feature's contribution to the raw output, or None where none is exact.

        ``rounds`` explains only the first rounds of a model, as compression may have left them.
        Shape (n, d + 1) for binary (log-odds of the last class) and regression (value), else
        (n, classes, d + 1); the last entry is the base.
        """
        return None
