"""How differently a model does, and decides, for the groups of protected columns."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from raymm import bootstrap
from raymm.artifacts import Audit, Column, Direction, MetricLike, Schema, Score, SliceScore
from raymm.errors import ConfigError
from raymm.features.groups import Group, groups

_COUNT = 500
_LEVEL = 0.95
_LEAST = 10


class SelectionRate:
    """Share of rows whose most probable class is the last one, whatever is true."""

    name = "selection_rate"
    direction: Direction = "maximize"

    def __call__(self, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
        """Score predictions of shape (n, 2); NaN where there is no row."""
        return float(_selected(prediction).mean()) if len(prediction) else float("nan")

    def weighted(
        self,
        truth: npt.NDArray[Any],
        prediction: npt.NDArray[Any],
        weights: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float64]:
        """Score resamples of weights (b, n); float64, shape (b,)."""
        share = weights @ _selected(prediction) / weights.sum(axis=1)
        return np.asarray(share, dtype=np.float64)


def audit(
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    frame: pd.DataFrame,
    schema: Schema,
    *,
    metric: MetricLike,
    protected: Sequence[str],
    seed: int,
) -> Audit:
    """Compare groups of each protected column.

    Parameters
    ----------
    truth, predictions : shape (n,), and (n, classes) or (n,)
    frame : DataFrame, shape (n, columns)
        The same rows as they were read. A protected column need not be a feature.
    protected : sequence of str
        Numbers and dates are cut at their quartiles; rare values make one group "(other)". A
        column that the schema does not hold is taken for one of categories.

    Returns
    -------
    Audit
        Each group's metric and, for two classes, its selection rate; each column's gap, the
        largest group score less the smallest, named "METRIC by COLUMN". Intervals are 95 %
        bootstrap percentiles, groups drawn apart. A gap is never below 0 and grows by chance
        with the number of groups, so its interval's low end does not reach 0 even where the
        groups are alike: read it beside the groups' own intervals.

    Raises
    ------
    ConfigError
        When a protected column is not in the table; the nearest name is given.
    """
    made: list[SliceScore] = []
    gaps: list[Score] = []
    binary = predictions.ndim == 2 and predictions.shape[1] == 2
    described = {column.name: column for column in schema.columns}
    measures: list[MetricLike] = [metric, SelectionRate()] if binary else [metric]
    for name in protected:
        _require_column(name, frame)
        found = groups(frame[name], described.get(name) or _words(name), least=_LEAST, pool=True)
        for measure in measures:
            generator = np.random.default_rng(seed)
            draws = [_draws(measure, truth, predictions, one, generator) for one in found]
            pairs = zip(found, draws, strict=True)
            scores = [_group(measure, truth, predictions, one, drawn) for one, drawn in pairs]
            made += scores
            gaps += _gap(f"{measure.name} by {name}", scores, draws)
    return Audit(groups=tuple(made), gaps=tuple(gaps))


def _words(name: str) -> Column:
    return Column(name=name, kind="category")


def _draws(
    measure: MetricLike,
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    group: Group,
    generator: np.random.Generator,
) -> npt.NDArray[np.float64]:
    chosen = [predictions[group.mask]]
    return bootstrap.replicates(
        measure, truth[group.mask], chosen, count=_COUNT, generator=generator
    )[:, 0]


def _group(
    measure: MetricLike,
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    group: Group,
    draws: npt.NDArray[np.float64],
) -> SliceScore:
    value = measure(truth[group.mask], predictions[group.mask])
    score = _score(measure.name, value, draws)
    return SliceScore(
        column=group.column, value=group.value, rows=int(group.mask.sum()), score=score
    )


def _gap(
    name: str, scores: Sequence[SliceScore], draws: Sequence[npt.NDArray[np.float64]]
) -> list[Score]:
    values = np.array([one.score.value for one in scores])
    known = np.isfinite(values)
    if known.sum() < 2:
        return []
    drawn = np.stack([one for one, keep in zip(draws, known, strict=True) if keep])
    return [_score(name, np.ptp(values[known]), np.ptp(drawn, axis=0))]


def _score(name: str, value: Any, draws: npt.NDArray[np.float64]) -> Score:
    low, high = bootstrap.interval(draws, _LEVEL)
    return Score(metric=name, value=float(value), low=low, high=high, level=_LEVEL)


def require_columns(protected: Sequence[str], frame: pd.DataFrame) -> None:
    """Check that each protected column is there; raises ConfigError with the nearest name."""
    for name in protected:
        _require_column(name, frame)


def _require_column(name: str, frame: pd.DataFrame) -> None:
    if name not in frame.columns:
        near = difflib.get_close_matches(name, list(frame.columns), n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Columns: {', '.join(frame.columns)}."
        raise ConfigError(f'goal.protected names "{name}", which is not a column. {hint}')


def _selected(prediction: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.asarray(prediction.argmax(axis=1) == prediction.shape[1] - 1, dtype=np.float32)
