"""Which searcher, and which scheduler, a search of a user's own function uses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from raymm import plugins
from raymm.artifacts import Direction, Notify, Progress, Space
from raymm.config import RunConfig
from raymm.errors import ConfigError
from raymm.search.asha import Ladder
from raymm.search.goals import Goals
from raymm.search.halving import Halving
from raymm.search.median import Median
from raymm.search.parego import Parego
from raymm.search.portfolio import Portfolio
from raymm.search.promotion import Promoting, rungs
from raymm.search.searcher import Searcher
from raymm.search.session import Scheduler
from raymm.search.several import SeveralHalving
from raymm.search.warm import Warm
from raymm.sections import SearchConfig


def searcher(
    space: Space,
    direction: Direction,
    config: RunConfig,
    *,
    goals: Goals | None = None,
    whole: bool = False,
) -> Searcher:
    """Return the searcher that a configuration asks for.

    Parameters
    ----------
    goals : Goals or None
        Where there are several objectives.
    whole : bool
        Whether what is tuned is always trained whole.

    Raises
    ------
    ConfigError
        When a budget or an algorithm does not fit what is tuned.
    """
    settings = config.search
    kind: Any = plugins.searchers.get(settings.algorithm)
    given: Any = {"mode": direction, "generator": np.random.default_rng([config.seed, 1])}
    low, high = settings.min_budget, settings.max_budget
    if low is not None and high is None:
        raise ConfigError(f"min_budget is {low:g}, but max_budget is missing. Give both.")
    if goals is not None:
        algorithm = "gp" if settings.algorithm == "auto" else settings.algorithm
        return Parego(space, goals=goals, algorithm=algorithm, **given)
    if kind.multi_fidelity:
        _require_plan(settings, whole=whole)
        planned: Searcher = kind(space, min_budget=low, max_budget=high, **given)
        return planned
    made: Searcher = kind(space, **given)
    if low is None or high is None or settings.scheduler != "auto":
        return made
    budgets = rungs(low, high)
    return Promoting(made, Ladder(budgets), budgets)


def _require_plan(settings: SearchConfig, *, whole: bool) -> None:
    """Check that an algorithm that plans budgets can do so."""
    if whole:
        raise ConfigError(
            f'"{settings.algorithm}" trains on what is promising, but an estimator is fitted '
            "whole. Choose another algorithm, or write a function that reports as it trains."
        )
    if settings.min_budget is None or settings.max_budget is None:
        raise ConfigError(
            f'"{settings.algorithm}" plans budgets and needs min_budget and max_budget: the '
            "fewest and the most reports of a trial. Give both, such as min_budget=1, "
            "max_budget=27."
        )
    if settings.scheduler in ("asha", "median"):
        raise ConfigError(
            f'"{settings.algorithm}" plans budgets itself, so the scheduler '
            f'"{settings.scheduler}" has nothing to do. Leave it out, or take another algorithm.'
        )


def scheduler(
    settings: SearchConfig, direction: Direction, *, goals: Goals | None = None
) -> Scheduler | None:
    """Return what stops trials of a function as they report; None where nothing does.

    Several objectives with both budgets stop what is dominated. Of one objective, those with both
    budgets are promoted by the searcher, unless "median" or "asha" is asked for.

    Raises
    ------
    ConfigError
        When the scheduler cannot judge several objectives.
    """
    first = max(1, math.ceil(settings.min_budget or 1))
    if goals is not None:
        if settings.scheduler == "median":
            raise ConfigError(
                'the scheduler "median" judges one objective. With several take "asha".'
            )
        planned = settings.scheduler == "auto" and settings.min_budget is not None
        halves = planned or settings.scheduler == "asha"
        return SeveralHalving(goals, minimum=first) if halves else None
    if settings.scheduler == "median":
        return Median(direction, minimum=first)
    return Halving(direction, minimum=first) if settings.scheduler == "asha" else None


def warmed(made: Searcher, start: Warm, notify: Notify) -> Searcher:
    """Tell a searcher what earlier runs found, and let the best of it be tried first."""
    if not start.said:
        return made
    notify(Progress(stage="search", message=start.said))
    made.observe(start.results)
    if not made.multi_fidelity:
        return Portfolio(made, start.configs)
    lead = getattr(made, "lead", None)
    if lead is not None:
        lead(start.configs)
    return made
