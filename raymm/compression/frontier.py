"""Measures every way to compress a bundle and chooses the smallest that is good enough."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Candidate, Config, Frontier, MetricLike, Score, Tensors
from raymm.bootstrap import interval, replicates
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.compressor import Rows
from raymm.plugins import compressors

ROWS = 5000
"""Validation rows that are scored at most, drawn at random."""
RESAMPLES = 300
LEVEL = 0.9
"""Of the loss's interval: its upper end is a one-sided bound at 95 %."""
TIMED_CALLS = 101
NONE = "none"


def explore(
    bundle: Bundle,
    techniques: Sequence[str] | Literal["auto"],
    *,
    trained: Rows,
    tensors: Tensors,
    y: npt.NDArray[Any],
    metric: MetricLike,
    max_loss: float,
    seed: int,
) -> Frontier:
    """Measure a bundle and its compressed forms on validation rows, and choose one.

    The smallest file is chosen of those whose loss has an upper bound of at most ``max_loss``,
    with a confidence of 95 % (percentile bootstrap over rows, paired): losing more than was
    allowed is the worse mistake of the two, and with fewer rows less is compressed. Times play
    no part, so the same rows always lead to the same choice.

    Parameters
    ----------
    bundle : Bundle
        Trained without the validation rows.
    techniques : sequence of str or "auto"
        Names of compressors; "auto" is all of them.
    trained : Rows
        Those that the bundle was trained on.
    tensors : mapping of column name to array, shape (n,)
    y : shape (n,)
    metric : MetricLike
        Its ``bounded`` (True where it has none) says whether ``max_loss`` is a difference of the
        metric or a share of the value that the bundle scores.
    max_loss : float
        At least 0.
    seed : int
        Decides the rows and the resamples.

    Returns
    -------
    Frontier
        First the bundle as it is (technique "none"), then the compressed forms, largest first.

    Raises
    ------
    ConfigError
        When a technique is not known.
    """
    generator = np.random.default_rng(seed)
    if len(y) > ROWS:
        rows = np.sort(generator.choice(len(y), ROWS, replace=False))
        tensors, y = {name: values[rows] for name, values in tensors.items()}, y[rows]
    forms = [(NONE, dict[str, Any](), bundle), *_compressed(bundle, techniques, trained)]
    runners = [Runner(form) for _, _, form in forms]
    predictions = [runner.judge(tensors) for runner in runners]
    scores = [float(metric(y, prediction)) for prediction in predictions]
    sign = 1.0 if metric.direction == "maximize" else -1.0
    drawn = replicates(metric, y, predictions, count=RESAMPLES, generator=generator)
    # Adding 0 turns a loss of -0 into 0.
    losses = sign * (drawn[:, :1] - drawn) + 0.0
    # Where nothing was lost on n rows, up to 3 / n may be (Hanley & Lippman-Hand 1983); a
    # bootstrap of differences that are all 0 cannot know it.
    bounded = getattr(metric, "bounded", True)
    least = 3.0 / len(y) if bounded else 0.0
    one = {name: values[:1] for name, values in tensors.items()}
    candidates = []
    for index, (technique, parameters, form) in enumerate(forms):
        low, high = interval(losses[:, index], LEVEL)
        high = max(high, least) if index else high
        value = sign * (scores[0] - scores[index]) + 0.0
        candidates.append(
            Candidate(
                technique=technique,
                parameters=parameters,
                score=scores[index],
                loss=Score(metric=metric.name, value=value, low=low, high=high, level=LEVEL),
                bytes=len(form.to_bytes()),
                row_microseconds=_microseconds(runners[index], one),
            )
        )
    allowed = max_loss * (1.0 if bounded else abs(scores[0]))
    return Frontier(
        candidates=_choose(candidates, allowed),
        metric=metric.name,
        max_loss=max_loss,
        rows=len(y),
    )


def apply(bundle: Bundle, candidate: Candidate, trained: Rows) -> Bundle:
    """Compress a bundle as a candidate was; "none" returns it as it is.

    Raises
    ------
    ConfigError
        When the candidate's technique is not known.
    """
    if candidate.technique == NONE:
        return bundle
    return compressors.get(candidate.technique)().apply(bundle, candidate.parameters, trained)


def _compressed(
    bundle: Bundle, techniques: Sequence[str] | Literal["auto"], trained: Rows
) -> list[tuple[str, Config, Bundle]]:
    names = compressors.names() if techniques == "auto" else techniques
    made = [(name, compressors.get(name)()) for name in names]
    return [
        (name, recipe, technique.apply(bundle, recipe, trained))
        for name, technique in made
        for recipe in technique.recipes(bundle, trained)
    ]


def _choose(candidates: Sequence[Candidate], allowed: float) -> tuple[Candidate, ...]:
    """Mark the smallest candidate whose loss surely is within what is allowed; ties go first."""
    # The bundle as it is loses nothing, whatever the metric says of it.
    good = [
        index
        for index, candidate in enumerate(candidates)
        if index == 0 or (candidate.loss.high <= allowed and candidate.loss.value <= allowed)
    ]
    best = min(good, key=lambda index: (candidates[index].bytes, index))
    return tuple(replace(c, chosen=index == best) for index, c in enumerate(candidates))


def _microseconds(runner: Runner, tensors: Tensors) -> float:
    """Return the median time of one row, after a few calls to warm up."""
    times = []
    for _ in range(TIMED_CALLS + 10):
        start = time.perf_counter_ns()
        runner.predict(tensors)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times[10:])) / 1000
