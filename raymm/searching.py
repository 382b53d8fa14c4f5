"""The search stage: families and their spaces, a searcher, and trials on Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from raymm import plugins
from raymm.artifacts import Dataset, Shape, Space, Trials
from raymm.cluster import connect
from raymm.config import RunConfig
from raymm.errors import SearchError
from raymm.search import tune
from raymm.search.halving import Halving
from raymm.search.portfolio import Portfolio
from raymm.search.space import join
from raymm.search.trial import prepare
from raymm.stages import Life, kept

_MINIMUM_ROUNDS = 30


def require_names(config: RunConfig) -> None:
    """Check every plug-in that a configuration names before anything is spent on it.

    Raises
    ------
    ConfigError
        When a family, searcher or compressor is not known; the nearest is named.
    """
    plugins.searchers.get(config.search.algorithm)
    for chosen, catalogue in (
        (config.search.families, plugins.families),
        (config.compression.techniques, plugins.compressors),
    ):
        for name in () if chosen == "auto" else chosen:
            catalogue.get(name)


def search(life: Life) -> Trials:
    """Try configurations on Ray until a budget is spent; go on where an earlier run stopped.

    Raises
    ------
    SearchError
        When not one trial could be finished.
    """
    settings = life.config.search
    budget = {"trials": settings.trials, "time": settings.time, "timeout": settings.trial_timeout}

    def look() -> Trials:
        families = _families(life)
        prepared = prepare(life.dataset, families.values())
        space, first = _space(life, families)
        with connect(life.config.ray):
            return tune.search(
                prepared,
                space,
                _searcher(life, space, first),
                _halving(life),
                life.ledger,
                metric=life.metric,
                trials=settings.trials,
                seconds=settings.time,
                parallel=settings.parallel,
                trial_timeout=settings.trial_timeout,
                seed=life.config.seed,
                notify=life.notify,
            )

    before = len(life.ledger.trials())
    found = kept(life, "search", budget, Trials, look)
    if found.best is None:
        reasons = sorted({trial.error for trial in found.trials if trial.error})
        raise SearchError(
            "no trial could be finished. " + (" ".join(reasons) or "Give the search more time.")
        )
    return replace(found, resumed=before)


def _families(life: Life) -> dict[str, Any]:
    chosen = life.config.search.families
    names = plugins.families.names() if chosen == "auto" else chosen
    return {name: plugins.families.get(name)() for name in names}


def _shape(dataset: Dataset) -> Shape:
    return Shape(
        rows=len(dataset.train),
        features=len(dataset.schema.features),
        classes=len(dataset.schema.classes),
    )


def _space(life: Life, families: Mapping[str, Any]) -> tuple[Space, list[dict[str, Any]]]:
    """Join the families' spaces, and line up their strong configurations, best known first."""
    task, shape = life.dataset.schema.task, _shape(life.dataset)
    space = join({name: family.space(task, shape) for name, family in families.items()})
    lists = {name: list(family.portfolio(task, shape)) for name, family in families.items()}
    longest = max((len(items) for items in lists.values()), default=0)
    first = [
        {"family": name, **{f"{name}.{key}": value for key, value in items[turn].items()}}
        for turn in range(longest)
        for name, items in lists.items()
        if turn < len(items)
    ]
    return space, first


def _searcher(life: Life, space: Space, first: list[dict[str, Any]]) -> Any:
    generator = np.random.default_rng([life.config.seed, 1])
    kind = plugins.searchers.get(life.config.search.algorithm)
    searcher = kind(space, mode=life.metric.direction, generator=generator)
    return searcher if life.config.search.algorithm == "grid" else Portfolio(searcher, first)


def _halving(life: Life) -> Halving | None:
    if life.config.search.scheduler == "none":
        return None
    return Halving(life.metric.direction, minimum=_MINIMUM_ROUNDS)
