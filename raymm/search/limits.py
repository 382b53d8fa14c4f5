"""When a search ends, and what it has spent."""

from __future__ import annotations

from dataclasses import dataclass

from raymm.artifacts import Direction, Trial
from raymm.search.goals import Goals
from raymm.search.ledger import Ledger
from raymm.search.plateau import FrontPlateau, Plateau

FIRST = 60.0
"""Seconds at least that a search whose time is up goes on for its first result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to end, and how results are compared.

    All count what earlier sessions of the run did too; None is no limit.

    Attributes
    ----------
    trials : int or None
        Configurations; what goes on with one of them with a larger budget does not count.
    seconds : float or None
        Of searching. A search without any result then goes on for its first one, as long again and
        at least `FIRST`: a model that comes late is better than none.
    compute : float or None
        CPU-seconds of trials, each of which has ``cpus`` CPUs.
    plateau : int or None
        Trials in a row that are no better than the best before them by more than noise; with
        several ``goals``, that do not push the front of undominated trials out.
    """

    metric: str
    direction: Direction
    trials: int | None = None
    seconds: float | None = None
    compute: float | None = None
    plateau: int | None = None
    cpus: float = 1.0
    goals: Goals | None = None

    def allows(self, trial: Trial) -> bool:
        """Return whether a trial breaks no constraint."""
        if self.goals is None:
            return True
        told = self.goals.complete(trial.metrics)
        return told and not self.goals.violations(trial.metrics).any()

    def order(self, trial: Trial) -> tuple[bool, float, int]:
        """Return what puts trials in order, the best first, those that break a constraint last."""
        sign = -1.0 if self.direction == "maximize" else 1.0
        return not self.allows(trial), sign * (trial.value or 0.0), trial.number


class Spending:
    """What has been spent of the limits, but for trials; the ledger keeps the time."""

    def __init__(self, limits: Limits, ledger: Ledger) -> None:
        self._limits, self._ledger = limits, ledger
        self._cpu_seconds = 0.0
        self._heard = False
        patience, goals = limits.plateau, limits.goals
        self._plateau: Plateau | FrontPlateau | None = None
        if patience is not None:
            self._plateau = (
                Plateau(limits.direction, patience)
                if goals is None
                else FrontPlateau(goals, patience)
            )

    def hear(self) -> None:
        """Take in that there is a result, if only a first rung's."""
        self._heard = True

    def add(self, ended: Trial, cpu_seconds: float) -> None:
        """Take in a trial's end."""
        self._heard = True
        self._cpu_seconds += cpu_seconds
        if self._plateau is not None:
            self._plateau.add(ended)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the time is used up; None where there is no limit."""
        limit = self._limits.seconds
        if limit is None:
            return None
        return limit + (0.0 if self._heard else max(FIRST, limit)) - self._ledger.elapsed

    def over(self, running: float = 0.0) -> str:
        """Return which limit is reached, in a word or a sentence; empty while none is.

        ``running`` is how many seconds the trials that run now have taken together.
        """
        if self.seconds_left is not None and self.seconds_left <= 0:
            return "time"
        limit = self._limits.compute
        if limit is not None and self._cpu_seconds + running * self._limits.cpus >= limit:
            return "compute"
        return "" if self._plateau is None else self._plateau.reason
