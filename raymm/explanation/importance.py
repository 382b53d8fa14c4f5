"""Permutation importance: how much worse the served bundle gets when a column is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import bootstrap
from raymm.artifacts import Importance, MetricLike, Tensors

Predict = Callable[[Tensors], npt.NDArray[Any]]
_COUNT = 200
_LEVEL = 0.95
_MOVED = 20
"""Rows whose value another must have taken before a column is held to be one that is not read."""


def permutation_importance(
    predict: Predict,
    tensors: Tensors,
    y: npt.NDArray[Any],
    metric: MetricLike,
    *,
    seed: int,
    repeats: int = 5,
    max_rows: int = 2000,
    columns: Collection[str] | None = None,
) -> tuple[Importance, ...]:
    """Shuffle each raw column and measure what the metric loses.

    Parameters
    ----------
    predict : callable
        From raw columns to probabilities (n, classes) or values (n,); the bundle's own.
    tensors : mapping of column to array, shape (n,)
    y : shape (n,)
        Class codes or values.
    repeats : int
        Shuffles a column; their mean is given.
    max_rows : int
        At most so many rows, drawn without replacement, are used.
    columns : collection of str, optional
        Which columns to shuffle; all of them where it is not given.

    Returns
    -------
    tuple of Importance
        Most important first. ``value`` is in the metric's unit and positive where shuffling hurts;
        ``low`` and ``high`` bound it at 95 % over both the rows and the shuffles (200 paired
        bootstrap resamples). Columns that say the same share their importance, so each can
        seem to matter little. One whose first shuffle moves many values and changes no
        prediction has none.

    Source: Breiman 2001, "Random Forests", section 10; Fisher, Rudin & Dominici 2019.
    """
    generator = np.random.default_rng(seed)
    rows = np.arange(len(y))
    if len(rows) > max_rows:
        rows = np.sort(generator.choice(rows, max_rows, replace=False))
    kept = {name: values[rows] for name, values in tensors.items()}
    truth, plain = y[rows], predict(kept)
    sign = 1.0 if metric.direction == "maximize" else -1.0
    found = []
    for name in kept if columns is None else [name for name in kept if name in columns]:
        values = kept[name]
        orders = [generator.permutation(len(rows)) for _ in range(repeats)]
        shuffled = [predict({**kept, name: values[orders[0]]})]
        moved = int(np.count_nonzero(values[orders[0]] != values))
        if moved >= _MOVED and np.array_equal(shuffled[0], plain):
            found.append(Importance(column=name, value=0.0, low=0.0, high=0.0))
            continue
        shuffled += [predict({**kept, name: values[order]}) for order in orders[1:]]
        loss = sign * (metric(truth, plain) - np.mean([metric(truth, one) for one in shuffled]))
        low, high = _bounds(metric, truth, [plain, *shuffled], generator)
        found.append(Importance(column=name, value=float(loss), low=low, high=high))
    return tuple(sorted(found, key=lambda one: (-one.value, one.column)))


def _bounds(
    metric: MetricLike,
    truth: npt.NDArray[Any],
    predictions: list[npt.NDArray[Any]],
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Bound the mean loss of the shuffled predictions against the first, the plain one."""
    scores = bootstrap.replicates(metric, truth, predictions, count=_COUNT, generator=generator)
    sign = 1.0 if metric.direction == "maximize" else -1.0
    losses = sign * (scores[:, :1] - scores[:, 1:])
    # A resample takes one shuffle at random too, and so carries the shuffles' spread, scaled to
    # that of the mean of all of them.
    mean, repeats = losses.mean(axis=1), losses.shape[1]
    picked = losses[np.arange(len(losses)), generator.integers(0, repeats, len(losses))]
    return bootstrap.interval(mean + (picked - mean) / np.sqrt(repeats), _LEVEL)
