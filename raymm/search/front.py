"""Several objectives of a user's function: what was asked for, and which trials are best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raymm.artifacts import Trial, Trials
from raymm.errors import ConfigError
from raymm.search.goals import Bounds, Goals
from raymm.search.pareto import front, hypervolume


def goals_of(
    objectives: Mapping[str, str] | None,
    constraints: Mapping[str, Bounds] | None,
    metric: str | None,
    mode: str | None,
) -> Goals | None:
    """Return several objectives; None where there is one.

    Raises
    ------
    ConfigError
        When objectives and a metric are both given, or constraints alone.
    """
    if objectives is None:
        if constraints is not None:
            raise ConfigError("constraints go with objectives. Name these too.")
        return None
    if metric is not None or mode is not None:
        raise ConfigError("Give either objectives, or metric and mode.")
    return Goals(objectives=objectives, constraints=constraints or {})


def sought(goals: Goals) -> dict[str, Any]:
    """Return what a run's first record tells of its objectives."""
    words = {"min": "minimize", "max": "maximize"}
    return {
        "objectives": {name: words.get(mode, mode) for name, mode in goals.objectives.items()},
        "constraints": {name: list(bounds) for name, bounds in goals.constraints.items()},
    }


def best_of(trials: Trials, goals: Goals) -> tuple[Trial, ...]:
    """Return the trials that break no constraint and that no other such trial dominates.

    They come in the order of the leaderboard: the first objective's best first.
    """
    told = [trial for trial in trials.leaderboard if goals.complete(trial.metrics)]
    allowed = [trial for trial in told if not goals.violations(trial.metrics).any()]
    if not allowed:
        return ()
    losses = np.stack([goals.losses(trial.metrics) for trial in allowed])
    return tuple(allowed[index] for index in np.flatnonzero(front(losses)))


def volume(trials: Trials, goals: Goals) -> tuple[float, dict[str, float]]:
    """Return the hypervolume of the front, and the corner that it is measured from.

    The corner is the worst value of each objective among all trials that gave one, so the number
    grows with the front, and two runs compare only where their corners are the same.
    """
    told = [trial.metrics for trial in trials.leaderboard if goals.complete(trial.metrics)]
    best = [goals.losses(trial.metrics) for trial in best_of(trials, goals)]
    if not best:
        return 0.0, {}
    corner = np.max([goals.losses(metrics) for metrics in told], axis=0)
    least = {name: min(metrics[name] for metrics in told) for name in goals.objectives}
    most = {name: max(metrics[name] for metrics in told) for name in goals.objectives}
    lower = {name: mode.startswith("min") for name, mode in goals.objectives.items()}
    worst = {name: most[name] if lower[name] else least[name] for name in goals.objectives}
    return hypervolume(best, corner), worst
