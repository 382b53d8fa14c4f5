"""Tune a function or an estimator of one's own: the searchers, ledger and workers of tables."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm import cluster, strategy
from raymm.artifacts import Direction, Notify, Progress, Space, Trials, as_record
from raymm.config import RunConfig, parse
from raymm.errors import ConfigError, SearchError
from raymm.scoring import scorer
from raymm.search import account
from raymm.search import tune as running
from raymm.search.estimator import (
    CrossValidation,
    folds_of,
    is_estimator,
    require_parameters,
)
from raymm.search.front import goals_of, sought
from raymm.search.goals import Bounds, Goals, usual_mode
from raymm.search.ledger import Ledger
from raymm.search.space import check, read
from raymm.search.warm import warm
from raymm.tuned import Tuned

__all__ = ["Tuned", "tune", "unsaid"]

Function = Callable[..., Any]
_DIRECTIONS: Mapping[str, Direction] = {"max": "maximize", "min": "minimize"}
_KEYS = {
    **{
        name: f"search.{name}"
        for name in (
            "trials",
            "time",
            "compute",
            "plateau",
            "algorithm",
            "min_budget",
            "max_budget",
            "parallel",
            "cpus",
            "gpus",
            "trial_timeout",
            "max_failures",
            "scheduler",
            "warm",
            "runner",
        )
    },
    "seed": "seed",
    "storage": "storage",
    "address": "ray.address",
}


def _silent(_: Progress) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is tuned: a function, what of its values counts, and what names the run."""

    function: Function
    metric: str
    mode: str
    stem: str
    code: str
    goals: Goals | None = None


def tune(  # noqa: PLR0913 - the front door of a function and of an estimator
    function: Any,
    space: Space | str | Path,
    *,
    metric: str | None = None,
    mode: str | None = None,
    name: str | None = None,
    notify: Notify = _silent,
    X: Any = None,
    y: Any = None,
    cv: Any = 5,
    scoring: Any = None,
    objectives: Mapping[str, str] | None = None,
    constraints: Mapping[str, Bounds] | None = None,
    **settings: Any,
) -> Tuned:
    """Search for the configuration at which a function, or an estimator, is best.

    Parameters
    ----------
    function : callable, or scikit-learn estimator or pipeline
        A function takes a configuration (a dict) and returns a number, or a mapping that holds
        ``metric``; it may take a second argument, `raymm.search.objective.Report`, and call it
        with intermediate values and checkpoints. An estimator is cross-validated.
    space : mapping, or path of a YAML file
        Names to `Float`, `Int` and `Categorical`; for an estimator, names of ``set_params``.
    metric : str, optional
        The key of a mapping to go by; "value" by default.
    mode : "max" or "min", optional
        Where the best is. Left out, the metric's name tells (`raymm.search.goals.usual_mode`):
        a loss, error or time is minimised, an accuracy or score maximised; a named scoring knows
        it. Of any other name, and of a function that returns a number alone, the highest is
        sought, and `unsaid` says so.
    name : str, optional
        Stem of the run's name; by default the function's. Earlier runs of a name that is given
        warm the start: their best configurations are tried first, and where the function is
        the same as then, their values are learned from.
    X, y : array or table, n rows
        For an estimator; sent to the workers once.
    cv : int, splitter, or iterable of (train, valid)
        Folds, drawn by the seed.
    scoring : str or callable, optional
        A name of scikit-learn's scorers or of raymm's metrics, or a scorer; the estimator's own
        score by default.
    objectives : mapping of name to "min" or "max", optional
        Two or more keys of the mapping that a function returns, instead of ``metric`` and
        ``mode``; what was found is `Tuned.front`. Algorithms: auto, gp, tpe, random.
    constraints : mapping of name to (low, high), optional
        With objectives: bounds of what is allowed, None for no bound on that side.
    **settings
        ``trials``, ``time`` and ``compute`` (seconds, or text such as "5m"), ``plateau``,
        ``algorithm``, ``scheduler``, ``min_budget``, ``max_budget`` (in reports), ``parallel``,
        ``cpus``, ``gpus``, ``trial_timeout``, ``max_failures``, ``warm``, ``runner``, ``seed``,
        ``storage``, ``address``. With none of the first two, 100 trials or ten minutes. No trial
        makes more reports than ``max_budget``. With both budgets the promising trials go on and
        the others stop early, of several objectives those that are dominated; the schedulers
        "median" and "asha" stop trials of one objective as they report.

    Raises
    ------
    ConfigError
        When an argument breaks a rule.
    DataError
        When X and y do not fit together.
    SearchError
        When no call succeeded; the function's own last error is told.
    """
    searched = read(space) if isinstance(space, str | Path) else space
    check(searched)
    if mode is not None and mode not in _DIRECTIONS:
        raise ConfigError(f'mode must be "min" or "max", but got "{mode}".')
    config = _config(settings)
    if is_estimator(function):
        if objectives is not None or constraints is not None:
            raise ConfigError("objectives and constraints are for a function that returns them.")
        given = scoring if scoring is not None else metric
        task = _estimator(function, searched, (X, y, cv), (given, mode), config)
    elif not callable(function) or hasattr(function, "get_params"):
        raise ConfigError(
            f"tune takes a function or a scikit-learn estimator, but got {function!r}."
            + (" Make an instance of it: add ()." if isinstance(function, type) else "")
        )
    elif not (X is None and y is None and scoring is None):
        raise ConfigError("X, y and scoring go with an estimator; a function has its own data.")
    else:
        goals = goals_of(objectives, constraints, metric, mode)
        task = _function(function, metric or "value", mode or _usual(metric, notify), goals)
    run = _name(task, searched, name, config)
    found, budgets = _search(task, searched, config, (run, name), notify)
    if found.best is None:
        errors = sorted({trial.error for trial in found.trials if trial.error})
        raise SearchError("no call succeeded. " + " ".join(errors[:3]))
    fitted = None
    if isinstance(task.function, CrossValidation):
        fitted = task.function.refit(found.best.config)
    return Tuned(run=run, trials=found, best_estimator=fitted, goals=task.goals, budgets=budgets)


def unsaid(function: Any, settings: Mapping[str, Any]) -> str:
    """Return what to tell a person who has not said where the best is; empty where it is known.

    ``settings`` are the named arguments of `tune`.
    """
    metric = settings.get("metric") or "value"
    known = settings.get("mode") or settings.get("objectives") or is_estimator(function)
    if known or usual_mode(metric) is not None:
        return ""
    return (
        f'the highest "{metric}" is sought, as neither its name nor mode says otherwise. '
        'Give mode="min" where lower is better, else mode="max".'
    )


def _usual(metric: str | None, notify: Notify) -> str:
    """Return where a function's metric is best by its name, and say so."""
    mode = usual_mode(metric or "value")
    if mode is not None:
        side = "lowest" if mode == "min" else "highest"
        notify(Progress(stage="search", message=f"the {side} {metric} is sought, by its name"))
    return mode or "max"


def _config(settings: Mapping[str, Any]) -> RunConfig:
    unknown = sorted(set(settings) - set(_KEYS))
    if unknown:
        near = difflib.get_close_matches(unknown[0], _KEYS, n=1)
        hint = f'Did you mean "{near[0]}"? ' if near else ""
        raise ConfigError(f'tune does not know "{unknown[0]}". {hint}It takes: {", ".join(_KEYS)}.')
    changes = {_KEYS[key]: value for key, value in settings.items() if value is not None}
    try:
        return parse({"name": "function", "data": {"source": "-", "target": "-"}}, changes)
    except ConfigError as error:
        # Whoever calls tune knows its arguments, not the sections of a configuration file.
        raise ConfigError(re.sub(r"\b(?:search|ray)(?:\.|: )(?=\w)", "", str(error))) from error


def _function(function: Function, metric: str, mode: str, goals: Goals | None = None) -> _Task:
    try:
        code = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__qualname__", repr(type(function)))
    stem = getattr(function, "__name__", "function")
    if goals is not None:
        metric, mode = next(iter(goals.objectives.items()))
        mode = {"minimize": "min", "maximize": "max"}.get(mode, mode)
    return _Task(function=function, metric=metric, mode=mode, stem=stem, code=code, goals=goals)


def _estimator(
    estimator: Any,
    space: Space,
    data: tuple[Any, Any, Any],
    goal: tuple[Any, str | None],
    config: RunConfig,
) -> _Task:
    """Make a function of an estimator, its data and its scoring.

    Raises
    ------
    ConfigError, DataError
        As `tune` does.
    """
    import joblib  # type: ignore[import-untyped]

    x, y, cv = data
    kind = type(estimator).__name__
    if x is None:
        raise ConfigError(f"an estimator is scored on data: call tune({kind}(), space, X=X, y=y).")
    if config.search.min_budget is not None or config.search.max_budget is not None:
        raise ConfigError(
            "min_budget and max_budget are for functions that report as they train; an estimator "
            "is fitted whole. Leave them out, or write a function that calls partial_fit."
        )
    require_parameters(estimator, space)
    folds = folds_of(estimator, x, y, cv, config.seed)
    metric, mode, score = scorer(estimator, y, *goal)
    validation = CrossValidation(
        estimator=estimator, x=x, y=y, folds=folds, score=score, seed=config.seed
    )
    code = joblib.hash([estimator, x, y, folds, metric])
    return _Task(function=validation, metric=metric, mode=mode, stem=kind, code=code)


def _search(
    task: _Task,
    space: Space,
    config: RunConfig,
    names: tuple[str, str | None],
    notify: Notify,
) -> tuple[Trials, account.Budgets]:
    run, stem = names
    direction = _DIRECTIONS[task.mode]
    whole = isinstance(task.function, CrossValidation)
    searcher = strategy.searcher(space, direction, config, goals=task.goals, whole=whole)
    halving = strategy.scheduler(config.search, direction, goals=task.goals)
    with Ledger.open(config.storage, run) as ledger:
        _head(ledger, config, task, run if stem is None else _plain(stem))
        gather = stem is not None and config.search.warm == "auto" and task.goals is None
        of = hashlib.sha256(task.code.encode()).hexdigest()
        start = warm(ledger, config.storage, space, gather=gather, of=of)
        searcher = strategy.warmed(searcher, start, notify)
        for told in filter(None, [account.resumed(ledger, config.search.trials)]):
            notify(Progress(stage="search", message=told))
        known = account.found(ledger, config.search.trials)
        if known is not None and not searcher.multi_fidelity:
            return known, account.budgets_of(ledger)
        notify(Progress(stage="search"))
        with cluster.connect(config.ray):
            try:
                found = running.tune_function(
                    task.function,
                    space,
                    searcher,
                    ledger,
                    metric=task.metric,
                    mode=direction,
                    trials=config.search.trials,
                    seconds=config.search.time,
                    parallel=config.search.parallel,
                    trial_timeout=config.search.trial_timeout,
                    seed=config.seed,
                    notify=notify,
                    settings=config.search,
                    halving=halving,
                    goals=task.goals,
                )
            except SearchError as error:
                account.close(ledger, error=str(error))
                raise
        account.close(ledger, stopped_by=found.stopped_by)
        return found, account.budgets_of(ledger)


def _head(ledger: Ledger, config: RunConfig, task: _Task, known: str) -> None:
    """Let a new ledger say what it is about, so that it can be read alone."""
    if ledger.records("run"):
        return
    direction = _DIRECTIONS[task.mode]
    head: Any = {"metric": task.metric, "direction": direction, "source": ""}
    if config.search.max_budget is not None:
        head["max_budget"] = config.search.max_budget
    ledger.append("run", name=known, **head, **(sought(task.goals) if task.goals else {}))


def _name(task: _Task, space: Space, name: str | None, config: RunConfig) -> str:
    """Name the run by the function's code, its space and what else decides the results."""
    search = config.search
    deciding: list[Any] = [task.metric, task.mode, search.algorithm, config.seed]
    if search.scheduler != "auto":
        deciding.append(search.scheduler)
    if task.goals is not None:
        deciding.append(sought(task.goals))
    if search.min_budget is not None or search.max_budget is not None:
        deciding += [search.min_budget, search.max_budget]
    described = {key: [type(value).__name__, as_record(value)] for key, value in space.items()}
    text = json.dumps([task.code, described, deciding], sort_keys=True, default=str)
    stem = _plain(name or task.stem)
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "function"
