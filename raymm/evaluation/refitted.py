"""Whether a bundle that was trained on the test rows too may ship in the proven one's place.

Its score on test rows proves nothing, as it has seen them: it should do better there, or as well.
Where it does worse, something went wrong, and that shows. What is asked is that it is no worse
there than the proven bundle beyond chance, and that on rows that both have seen the two answer
alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Check, Direction, Score, Task
from raymm.evaluation.compressed import Pair, compressed
from raymm.evaluation.metrics import Metric
from raymm.features.groups import Group

NAME = "refit"
APART = 2**0.5
"""Of two models that each err by e about the truth, independently, the answers lie this many times
e apart: their squared errors add. On rows that both have learnt from, two fits of one recipe lie
nearer than that."""
EXPLAINED = 0.5
"""Share of the spread of the proven one's answers that the new one's must at least explain (R²).
Of two means, one of n rows and one of these and m more, each explains n / (n + m) of the other's
chance; what is there to be learnt they share."""
LEAST = 0.01
"""How far apart the answers may lie in any case: on the scale of probabilities, or as a share of
the target's standard deviation. A model of almost no error would leave no room at all."""


def refitted(
    tested: Pair,
    learnt: Pair,
    *,
    task: Task,
    metric: Metric,
    score: Score,
    direction: Direction,
    max_loss: float,
    slices: tuple[Group, ...] = (),
) -> Check:
    """Hold a bundle of all rows, ``made``, against the proven one, ``full``.

    Parameters
    ----------
    tested : Pair
        On the test rows; at least one.
    learnt : Pair
        On training rows, which both have seen; at least one.
    score : Score
        The proven bundle's, on the test rows.
    max_loss : float
        As in `raymm.evaluation.compressed.compressed`, whose bounds are asked here too: of the
        metric, and for classes of log loss and calibration, and of every slice.
    slices : tuple of (column, value, mask)
        Of the test rows.

    Returns
    -------
    Check
        Failed where the new bundle answers what is not finite; is worse on the test rows than the
        interval of the proven one's score, or surely worse in any of these; or where the two lie
        further apart on training rows than `APART` times the proven one's error on test rows, or
        than `EXPLAINED` allows; but see `LEAST`.
    """
    if not (np.isfinite(tested.made).all() and np.isfinite(learnt.made).all()):
        return _failed("its predictions are not all finite numbers.")
    own, proven = (float(metric(tested.truth, one)) for one in tested.sides(metric))
    told = (
        f"on the {len(tested.truth):,} test rows, which it has seen, its {metric.name} is "
        f"{own:.5g}, the proven one's {proven:.5g} ({score.low:.5g} to {score.high:.5g})"
    )
    if own < score.low if direction == "maximize" else own > score.high:
        return _failed(f"{told}.")
    check = compressed(
        tested, task=task, metric=metric, max_loss=max_loss, slices=slices, name=NAME
    )
    if not check.passed:
        return _failed(check.statement)
    spread = _distance(learnt.full, learnt.full.mean(axis=0, keepdims=True))
    most = min(APART * error(tested.truth, tested.full), (1 - EXPLAINED) ** 0.5 * spread)
    most = max(most, LEAST * _scale(tested, task))
    apart = _distance(learnt.made, learnt.full)
    beside = (
        f"on {len(learnt.truth):,} training rows, which both have seen, their answers lie "
        f"{apart:.3g} apart (root mean square), where {most:.3g} is allowed"
    )
    if apart > most:
        return _failed(f"{beside}.")
    several = "" if task == "regression" else "log loss, calibration and "
    text = (
        f"{told}; none of {several}{len(slices)} slices is surely worse; {beside}. Rows that it "
        "has seen show that nothing went wrong, not how well it will do on others."
    )
    return Check(name=NAME, passed=True, statement=text)


def error(truth: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> float:
    """Return the root mean square error of values, or of a row's probabilities together.

    The latter's square is the Brier score. ``predictions`` has shape (n,) or (n, classes).
    """
    if predictions.ndim == 1:
        return _distance(predictions, truth)
    return _distance(predictions, np.eye(predictions.shape[1])[truth.astype(np.int64)])


def _distance(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    apart = np.square(one.astype(np.float64) - other.astype(np.float64))
    return float(np.sqrt(apart.reshape(len(apart), -1).sum(axis=1).mean()))


def _scale(pair: Pair, task: Task) -> float:
    return float(np.std(pair.truth)) if task == "regression" else 1.0


def _failed(statement: str) -> Check:
    return Check(name=NAME, passed=False, statement=statement)
