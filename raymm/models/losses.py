"""Which errors a booster of values is trained on: squared ones, or absolute ones.

The least squares of a leaf are at the mean of its rows, the least absolute errors at their median
(Koenker & Bassett 1978). Where a target is skewed the two are far apart, and a metric of absolute
errors is lost by whatever estimates the mean. XGBoost from 3.4 comes near the median only: it
smooths errors that are small beside the usual one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raymm.artifacts import Categorical, Config, Parameter, Shape, Task

KEY = "absolute"
"""The switch of a configuration: whether absolute errors are trained on. It is off where it is
missing, as it is wherever the metric is another one."""
METRICS = frozenset({"mae", "mape"})
"""Metrics whose best constant is a median. That of mape is one under weights, and lower."""


def choices(task: Task, shape: Shape) -> dict[str, Parameter]:
    """Return what to add to a booster's space: the switch, where the metric asks for it."""
    asked = task == "regression" and shape.metric in METRICS
    return {KEY: Categorical((False, True))} if asked else {}


def both(configs: Sequence[Config], task: Task, shape: Shape) -> list[Config]:
    """Return strong configurations with the switch, where the metric asks for it.

    All are on absolute errors, and the first one is on squared errors too, as second: they get
    further where the errors are even, or the leaves hold few rows.
    """
    if not choices(task, shape):
        return list(configs)
    absolute: list[dict[str, Any]] = [{**one, KEY: True} for one in configs]
    return [absolute[0], {**configs[0], KEY: False}, *absolute[1:]]


def plain(config: Config) -> dict[str, Any]:
    """Return a configuration without the switch, which no library knows."""
    return {name: value for name, value in config.items() if name != KEY}
