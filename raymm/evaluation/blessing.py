"""The blessing: the statistical statements that a model must pass to be promoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Blessing, Check, Evaluation, Score
from raymm.bundle.blend import decided
from raymm.evaluation.metrics import Metric
from raymm.plugins import metrics
from raymm.sections import Goal

MARGIN = 0.01
"""How much worse than the champion a model may be and still count as no worse: an absolute
difference for metrics on a fixed scale, a share of the champion's value for the rest. Without
a margin, a model as good as the champion would pass one time in twenty."""


def bless(
    evaluation: Evaluation,
    goal: Goal,
    *,
    bundle_bytes: int,
    row_microseconds: float | None = None,
    margin: float = MARGIN,
) -> Blessing:
    """Check an evaluation against the goal; blessed when every check passes.

    A score passes a threshold when its one-sided confidence bound at ``goal.confidence`` does, so
    a model is blessed by mistake in at most one of 1 / (1 - confidence) cases.

    Parameters
    ----------
    evaluation : Evaluation
        Made with ``confidence=goal.confidence``.
    row_microseconds : float or None
        99th percentile of the time of one row through the graph, for
        ``limits.latency_p99_ms``; None where it was not measured.
    margin : float
        See `MARGIN`.

    Raises
    ------
    ValueError
        When the evaluation's intervals are narrower than the goal's confidence asks for.
    """
    if evaluation.score.level < 2 * goal.confidence - 1 - 1e-9:
        raise ValueError(
            f"the evaluation's level must be at least {2 * goal.confidence - 1:g}, but is "
            f"{evaluation.score.level:g}. Evaluate with confidence={goal.confidence:g}."
        )
    checks = [_finite(evaluation), _baseline(evaluation)]
    if goal.at_least is not None:
        checks.append(_threshold(evaluation, goal.at_least))
    if evaluation.champion_gain is not None:
        made = metrics.get(evaluation.score.metric)
        allowed = _allowed(evaluation, evaluation.champion_gain, made, margin)
        checks.append(_champion(evaluation, evaluation.champion_gain, allowed))
        checks.append(_slices(evaluation, allowed))
    checks += limit_checks(goal, bundle_bytes, row_microseconds)
    return Blessing(blessed=all(check.passed for check in checks), checks=tuple(checks))


def undecided(evaluation: Evaluation, blessing: Blessing, *, margin: float = MARGIN) -> bool:
    """Return whether all that a blessing lacks is proof that it is no worse than the champion.

    The test rows that the champion was not trained on are few, and older than what drifted: they
    neither show that the model is no worse, nor that it is. Where they show that it is, overall or
    in a slice, or any other check failed, nothing is undecided.
    """
    failed = [check.name for check in blessing.checks if not check.passed]
    gain = evaluation.champion_gain
    if failed != ["champion"] or gain is None or not np.isfinite([gain.value, gain.high]).all():
        return False
    made = metrics.get(evaluation.score.metric)
    return gain.high >= -_allowed(evaluation, gain, made, margin)


def _sure(score: Score) -> str:
    return f"{100 * (1 + score.level) / 2:.4g} % confidence"


def _finite(evaluation: Evaluation) -> Check:
    score = evaluation.score
    passed = bool(np.isfinite([score.value, score.low, score.high]).all())
    if passed:
        text = f"{score.metric} and its bounds could be computed on {evaluation.rows:,} test rows."
    else:
        text = (
            f"{score.metric} could not be computed on {evaluation.rows:,} test rows: a prediction "
            "is not a finite number, or the rows hold too few of a class. Use more test rows."
        )
    return Check(name="finite", passed=passed, statement=text)


def _baseline(evaluation: Evaluation) -> Check:
    gain = evaluation.gain
    passed = gain.low > 0
    verb = "better" if passed else "not shown to be better"
    text = (
        f"{gain.metric} is {verb} than the trivial prediction's {evaluation.baseline:.5g}: the "
        f"gain is {gain.value:.5g}, at least {gain.low:.5g} with {_sure(gain)}."
    )
    if not passed:
        text += " More test rows or more telling columns would mend this."
    return Check(name="baseline", passed=passed, statement=text)


def _threshold(evaluation: Evaluation, at_least: float) -> Check:
    score = evaluation.score
    higher = evaluation.direction == "maximize"
    bound = score.low if higher else score.high
    passed = bound >= at_least if higher else bound <= at_least
    side = "least" if higher else "most"
    text = (
        f"{score.metric} is {score.value:.5g}, at {side} {bound:.5g} with {_sure(score)}; the "
        f"goal asks for at {side} {at_least:.5g}."
    )
    near = score.value >= at_least if higher else score.value <= at_least
    if not passed and near:
        text += " The score itself reaches the goal: more test rows would tighten the bound."
    elif not passed:
        text += " Search longer, or set goal.at_least to what can be reached."
    return Check(name="at_least", passed=passed, statement=text)


def _allowed(evaluation: Evaluation, gain: Score, made: type[Metric], margin: float) -> float:
    if made.bounded:
        return margin
    sign = 1 if evaluation.direction == "maximize" else -1
    return margin * abs(evaluation.score.value - sign * gain.value)


def _champion(evaluation: Evaluation, gain: Score, allowed: float) -> Check:
    passed = gain.low > -allowed
    verb = "no worse" if passed else "not shown to be no worse"
    text = (
        f"{gain.metric} is {verb} than the champion {evaluation.champion}: the gain is "
        f"{gain.value:.5g}, at least {gain.low:.5g} with {_sure(gain)}; {-allowed:.5g} is allowed."
    )
    return Check(name="champion", passed=passed, statement=text)


def _slices(evaluation: Evaluation, allowed: float) -> Check:
    judged = [(one, one.champion_gain) for one in evaluation.slices if one.champion_gain]
    worse = [(one, gain) for one, gain in judged if gain.high < -allowed]
    if not worse:
        text = f"None of {len(judged)} slices is shown to be worse than the champion."
        return Check(name="slices", passed=True, statement=text)
    one, gain = min(worse, key=lambda item: item[1].high)
    text = (
        f"{len(worse)} of {len(judged)} slices are worse than the champion, most of all "
        f"{one.column} = {one.value} ({one.rows:,} rows): the gain is {gain.value:.5g}, at most "
        f"{gain.high:.5g} after correction for the number of slices; {-allowed:.5g} is allowed."
    )
    return Check(name="slices", passed=False, statement=text)


def one_answer(
    predictions: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    *,
    decision: Sequence[float],
    classes: Sequence[str],
) -> Check | None:
    """Note that a classifier answers one class for all test rows, which hold more; else None.

    Its probabilities may rank the rows well all the same, so that this decides nothing.

    Parameters
    ----------
    predictions : shape (n, classes)
    truth : shape (n,)
        Class codes.
    decision : sequence of float
        How the bundle weighs the classes, see `raymm.artifacts.Schema`.
    """
    answers = np.unique(decided(predictions, decision).argmax(axis=1))
    if len(answers) != 1 or len(np.unique(truth)) < 2:
        return None
    only = int(answers[0])
    text = (
        f"It answers {classes[only]} for all {len(truth):,} test rows, of which "
        f"{np.mean(truth == only):.1%} are that: only its probabilities tell rows apart. Where "
        "answers count, a goal.metric of answers (balanced_accuracy, f1, mcc) moves the decision."
    )
    return Check(name="one_answer", passed=True, statement=text, note=True)


def limit_checks(goal: Goal, bundle_bytes: int, row_microseconds: float | None) -> list[Check]:
    """Check a file's bytes and a slow row's microseconds, where the goal limits them."""
    checks = []
    if goal.limits.bundle_mb is not None:
        size = bundle_bytes / 1e6
        text = f"The bundle takes {size:.3g} MB; the limit is {goal.limits.bundle_mb:g} MB."
        passed = size <= goal.limits.bundle_mb
        checks.append(Check(name="bundle_mb", passed=passed, statement=text))
    if goal.limits.latency_p99_ms is not None:
        limit = goal.limits.latency_p99_ms
        if row_microseconds is None:
            passed, text = False, "The time of one row was not measured, so the limit is not shown."
        else:
            taken = row_microseconds / 1000
            passed = taken <= limit
            text = (
                f"One row takes {taken:.3g} ms through the graph (99th percentile, one thread, "
                f"without the network and the service); the limit is {limit:g} ms."
            )
        checks.append(Check(name="latency_p99_ms", passed=passed, statement=text))
    return checks
