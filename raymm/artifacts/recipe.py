"""What is trained and shipped: which trials, how they are mixed, and what is mended after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from raymm.artifacts.doubt import Doubts
from raymm.artifacts.proof import Score
from raymm.artifacts.records import as_record, from_record
from raymm.artifacts.trial import Trial

SAME = (1.0, 0.0)
"""The calibration that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A trial of a mix and the share of its predictions in it."""

    trial: Trial
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One policy that was weighed on validation rows, and whether it was kept.

    ``gain`` is what it brings there, positive is better; None where there was nothing to weigh.
    """

    policy: str
    kept: bool
    statement: str
    gain: Score | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a bundle's predictions are made of trials.

    Attributes
    ----------
    members : tuple of Member
        Their weights are positive and sum to 1; the heaviest comes first.
    calibration : (float, float)
        Slope and shift of the log-odds (two classes), or the slope of the logarithms of the
        probabilities (more classes; the shift is 0).
    decision : tuple of float
        A weight a class: the label answered is that of the largest product of probability and
        weight. Empty for equal weights.
    findings : tuple of Finding
        What was weighed; no part of what is trained.
    doubts : Doubts or None
        Labels of training rows that weighing makes doubtful; no part of what is trained either.
        None where they were not looked at.
    """

    members: tuple[Member, ...]
    calibration: tuple[float, float] = SAME
    decision: tuple[float, ...] = ()
    findings: tuple[Finding, ...] = ()
    doubts: Doubts | None = None
    version: int = 1

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """Return the recipe of a trial alone."""
        return cls(members=(Member(trial=trial),))

    @property
    def plain(self) -> bool:
        """Whether it is a trial alone, as it was found."""
        return len(self.members) == 1 and self.calibration == SAME and not self.decision

    def deciding(self) -> dict[str, Any]:
        """Return all that decides the bundle as plain JSON, without times, findings and doubts."""
        record: dict[str, Any] = as_record(replace(self, findings=(), doubts=None))
        record.pop("findings")
        record.pop("doubts")
        for member in record["members"]:
            member["trial"].pop("seconds")
        return record


def recipe_of(trial: Mapping[str, Any], recipe: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a lineage tells of: ``recipe``, or the trial alone where empty."""
    if not recipe:
        return Recipe.of(from_record(Trial, trial))
    return from_record(Recipe, recipe)
