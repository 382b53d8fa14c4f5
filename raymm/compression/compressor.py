"""The contract of a compression technique: ``recipes`` and ``apply``.

Recipes are tried on a bundle trained without the validation rows, measured there, and the chosen
one is applied to the final bundle: so the rows that choose were seen by neither training.

A technique whose name begins with "quantize" writes numbers more coarsely and leaves the rest as
it is; the frontier tries it also on what the others made, its recipes from the first on as long as
the loss stays within bounds: so they begin with the finest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy.typing as npt

from raymm.artifacts import Config, Indices, Lineage, MetricLike, Tensors
from raymm.bundle.packed import Bundle

Soft = Callable[[Lineage, Indices], npt.NDArray[Any]]
"""Given where a bundle comes from and numbers of rows, returns what models made like it say of
them that were trained without them: shape (n, classes) or (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a bundle was trained on, for techniques that fit again.

    Attributes
    ----------
    tensors : mapping of column name to array, shape (n,)
    y : shape (n,)
        Class numbers, or the target.
    soft : Soft, optional
        None where the bundle itself was not trained on the rows, and so can be asked.
    soft_seconds : float
        What asking ``soft`` is likely to take; 0 where that is not known.
    """

    tensors: Tensors
    y: npt.NDArray[Any]
    metric: MetricLike
    seed: int = 0
    soft: Soft | None = None
    soft_seconds: float = 0.0


class Compressor(ABC):
    """A technique that makes bundles smaller or faster.

    Attributes
    ----------
    order : int
        Techniques with a smaller number are tried first: cheap and promising ones.
    opens : bool
        Whether others are tried on what it makes, where that is good. Its smallest recipes come
        first, and it has a method `foretold`.
    chained : bool
        Whether a form is made of those of finer recipes, so that these cost little more. Where the
        clock decides, the recipe in the middle is tried first, and finer ones where it loses too
        much.
    later : float
        Share of the time of its first form that the next one is likely to take.
    finer : int
        Of a technique that follows others: how many of its recipes, from the finest on, are tried
        only where all that come after lose too much.
    control : str
        Name of the technique whose form of the same recipe each form has to beat on validation
        rows to be chosen; empty where there is none.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 50
    opens: ClassVar[bool] = False
    chained: ClassVar[bool] = False
    later: ClassVar[float] = 1.0
    finer: ClassVar[int] = 0
    control: ClassVar[str] = ""

    @abstractmethod
    def recipes(self, bundle: Bundle, rows: Rows) -> Sequence[Config]:
        """Return the parameters worth trying on this bundle; none where it cannot help."""

    @abstractmethod
    def apply(self, bundle: Bundle, recipe: Config, rows: Rows) -> Bundle:
        """Return the compressed bundle; the given one stays as it is.

        The same bundle, recipe and rows give the same bytes.
        """

    def between(self, good: Config | None, bad: Config) -> Config | None:
        """Return a recipe between one that lost little and the next, which lost too much.

        None where they are too close to each other, or nothing lies between. ``good`` is None where
        the first recipe lost too much.
        """
        return None

    def foretold(self, bundle: Bundle, tensors: Tensors) -> Callable[[Config], npt.NDArray[Any]]:
        """Return what tells the predictions of a recipe's form for these rows without the form.

        Techniques that open alone have it.
        """
        raise NotImplementedError(f"{self.name} does not open")

    def bounded_moves(self, recipe: Config) -> bool:
        """Return whether no row's answer can move far, as where weights are rounded alone.

        What takes parts away moves few rows by much: of these a sample may hold none.
        """
        return False

    def foreseen(self, bundle: Bundle, rows: Rows) -> float:
        """Return the seconds that the first form takes more than what forms take anyway."""
        return 0.0
