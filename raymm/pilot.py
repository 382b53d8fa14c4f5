"""A small try before the search: whether the logarithm of the target is worth being searched.

Two quick fits tell. Without them half of the first trials would go to a target that is wrong for
the metric: squared errors are often least on the target itself, however skewed it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from raymm.artifacts import Config, Dataset, Indices, Shape
from raymm.bundle.pipeline import Bench
from raymm.evaluation.metrics import Metric
from raymm.models import targets

ROWS = 5000
ROUNDS = 200


def log_pays(
    dataset: Dataset, metric: Metric, families: Mapping[str, Any], *, shape: Shape, seed: int
) -> bool:
    """Return whether to let the search try the logarithm of the target.

    Only of a skewed target without negative values, in regression. The first family that has a
    strong configuration is trained on up to `ROWS` rows of the first fold, both ways, and the
    logarithm must score better there. The target itself stays in the search all the same, and
    both do where the try fails.
    """
    task, fold = dataset.schema.task, dataset.folds[0]
    if task != "regression" or not targets.skewed(dataset.y[dataset.train]):
        return False
    lists = {name: family.portfolio(task, shape) for name, family in families.items()}
    name = next((name for name, configs in lists.items() if configs), None)
    if name is None:
        return True
    own = lists[name][0]
    config = {"family": name, **{f"{name}.{key}": value for key, value in own.items()}}
    generator = np.random.default_rng([seed, 5])
    bench, valid = Bench(dataset, _few(fold.train, generator)), _few(fold.valid, generator)
    rounds = min(ROUNDS, families[name].max_rounds(own))
    sign = 1.0 if metric.direction == "maximize" else -1.0

    def score(more: Config) -> float:
        pipeline = bench.fit({**config, **more}, rounds=rounds, seed=seed, threads=1)
        return sign * metric(dataset.y[valid], pipeline.predict(dataset.rows(valid)))

    try:
        plain, raised = score({}), score({targets.KEY: targets.LOG})
    except Exception:  # of any library: the search meets it too, and tells of it as of a trial's
        return True
    return bool(raised > plain)


def _few(rows: Indices, generator: np.random.Generator) -> Indices:
    return rows if len(rows) <= ROWS else np.sort(generator.choice(rows, ROWS, replace=False))
