"""Trials of a search, and what a metric is to those who are handed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy.typing as npt

from raymm.artifacts.kinds import Config, Direction
from raymm.counts import counted


class MetricLike(Protocol):
    """What search, compression and audit need of a metric; `raymm.evaluation` has them."""

    name: str
    direction: Direction

    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions.

        ``truth`` has shape (n,): class codes or values. ``prediction`` has shape (n, classes)
        with probabilities, or (n,) with values.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One configuration tried.

    Attributes
    ----------
    number : int
        Position in the order of suggestion, from 0.
    value : float or None
        Mean of the metric over the folds, at ``rounds``; None when it failed.
    rounds : int
        The amount of training (boosting rounds; 1 where a family has none) that scored best,
        used to train the final model.
    rungs : tuple of (int, float)
        Value at each amount of training that was scored, in order.
    status : str
        "finished", "stopped" (early, by the scheduler or the time budget) or "failed".
    seconds : float
        Time it took on its worker.
    error : str
        The last frame of the failure, in one or two lines; empty otherwise.
    metrics : mapping of str to float
        Everything a user's function gave by name, the metric among it; empty where it gave a
        number alone. Several objectives are compared by it.
    """

    id: str
    number: int
    config: Config
    status: Literal["finished", "stopped", "failed"]
    value: float | None = None
    rounds: int = 1
    fold_values: tuple[float, ...] = ()
    rungs: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    error: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The model family tried, or an empty string for a user's own function."""
        return str(self.config.get("family", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Every trial of a search.

    Attributes
    ----------
    resumed : int
        How many of them were read from the ledger rather than run now.
    stopped_by : str
        Why the search ended: "trials", "time", "compute", "space exhausted", "interrupted", or
        "plateau: " and what it stood still at.
    seconds : float
        Time that searching has taken in all sessions of the run.
    objectives : mapping of str to direction
        The entries of the trials' ``metrics`` that are sought together; empty where ``metric``
        alone is.
    """

    trials: tuple[Trial, ...]
    direction: Direction
    metric: str
    resumed: int = 0
    stopped_by: str = "trials"
    seconds: float = 0.0
    objectives: Mapping[str, Direction] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return how many there are and the best value: every trial would fill pages."""
        best = "" if self.best is None else f", best {self.metric} {self.best.value:.6g}"
        return f"Trials({counted(len(self.trials), 'trial')}{best})"

    @property
    def leaderboard(self) -> tuple[Trial, ...]:
        """Trials that have a value, best first; ties go to the earlier suggestion."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        scored = [(sign * t.value, t.number, t) for t in self.trials if t.value is not None]
        return tuple(trial for _, _, trial in sorted(scored, key=lambda item: item[:2]))

    @property
    def best(self) -> Trial | None:
        """The first of the leaderboard, or None where every trial failed."""
        return next(iter(self.leaderboard), None)
