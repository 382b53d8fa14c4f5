"""What labels say of a canary, whoever began it: a service's desk asks, and ends one that is worse.

The loop of `raymm keep` judges its own trials; it takes a canary that the desk ended for rejected,
with the reason that is recorded. Nothing here promotes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raymm.monitoring.verdict import Trial, heard, judge

SECONDS = 3.0
"""Within which a monitor must report: the desk hears nobody meanwhile, and is given five."""
_LABELS = ("requests", "quality", "window", "champion", "paired")
"""What of a version's report tells of its labels. Errors and times the desk judges by itself."""

_Trial = tuple[str, int, int]


def _reported(model: str) -> Mapping[str, Any]:
    from raymm.monitoring import actor

    return actor.reported(model, timeout=SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOpinion:
    """Says why a canary answers surely worse than the champion (`raymm.serving.desk.Opinion`).

    Labels that came before it was asked for the first time count for nothing. It is wrong with a
    canary that is as good in 5 % of trials at most: once enough labels did not call a canary worse,
    only what leaves hardly any doubt does, as it is asked again and again.

    Attributes
    ----------
    trials : mapping of model's name to Trial
        Its ``labels``, ``margin``, ``requests`` and ``kept`` count.
    report : callable
        Returns the report of a model's monitor; empty where there is none.
    """

    trials: Mapping[str, Trial]
    report: Callable[[str], Mapping[str, Any]] = field(default=_reported, repr=False)
    _before: dict[_Trial, tuple[int, int]] = field(default_factory=dict, repr=False)
    _passed: set[_Trial] = field(default_factory=set, repr=False)

    def __call__(self, model: str, champion: int, canary: int) -> str:
        """Return why the canary is worse; empty where it is not, or labels do not say so."""
        report = self.report(model)
        versions = report.get("versions", {})
        theirs, ours = versions.get(str(champion)), versions.get(str(canary))
        if report.get("version") != champion or theirs is None or ours is None:
            return ""  # the monitor is away, or does not yet compare with this champion
        trial = model, champion, canary
        found = judge(
            _labels(theirs),
            _labels(ours),
            self.trials[model],
            waited=0.0,  # patience is for trials that must end: this goes on until a person ends it
            before=self._before.setdefault(trial, heard(ours)),
            settled=True,  # labels speak only where it is surely worse
        )
        if found.verdict == "worse" and not (found.labelled and trial in self._passed):
            return found.reason
        if found.labelled:
            self._passed.add(trial)
        return ""


def _labels(version: Mapping[str, Any]) -> dict[str, Any]:
    return {key: version[key] for key in _LABELS if key in version}
