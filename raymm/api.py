"""The Python API behind ``raymm.run`` and ``raymm.tune``, as notebooks and scripts call them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd

from raymm import config as configuration
from raymm import lifecycle, tuning
from raymm.artifacts import Table
from raymm.cli import printing
from raymm.config import RunConfig
from raymm.data import ingest
from raymm.errors import ConfigError
from raymm.tuned import Tuned

_SHORT = {
    "time": "search.time",
    "trials": "search.trials",
    "algorithm": "search.algorithm",
    "families": "search.families",
    "parallel": "search.parallel",
    "metric": "goal.metric",
    "at_least": "goal.at_least",
    "protected": "goal.protected",
    "address": "ray.address",
    "exclude": "data.exclude",
}


def run(
    data: Any, *, target: str | None, name: str | None, progress: bool, settings: Mapping[str, Any]
) -> lifecycle.Run:
    """Live a whole life; `raymm.run` documents the arguments."""
    changes = {_SHORT.get(key, key.replace("__", ".")): value for key, value in settings.items()}
    if target is not None:
        changes["data.target"] = target
    if name is not None:
        changes["name"] = name
    made, table = _configuration(data, changes)
    with printing.progress(quiet=not progress) as notify:
        return lifecycle.run(made, notify=notify, table=table)


def tune(function: Any, space: Any, *, progress: bool, settings: Mapping[str, Any]) -> Tuned:
    """Tune a function or an estimator; `raymm.tuning.tune` documents the arguments."""
    said = tuning.unsaid(function, settings)
    if said:
        warnings.warn(said, stacklevel=3)
    with printing.progress(quiet=not progress) as notify:
        return tuning.tune(function, space, **{"notify": notify, **settings})


def _configuration(data: Any, changes: Mapping[str, Any]) -> tuple[RunConfig, Table | None]:
    if isinstance(data, pd.DataFrame):
        table = ingest.from_frame(data)
        return _parsed({"source": table.source}, changes), table
    if isinstance(data, Mapping):
        return configuration.parse(data, changes), None
    source = str(data)
    if source.endswith((".yaml", ".yml")):
        return configuration.load(source, changes), None
    return _parsed({"source": source}, changes), None


def _parsed(data: Mapping[str, Any], changes: Mapping[str, Any]) -> RunConfig:
    if "data.target" not in changes:
        raise ConfigError('run needs the target column. Give it with target="COLUMN".')
    return configuration.parse({"data": data}, changes)
