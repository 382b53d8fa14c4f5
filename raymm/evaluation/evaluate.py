"""Scores of a bundle on its test rows, each with a bootstrap interval.

Rows are drawn with replacement and every prediction is scored on the same draws, so that
differences are paired; intervals are percentiles of the draws. Draws are not stratified by class:
how many rows a class has is chance too. Source: Efron & Tibshirani 1993, chapters 8 and 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm import bootstrap
from raymm.artifacts import Evaluation, Score, SliceScore, Task
from raymm.bundle.blend import decided
from raymm.errors import DataError
from raymm.evaluation.calibration import CalibrationError
from raymm.evaluation.metrics import Metric, metric_for, suitable
from raymm.features.groups import Group

Decisions = tuple[Sequence[float], Sequence[float]]

_COUNT = 1000
"""Resamples behind the goal's metric: 50 lie beyond each end of a 90 % interval."""

REPORTED = 0.95
"""The level of the interval that a person is told."""

_FEW = 200
"""Resamples behind the other metrics and the slices, which decide nothing alone."""

_SEEN = 400_000_000
"""Cells of predictions (all sides, all resamples) scored for one interval at most, so that large
tests take seconds; where it binds, at least 100 resamples are drawn."""


def evaluate(  # noqa: PLR0913  (one argument a thing that is compared)
    truth: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    *,
    task: Task,
    metric: Metric,
    baseline: npt.NDArray[Any],
    seed: int,
    champion: tuple[str, npt.NDArray[Any]] | None = None,
    slices: Sequence[Group] = (),
    confidence: float = 0.95,
    decisions: Decisions = ((), ()),
) -> Evaluation:
    """Score predictions on test rows against the trivial prediction and the champion.

    Parameters
    ----------
    truth : shape (n,)
        Class codes or values.
    predictions : shape (n, classes) or (n,)
        Probabilities or values. Where any is not finite, every score is NaN and `bless` refuses.
    baseline : same shape as predictions
        The trivial prediction, see `raymm.evaluation.metrics.baseline_prediction`.
    champion : (name, array of the same shape) or None
        The reigning champion's predictions for the same rows.
    slices : sequence of (column, value, mask)
        From `raymm.evaluation.slices.slices`.
    confidence : float
        Of each end of an interval as a one-sided bound: 0.95 makes intervals of level 90 %.
    decisions : (sequence of float, sequence of float)
        How the bundle and the champion weigh the classes, see `raymm.artifacts.Schema`; metrics of
        labels are told of it, those of probabilities are not.

    Raises
    ------
    DataError
        When there is no test row.
    """
    if len(truth) == 0:
        raise DataError("an evaluation needs at least one test row. Set data.test higher.")
    sides = [predictions, baseline] if champion is None else [predictions, baseline, champion[1]]
    level = round(2 * confidence - 1, 9)
    contest = _Contest(truth, sides, seed, level, (decisions[0], (), decisions[1]))
    (score, *gains), reported = contest.scores(metric, _COUNT)
    return Evaluation(
        direction=metric.direction,
        rows=len(truth),
        score=score,
        others=_others(contest, metric, task),
        baseline=_call(metric, truth, baseline),
        gain=gains[0],
        champion="" if champion is None else champion[0],
        champion_gain=None if champion is None else gains[1],
        slices=tuple(_slice(contest, metric, one, len(slices)) for one in slices),
        reported=reported,
    )


def _others(contest: _Contest, metric: Metric, task: Task) -> tuple[Score, ...]:
    """Return the candidate's other scores, those left out that are not defined on these rows."""
    measures = [metric_for(name, task) for name in suitable(task) if name != metric.name]
    if task != "regression":
        measures.append(CalibrationError())
    scores = (contest.scores(measure, _FEW, 1)[0][0] for measure in measures)
    return tuple(one for one in scores if np.isfinite(one.value))


class _Contest:
    """Predictions of the same rows: the candidate's first, then those it is compared with."""

    def __init__(
        self,
        truth: npt.NDArray[Any],
        predictions: Sequence[npt.NDArray[Any]],
        seed: int,
        level: float,
        decisions: Sequence[Sequence[float]],
    ) -> None:
        self.truth = truth
        self.predictions = predictions
        self.seed = seed
        self.level = level
        self.decisions = decisions

    def at(self, mask: npt.NDArray[np.bool_]) -> _Contest:
        """Return the same for some rows; the trivial prediction plays no part there."""
        chosen = [one[mask] for one in self.predictions]
        one = _Contest(self.truth[mask], chosen, self.seed, self.level, self.decisions)
        one.predictions = [chosen[0], *chosen[2:]]
        one.decisions = [self.decisions[0], *self.decisions[2:]]
        return one

    def judged(self, metric: Metric, sides: int | None = None) -> list[npt.NDArray[Any]]:
        """Return each side's predictions as the metric is to see them."""
        chosen = list(self.predictions[:sides])
        if not metric.labels:
            return chosen
        return [decided(one, how) for one, how in zip(chosen, self.decisions, strict=False)]

    def values(self, metric: Metric) -> npt.NDArray[np.float64]:
        return np.array([_call(metric, self.truth, one) for one in self.judged(metric)])

    def draws(
        self, metric: Metric, count: int, sides: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Return bootstrap scores, shape (count, sides); NaN where a score cannot be had."""
        chosen = self.judged(metric, sides)
        if not all(np.isfinite(one).all() for one in chosen):
            return np.full((count, len(chosen)), np.nan)
        cells = sum(one.size for one in chosen)
        count = min(count, max(_SEEN // cells, 100))
        generator = np.random.default_rng(self.seed)
        return bootstrap.replicates(metric, self.truth, chosen, count=count, generator=generator)

    def scores(
        self, metric: Metric, count: int, sides: int | None = None
    ) -> tuple[list[Score], Score]:
        """Return the candidate's score, then its gain over each of the others; and the score with
        the interval that is told.
        """
        sign = 1.0 if metric.direction == "maximize" else -1.0
        draws = self.draws(metric, count, sides)
        values = self.values(metric)[:sides]
        if metric.strays:  # what is told lies among what it might have been
            draws = draws - draws.mean(axis=0) + np.asarray(values)
        found = [_score(metric, values[0], self._ends(metric, draws[:, 0], self.level), self.level)]
        wide = bootstrap.expanded(REPORTED, max(2, len(self.truth)))
        low, high = self._ends(metric, draws[:, 0], wide)
        if metric.bounded:  # nothing is better than perfect
            low, high = (low, min(high, 1.0)) if sign > 0 else (max(low, 0.0), high)
        told = _score(metric, values[0], (low, high), REPORTED)
        for value, drawn in zip(values[1:], draws.T[1:], strict=True):
            ends = self._ends(metric, sign * (draws[:, 0] - drawn), self.level)
            found.append(_score(metric, sign * (values[0] - value), ends, self.level))
        return found, told

    def _ends(
        self, metric: Metric, draws: npt.NDArray[np.float64], level: float
    ) -> tuple[float, float]:
        """Return the interval; where all draws are equal, as wide as so few rows leave open.

        What was not seen once in n rows happens in up to 1 - doubt^(1/n) of cases (Clopper &
        Pearson 1934); a bootstrap of equal values cannot know it.
        """
        low, high = bootstrap.interval(draws, level)
        if low == high and metric.bounded and len(self.truth):
            open_share = 1.0 - ((1.0 - level) / 2) ** (1.0 / len(self.truth))
            return low - open_share, high + open_share
        return low, high


def _slice(contest: _Contest, metric: Metric, group: Group, count: int) -> SliceScore:
    part = contest.at(group.mask)
    draws, values = part.draws(metric, _FEW), part.values(metric)
    score = _score(metric, values[0], bootstrap.interval(draws[:, 0], part.level), part.level)
    gain = None
    if len(values) == 2:
        # Percentiles that far out would need many thousand draws; a normal curve through the
        # draws' spread reaches there.
        sign = 1.0 if metric.direction == "maximize" else -1.0
        apart = draws[:, 0] - draws[:, 1]
        known = apart[np.isfinite(apart)]
        spread = float(known.std()) if len(known) * 2 > len(apart) else float("nan")
        doubt = (1 - part.level) / count
        reach = NormalDist().inv_cdf(1 - doubt / 2) * spread
        value = sign * float(values[0] - values[1])
        gain = _score(metric, value, (value - reach, value + reach), 1 - doubt)
    rows = int(group.mask.sum())
    return SliceScore(
        column=group.column, value=group.value, rows=rows, score=score, champion_gain=gain
    )


def _call(metric: Metric, truth: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> float:
    return metric(truth, prediction) if np.isfinite(prediction).all() else float("nan")


def _score(metric: Metric, value: float, ends: tuple[float, float], level: float) -> Score:
    low, high = ends
    return Score(metric=metric.name, value=float(value), low=low, high=high, level=level)
