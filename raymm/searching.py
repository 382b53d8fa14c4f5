"""The search stage: families and their spaces, a searcher, and trials on Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from raymm import plugins
from raymm.artifacts import Categorical, Dataset, Progress, Shape, Space, Trials, as_record
from raymm.cluster import connect
from raymm.config import RunConfig
from raymm.errors import ConfigError, SearchError
from raymm.evaluation.decision import judge
from raymm.features.nominal import nominal_columns
from raymm.features.text import COUNTED
from raymm.models import targets
from raymm.pilot import log_pays
from raymm.search import account, tune
from raymm.search import space as spaces
from raymm.search.focus import Focus
from raymm.search.halving import Halving
from raymm.search.median import Median
from raymm.search.portfolio import Portfolio
from raymm.search.slower import Slower
from raymm.search.space import join
from raymm.search.trial import prepare
from raymm.search.warm import warm
from raymm.stages import Life, kept

_MINIMUM_ROUNDS = 30
_SAMPLES = 100


def require_names(config: RunConfig) -> None:
    """Check every plug-in that a configuration names before anything is spent on it.

    Raises
    ------
    ConfigError
        When a family, searcher, compressor or metric is not known; the nearest is named. When the
        searcher changes configurations while they train: the model that ships is trained anew
        from one configuration, which could not repeat that.
    """
    algorithm = config.search.algorithm
    if plugins.searchers.get(algorithm).schedules:
        raise ConfigError(
            f'search.algorithm "{algorithm}" finds a schedule, a configuration that changes while '
            "one model trains, but a table's winner is trained anew from one configuration. "
            'Take "bohb", "asha" or "auto" for tables; tune a function of your own with '
            f'"{algorithm}": raymm tune.'
        )
    for chosen, catalogue in (
        (config.search.families, plugins.families),
        (config.compression.techniques, plugins.compressors),
    ):
        for name in () if chosen == "auto" else chosen:
            catalogue.get(name)
    if config.goal.metric != "auto":
        plugins.metrics.get(config.goal.metric)


def search(life: Life) -> Trials:
    """Try configurations on Ray until a budget is spent; go on where an earlier run stopped.

    Raises
    ------
    SearchError
        When not one trial could be finished.
    """
    settings = life.config.search
    budget: dict[str, Any] = {
        "trials": settings.trials,
        "time": settings.time,
        "timeout": settings.trial_timeout,
    }
    if settings.compute is not None or settings.plateau != "none":
        budget |= {"compute": settings.compute, "plateau": settings.plateau}

    def look() -> Trials:
        families = _families(life)
        prepared = prepare(life.dataset, families.values())
        space, first = _space(life, families)
        searcher = _searcher(life, space, first, _budgets(life, families))
        told = account.resumed(life.ledger, settings.trials)
        if told:
            life.notify(Progress(stage="search", message=told))
        with connect(life.config.ray):
            return tune.search(
                prepared,
                space,
                searcher,
                _halving(life),
                life.ledger,
                metric=judge(life.metric, moves=life.config.goal.decision == "auto"),
                trials=settings.trials,
                seconds=_seconds(life),
                parallel=settings.parallel,
                trial_timeout=settings.trial_timeout,
                seed=life.config.seed,
                notify=life.notify,
                settings=settings,
            )

    before = len(life.ledger.trials())
    try:
        found = kept(life, "search", budget, Trials, look)
    except SearchError as error:
        account.close(life.ledger, error=str(error))
        raise
    if found.best is None:
        reasons = sorted({trial.error for trial in found.trials if trial.error})
        raise SearchError(
            "no trial could be finished. " + (" ".join(reasons) or "Give the search more time.")
        )
    return replace(found, resumed=before)


def _seconds(life: Life) -> float | None:
    """Return the time for trials: what weighing the features has left of it, at least half."""
    asked = life.config.search.time
    return None if asked is None else max(asked - life.spent, asked / 2)


def _families(life: Life) -> dict[str, Any]:
    """Return the families that are named, or those that suit the table, early ones first.

    Words make most of the features where there is a text. A linear model of them is done in a
    second and mostly good (0.9921 of area under the curve on 4,500 messages; a booster of 1,000
    words came to 0.9920 after 20 s on a busy machine), so it is a bar for the others at once.
    """
    chosen = life.config.search.families
    if chosen != "auto":
        return {name: plugins.families.get(name)() for name in chosen}
    task, shape = life.dataset.schema.task, _shape(life.dataset, life.metric.name)
    made = [plugins.families.get(name)() for name in plugins.families.names()]
    fitting = [family for family in made if family.suits(task, shape)]
    wordy = any(column.kind == "text" for column in life.dataset.schema.features)
    fitting.sort(key=lambda family: (not (wordy and family.sparse), family.order))
    return {family.name: family for family in fitting}


def _shape(dataset: Dataset, metric: str = "") -> Shape:
    """Return a table's sizes; a text counts for the words that trees are given of it."""
    features = dataset.schema.features
    return Shape(
        rows=len(dataset.train),
        features=sum(COUNTED if column.kind == "text" else 1 for column in features),
        classes=len(dataset.schema.classes),
        nominal=len(nominal_columns(dataset)),
        metric=metric,
    )


def _space(life: Life, families: Mapping[str, Any]) -> tuple[Space, list[dict[str, Any]]]:
    """Join the families' spaces, and line up their strong configurations, best known first."""
    task, shape = life.dataset.schema.task, _shape(life.dataset, life.metric.name)
    space = join({name: family.space(task, shape) for name, family in families.items()})
    lists = {name: list(family.portfolio(task, shape)) for name, family in families.items()}
    longest = max((len(items) for items in lists.values()), default=0)
    first = [
        {"family": name, **{f"{name}.{key}": value for key, value in items[turn].items()}}
        for turn in range(longest)
        for name, items in lists.items()
        if turn < len(items)
    ]
    if log_pays(life.dataset, life.metric, families, shape=shape, seed=life.config.seed):
        space = {**space, targets.KEY: targets.CHOICES}
        # Both ways in turn; which is better shows before the lists end.
        first = [{**one, targets.KEY: way} for one in first for way in targets.CHOICES.choices]
    return space, first


def _budgets(life: Life, families: Mapping[str, Any]) -> dict[str, float]:
    """Return the least and the largest budget of a trial, in rounds of training.

    Where the configuration names none, that is the first rung of the halving, and the most that
    any family thinks worth it for one of its configurations.
    """
    task, settings = life.dataset.schema.task, life.config.search
    shape = _shape(life.dataset, life.metric.name)
    generator = np.random.default_rng(0)
    most = 1
    for family in families.values():
        space = family.space(task, shape)
        tried = [spaces.sample(space, generator) for _ in range(_SAMPLES)]
        most = max([most, *map(family.max_rounds, [*tried, *family.portfolio(task, shape)])])
    high = float(most) if settings.max_budget is None else settings.max_budget
    low = min(_MINIMUM_ROUNDS, high) if settings.min_budget is None else settings.min_budget
    return {"min_budget": float(low), "max_budget": max(float(low), high)}


def _searcher(
    life: Life, space: Space, first: list[dict[str, Any]], budgets: Mapping[str, float]
) -> Any:
    generator = np.random.default_rng([life.config.seed, 1])
    kind: Any = plugins.searchers.get(life.config.search.algorithm)
    given = {"mode": life.metric.direction, "generator": generator}
    searcher = kind(space, **given, **(budgets if kind.multi_fidelity else {}))
    gather = life.config.search.warm == "auto"
    start = warm(life.ledger, life.config.storage, space, gather=gather, of=measured(life))
    if start.said:
        life.notify(Progress(stage="search", message=start.said))
        searcher.observe(start.results)
    leading = [*start.configs, *first]
    if kind.multi_fidelity:
        lead = getattr(searcher, "lead", None)
        if lead is not None:
            lead(leading)
        return searcher
    if life.config.search.algorithm == "auto" and "family" in space:
        rates = {
            name: f"{name}.{kind.rate}"
            for name in _choices(space)
            if (kind := plugins.families.get(name)).rate
        }
        return Slower(Portfolio(Focus(searcher), leading), rates)
    return searcher if life.config.search.algorithm == "grid" else Portfolio(searcher, leading)


def _choices(space: Space) -> tuple[str, ...]:
    family = space["family"]
    return tuple(map(str, family.choices)) if isinstance(family, Categorical) else ()


def measured(life: Life) -> str:
    """Return a SHA-256 of what values are measured on: the table, its columns and its split.

    A feature left out, or rows split by time, make other values of the same table; by another
    seed, rows were validated on that are test rows now.
    """
    deciding = [
        life.dataset.sha256,
        as_record(life.dataset.schema),
        life.config.data.model_dump(mode="json", exclude={"source", "schema_file"}),
        life.config.goal.decision,
        life.config.seed,
    ]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def _halving(life: Life) -> Halving | Median | None:
    """Return what stops trials early; None where nothing does, or the searcher plans budgets."""
    kind = plugins.searchers.get(life.config.search.algorithm)
    if life.config.search.scheduler == "none" or kind.multi_fidelity:
        return None
    if life.config.search.scheduler == "median":
        return Median(life.metric.direction, minimum=_MINIMUM_ROUNDS)
    return Halving(life.metric.direction, minimum=_MINIMUM_ROUNDS)
