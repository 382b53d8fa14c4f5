"""What each raw column adds to a single prediction: Shapley values.

Exact contributions of a model family are taken where their sums are the bundle's own output;
else they are sampled on the bundle, which holds for every graph, compressed ones too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Explanation, MetricLike, Task, Tensors
from raymm.explanation.importance import Predict, permutation_importance

Output = Callable[[Tensors], npt.NDArray[np.float64]]
_BACKGROUND = 20
_CELLS = 4e9
"""Cells of raw columns that are predicted at most, for the importances and for the rows alike: half
a minute to two for a graph that reads them all. A table of 1,500 columns would take ten times as
long with all the rows that are asked for."""
_LEAST_SHUFFLED, _LEAST_EXPLAINED = 200, 5
_SHUFFLED_COLUMNS = 200
"""Columns that are shuffled at most where all of them, on the least rows, would go beyond `_CELLS`:
those that contribute most to the rows explained."""
_RAW = {"binary": "log-odds of {}", "multiclass": "raw score of {}", "regression": "{}"}
_TOLERANCE = 1e-3
"""Largest difference between the sum of exact contributions and the bundle's output, on the
scale of probabilities or of the values' spread; float32 sums of some hundred trees stay far
below, and a compressed graph soon goes beyond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """Contributions that a model family computed itself for the rows to explain.

    Attributes
    ----------
    contributions : float64, shape (n, d + 1) or (n, classes, d + 1)
        As `raymm.models.family.Family.contributions` returns them.
    columns : sequence of str, length d
        The raw column that each feature was made of.
    method : str
    """

    contributions: npt.NDArray[np.float64]
    columns: Sequence[str]
    method: str = "the models' own contributions"


def explain(  # noqa: PLR0913  (what is explained, and how the rows are named)
    predict: Predict,
    tensors: Tensors,
    y: npt.NDArray[Any],
    metric: MetricLike,
    *,
    task: Task,
    unit: str,
    seed: int,
    exact: Exact | None = None,
    rows: int = 20,
    shuffled: int = 2000,
) -> Explanation:
    """Explain a bundle: its columns' importance, and the first rows' predictions one by one.

    Parameters
    ----------
    predict : callable
        The bundle's own, from raw columns to probabilities (n, classes) or values (n,).
    tensors, y
        Test rows; the first ``rows`` are explained, against a background drawn from all.
    unit : str
        The last class's name, or the target's for regression.
    exact : Exact or None
        Contributions to the same first rows; they are passed over where their sums are not the
        bundle's output.
    shuffled : int
        Rows at most on which the importances are measured. Both numbers are smaller where the
        table is so wide that it would take minutes; of some thousand columns, only those that
        contribute most have an importance.
    """
    names = tuple(tensors)
    chosen = {name: values[:rows] for name, values in tensors.items()}
    parts = None if exact is None else _checked(exact, names, predict(chosen), task)
    if exact is not None and parts is not None:
        method, shown = f"{exact.method}, summed by raw column", _RAW[task].format(unit)
    else:
        generator = np.random.default_rng(seed)
        count, most = _walked(len(names))
        picks = generator.choice(len(y), size=min(count, len(y)), replace=False)
        chosen = {name: values[:most] for name, values in chosen.items()}
        background = {name: values[picks] for name, values in tensors.items()}
        parts = shapley(_output(predict), chosen, background, generator=generator)
        method = f"Shapley values sampled on the bundle, {len(picks)} background rows"
        shown = unit if task == "regression" else f"probability of {unit}"
    contributions, base = parts
    outputs = base + contributions.sum(axis=1)
    most, columns = _shuffled(names, contributions)
    shuffled = min(shuffled, most)
    importance = permutation_importance(
        predict, tensors, y, metric, seed=seed, max_rows=shuffled, columns=columns
    )
    return Explanation(
        importance=importance,
        columns=names,
        contributions=tuple(tuple(map(float, row)) for row in contributions),
        base=float(base),
        outputs=tuple(map(float, outputs)),
        unit=shown,
        method=method,
    )


def _walked(columns: int) -> tuple[int, int]:
    """Return how many background rows to walk from, and how many rows to explain at most."""
    cells = 2 * columns * (columns + 1)  # of one background row and one explained
    background = int(np.clip(_CELLS / (cells * _LEAST_EXPLAINED), 1, _BACKGROUND))
    return background, max(_LEAST_EXPLAINED, int(_CELLS / (cells * background)))


def _shuffled(
    names: Sequence[str], contributions: npt.NDArray[np.float64]
) -> tuple[int, frozenset[str] | None]:
    """Return how many rows to shuffle at most, and which columns; None for all of them."""
    most = int(_CELLS / (6 * len(names) ** 2))
    if most >= _LEAST_SHUFFLED:
        return most, None
    count = max(1, min(_SHUFFLED_COLUMNS, int(_CELLS / (6 * _LEAST_SHUFFLED * len(names)))))
    order = np.argsort(-np.abs(contributions).mean(axis=0), kind="stable")
    return _LEAST_SHUFFLED, frozenset(names[place] for place in order[:count])


def shapley(
    output: Output,
    tensors: Tensors,
    background: Tensors,
    *,
    generator: np.random.Generator,
    repeats: int = 1,
) -> tuple[npt.NDArray[np.float64], float]:
    """Sample Shapley values of raw columns.

    For each background row a random order of the columns and its reverse are walked from the
    background row to the explained row, one column at a time; a column is credited with the
    change at its step. Every walk's changes telescope, so contributions and base add up to the
    output exactly, and an order with its reverse is exact for functions of pairs of columns.

    Parameters
    ----------
    output : callable
        From raw columns, each of shape (m,), to float64 of shape (m,).
    tensors : mapping of column to array, shape (n,)
        Rows to explain.
    background : mapping of column to array, shape (b,)
        Rows to compare with, the same columns.
    repeats : int
        Orders drawn for each background row; the error falls with its root.

    Returns
    -------
    contributions : float64, shape (n, columns)
        In the order of ``tensors``.
    base : float
        Mean output over the background.

    Source: Štrumbelj & Kononenko 2014, algorithm 1; reversed orders, Mitchell et al. 2022.
    """
    names = list(tensors)
    n, b = len(tensors[names[0]]), len(background[names[0]])
    total, base = np.zeros((n, len(names))), 0.0
    for row in range(b):
        for _ in range(repeats):
            order = generator.permutation(len(names))
            for walk in (order, order[::-1]):
                values = output(_path(tensors, background, names, walk, row)).reshape(-1, n)
                total[:, walk] += np.diff(values, axis=0).T
                base += float(values[0, 0])
    walks = 2 * b * repeats
    return total / walks, base / walks


def contributions_by_column(
    contributions: npt.NDArray[np.float64],
    feature_columns: Sequence[str],
    columns: Sequence[str],
    *,
    output: int = -1,
) -> tuple[npt.NDArray[np.float64], float]:
    """Add up features' contributions by the raw column they were made of.

    Parameters
    ----------
    contributions : float64, shape (n, d + 1) or (n, classes, d + 1)
        The last entry is the base.
    feature_columns : sequence of str, length d
    columns : sequence of str
        The raw columns wanted, in order; features of others must not be there.
    output : int
        The class to take of three-dimensional contributions.

    Returns
    -------
    contributions : float64, shape (n, columns)
    base : float

    Raises
    ------
    ValueError
        When the counts of features differ, or a feature's column is not wanted.
    """
    flat = contributions[:, output] if contributions.ndim == 3 else contributions
    if flat.shape[1] != len(feature_columns) + 1:
        raise ValueError(
            f"contributions must have one entry a feature and the base, {len(feature_columns) + 1} "
            f"in all, but have {flat.shape[1]}"
        )
    places = {name: place for place, name in enumerate(columns)}
    strange = sorted(set(feature_columns) - set(places))
    if strange:
        raise ValueError(f"features must be made of {sorted(places)}, but some are of {strange}")
    summed = np.zeros((len(flat), len(columns)))
    np.add.at(summed.T, [places[name] for name in feature_columns], flat[:, :-1].T)
    return summed, float(flat[0, -1]) if len(flat) else 0.0


def _path(
    tensors: Tensors,
    background: Tensors,
    names: Sequence[str],
    walk: npt.NDArray[np.int64],
    row: int,
) -> dict[str, npt.NDArray[Any]]:
    """Return the explained rows at each of the columns + 1 steps of a walk, step after step."""
    n, steps = len(tensors[names[0]]), len(names) + 1
    turn = np.empty(len(names), dtype=np.int64)
    turn[walk] = np.arange(1, steps)
    table = {}
    for place, name in enumerate(names):
        from_row = np.tile(tensors[name], (steps, 1))
        from_row[: turn[place]] = background[name][row]
        table[name] = from_row.reshape(steps * n)
    return table


def _output(predict: Predict) -> Output:
    def last(tensors: Tensors) -> npt.NDArray[np.float64]:
        predictions = np.asarray(predict(tensors), dtype=np.float64)
        return predictions[:, -1] if predictions.ndim == 2 else predictions

    return last


def _checked(
    exact: Exact, names: Sequence[str], predictions: npt.NDArray[Any], task: Task
) -> tuple[npt.NDArray[np.float64], float] | None:
    sums = exact.contributions.sum(axis=-1)
    if task == "binary":
        off = np.abs(1 / (1 + np.exp(-sums)) - predictions[:, -1])
    elif task == "multiclass":
        raised = np.exp(sums - sums.max(axis=1, keepdims=True))
        off = np.abs(raised / raised.sum(axis=1, keepdims=True) - predictions)
    else:
        off = np.abs(sums - predictions) / max(float(np.std(predictions)), 1e-12)
    if not off.max() <= _TOLERANCE:
        return None
    return contributions_by_column(exact.contributions, exact.columns, names)
