"""The contract of a search algorithm: ``suggest`` and ``observe``.

A searcher knows nothing of Ray, clocks or files. Its state is rebuilt by replaying: a fresh
searcher with the same space, mode and generator, asked for the same suggestions and told the
same results in the same order, goes on as the old one would have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymm.artifacts import Config, Direction, Space


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration to try; ``budget`` None asks for full training.

    An id that was suggested before comes again with a larger budget, and perhaps another
    configuration: that trial goes on where it stood. ``parent`` names another trial, whose
    last checkpoint this one starts from (as population-based training does); what has no
    checkpoint begins anew.
    """

    id: str
    config: Config
    budget: float | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a suggestion; ``value`` None is a failure, ``final`` False a first look.

    ``budget`` None is full training; a trial that was stopped early carries the budget that it
    had reached, and searchers take it for worse than any that was given more.

    ``config`` goes with it so that results of earlier runs, whose ids the searcher never gave,
    can be learned from too. ``values`` are further numbers by name, which a searcher for several
    objectives reads (`raymm.search.several`).
    """

    id: str
    config: Config
    value: float | None
    budget: float | None = None
    final: bool = True
    values: Mapping[str, float] | None = None


class Searcher(ABC):
    """A search algorithm over a space.

    Parameters
    ----------
    space : mapping of name to Float, Int or Categorical
    mode : "maximize" or "minimize"
    generator : numpy.random.Generator
        The only source of randomness.
    """

    name: ClassVar[str]
    multi_fidelity: ClassVar[bool] = False
    """Whether it plans budgets itself. Such a class takes ``min_budget`` and ``max_budget`` (both
    numbers above 0) besides, suggests with a budget, and is told a final result for each."""
    schedules: ClassVar[bool] = False
    """Whether it changes configurations while their models train on."""

    def __init__(self, space: Space, *, mode: Direction, generator: np.random.Generator) -> None:
        self.space = space
        self.mode = mode
        self.generator = generator

    @abstractmethod
    def suggest(self, count: int) -> list[Suggestion]:
        """Return up to ``count`` configurations; fewer, or none, where the space is exhausted."""

    @abstractmethod
    def observe(self, results: Sequence[Result]) -> None:
        """Learn from results, in the order given."""

    def expect(self, suggestions: Sequence[Suggestion]) -> None:  # noqa: B027
        """Take note of configurations that are tried on someone else's suggestion.

        A searcher that wraps another tells it so, before their results are observed, so that
        the same configuration is not suggested twice. Paying no heed is allowed.
        """

    def plan(self, *, trials: int | None = None, parallel: int = 1) -> None:  # noqa: B027
        """Take note of how much is to be tried, before anything is asked.

        Parameters
        ----------
        trials : int or None
            Configurations in all, those of earlier sessions too; None where nobody knows.
        parallel : int
            How many are tried at once.

        It is a hint, and another one may come when a run goes on. Paying no heed is allowed.
        """
