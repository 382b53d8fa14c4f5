"""Tune a training function of one's own: the same searchers, ledger and workers as for tables."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymm import cluster, plugins
from raymm.artifacts import Direction, Notify, Progress, Space, Trials, as_record
from raymm.config import RunConfig, parse
from raymm.errors import ConfigError, SearchError
from raymm.search import tune as running
from raymm.search.ledger import Ledger
from raymm.search.space import check, read

Function = Callable[..., Any]
_DIRECTIONS: Mapping[str, Direction] = {"max": "maximize", "min": "minimize"}
_KEYS = {
    "trials": "search.trials",
    "time": "search.time",
    "algorithm": "search.algorithm",
    "parallel": "search.parallel",
    "seed": "seed",
    "storage": "storage",
    "address": "ray.address",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What tuning a function has found.

    Attributes
    ----------
    run : str
        The run's name; the same call again goes on with it.
    """

    run: str
    trials: Trials

    @property
    def best_config(self) -> dict[str, Any]:
        """The best configuration."""
        return dict(self.trials.leaderboard[0].config)

    @property
    def best_value(self) -> float:
        """The metric's value there."""
        value = self.trials.leaderboard[0].value
        assert value is not None
        return value

    def summary(self) -> dict[str, Any]:
        """Return what ``raymm tune --json`` prints."""
        return {
            "run": self.run,
            "metric": self.trials.metric,
            "direction": self.trials.direction,
            "best": {"configuration": self.best_config, "value": self.best_value},
            "trials": sum(trial.status != "failed" for trial in self.trials.trials),
            "failed_trials": sum(trial.status == "failed" for trial in self.trials.trials),
            "resumed_trials": self.trials.resumed,
            "stopped_by": self.trials.stopped_by,
            "seconds": round(self.trials.seconds, 2),
        }


def load(reference: str) -> Function:
    """Import ``MODULE:FUNCTION``, looked for in the current folder too.

    Raises
    ------
    ConfigError
        When it is not written so, cannot be imported, or cannot be called.
    """
    module_name, colon, attribute = reference.partition(":")
    if not colon or not attribute:
        raise ConfigError(f'a function is written MODULE:FUNCTION, not "{reference}".')
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise ConfigError(f"{module_name} cannot be imported: {error}") from error
    except AttributeError as error:
        raise ConfigError(f'{module_name} has no "{attribute}".') from error
    if not callable(found):
        raise ConfigError(f"{reference} must be a function, but it is {type(found).__name__}.")
    return found  # type: ignore[no-any-return]


def _silent(_: Progress) -> None:
    return None


def tune(
    function: Function,
    space: Space | str | Path,
    *,
    metric: str = "value",
    mode: str = "max",
    name: str | None = None,
    notify: Notify = _silent,
    **settings: Any,
) -> Tuned:
    """Search for the configuration at which a function is best.

    Parameters
    ----------
    function : callable
        Takes a configuration (a dict) and returns a number, or a mapping that holds ``metric``;
        may take a second argument ``report`` and call it with intermediate values.
    space : mapping, or path of a YAML file
        Names to `Float`, `Int` and `Categorical`.
    mode : "max" or "min"
    name : str, optional
        Stem of the run's name; by default the function's.
    **settings
        ``trials``, ``time`` (seconds, or text such as "5m"), ``algorithm``, ``parallel``,
        ``seed``, ``storage``, ``address``. With neither of the first two, 100 trials or ten
        minutes.

    Raises
    ------
    ConfigError
        When an argument breaks a rule.
    SearchError
        When no call succeeded; the function's own last error is told.
    """
    searched = read(space) if isinstance(space, str | Path) else space
    check(searched)
    if mode not in _DIRECTIONS:
        raise ConfigError(f'mode must be "min" or "max", but got "{mode}".')
    config = _config(settings)
    run = _name(function, searched, name, [metric, mode, config.search.algorithm, config.seed])
    found = _search(function, searched, (metric, _DIRECTIONS[mode]), config, run, notify)
    if found.best is None:
        errors = sorted({trial.error for trial in found.trials if trial.error})
        raise SearchError("no call succeeded. " + " ".join(errors[:3]))
    return Tuned(run=run, trials=found)


def _config(settings: Mapping[str, Any]) -> RunConfig:
    unknown = sorted(set(settings) - set(_KEYS))
    if unknown:
        raise ConfigError(f'tune does not know "{unknown[0]}". It takes: {", ".join(_KEYS)}.')
    changes = {_KEYS[key]: value for key, value in settings.items() if value is not None}
    return parse({"name": "function", "data": {"source": "-", "target": "-"}}, changes)


def _search(
    function: Function,
    space: Space,
    goal: tuple[str, Direction],
    config: RunConfig,
    run: str,
    notify: Notify,
) -> Trials:
    metric, direction = goal
    kind = plugins.searchers.get(config.search.algorithm)
    searcher = kind(space, mode=direction, generator=np.random.default_rng([config.seed, 1]))
    with Ledger.open(config.storage, run) as ledger:
        if not ledger.records("run"):
            ledger.append("run", name=run, metric=metric, direction=direction, source="")
        with cluster.connect(config.ray):
            return running.tune_function(
                function,
                space,
                searcher,
                ledger,
                metric=metric,
                mode=direction,
                trials=config.search.trials,
                seconds=config.search.time,
                parallel=config.search.parallel,
                seed=config.seed,
                notify=notify,
            )


def _name(function: Function, space: Space, name: str | None, deciding: list[Any]) -> str:
    """Name the run by the function's code, its space and what else decides the results."""
    try:
        code = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__qualname__", repr(type(function)))
    described = {key: [type(value).__name__, as_record(value)] for key, value in space.items()}
    text = json.dumps([code, described, deciding], sort_keys=True, default=str)
    stem = name or getattr(function, "__name__", "function").lower()
    stem = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "function"
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
