"""Measures ways to compress a bundle and chooses the smallest that is good enough.

Techniques are tried alone first. Those that write numbers more coarsely are then tried on what the
others made and could be chosen, the smallest first, and only until one of these is good enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Candidate, Config, Frontier, MetricLike, Score, Tensors
from raymm.bootstrap import interval, replicates
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import BOUND
from raymm.bundle.run import Runner
from raymm.compression.compressor import Rows
from raymm.plugins import compressors
from raymm.sections import Limits

ROWS = 10_000
"""Validation rows that are scored at most, drawn at random."""
RESAMPLES = 300
LEVEL = 0.9
"""Of the loss's interval: its upper end is a one-sided bound at 95 %."""
TIMED_CALLS = 200
TIMED_ROWS = 1000
BASES = 3
"""Forms that techniques are tried on that follow others, at most, besides the bundle itself."""
SHARE = 0.2
"""Of the search's time, which measuring forms may take about."""
SECONDS = 1.2, 0.4
"""What packing, loading and scoring takes for each MB of a form's graph, and the size of a form
beside the bundle as it was: with them time is foreseen from sizes, and no clock decides."""
LEAST = 2
"""Recipes of a technique that are tried in any case."""
NONE = "none"
FOLLOWING = "quantize"
"""How the names of techniques begin that follow others; see `raymm.compression.compressor`."""
JOINED = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """A bundle as a technique made it, and what was measured of it."""

    bundle: Bundle
    candidate: Candidate


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Validation rows, and the loss on them that is allowed."""

    metric: MetricLike
    tensors: Tensors
    y: npt.NDArray[Any]
    seed: int
    whole: npt.NDArray[Any]
    max_loss: float

    @cached_property
    def score(self) -> float:
        """What the bundle as it is scores."""
        return float(self.metric(self.y, self.whole))

    @cached_property
    def resampled(self) -> npt.NDArray[np.float64]:
        """What it scores on resamples, shape (RESAMPLES,)."""
        return self.resamples(self.whole)

    def resamples(self, prediction: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Score a prediction on the same resamples as any other, shape (RESAMPLES,)."""
        generator = np.random.default_rng([self.seed, 1])
        found = replicates(self.metric, self.y, [prediction], count=RESAMPLES, generator=generator)
        return found[:, 0]

    @property
    def bounded(self) -> bool:
        """Whether the allowed loss is a difference of the metric rather than a share of it."""
        return bool(getattr(self.metric, "bounded", True))

    def measured(self, technique: str, parameters: Config, form: Bundle) -> _Form:
        """Measure a form; its loss is paired, row by row and resample by resample."""
        runner = Runner(form)
        prediction = runner.judge(self.tensors)
        score = float(self.metric(self.y, prediction))
        sign = 1.0 if self.metric.direction == "maximize" else -1.0
        # Adding 0 turns a loss of -0 into 0.
        losses = sign * (self.resampled - self.resamples(prediction)) + 0.0
        low, high = interval(losses, LEVEL)
        apart = np.abs(prediction - self.whole).max() / max(1.0, float(np.std(self.whole)))
        if self.bounded and not losses.any() and apart > BOUND:
            # Where nothing was lost on n rows, up to 3 / n may be (Hanley & Lippman-Hand 1983); a
            # bootstrap of differences that are all 0 cannot know it.
            high = 3.0 / len(self.y)
        value = sign * (self.score - score) + 0.0
        middle, slow, thousand = _times(runner, self.tensors)
        candidate = Candidate(
            technique=technique,
            parameters=parameters,
            score=score,
            loss=Score(metric=self.metric.name, value=value, low=low, high=high, level=LEVEL),
            bytes=len(form.to_bytes(proven=False)),
            row_microseconds=middle,
            slow_microseconds=slow,
            thousand_microseconds=thousand,
            graph_bytes=len(form.graph),
        )
        return _Form(bundle=form, candidate=candidate)

    def good(self, candidate: Candidate) -> bool:
        """Whether a candidate surely loses no more than is allowed, as the bundle itself does."""
        allowed = self.max_loss * (1.0 if self.bounded else abs(self.score))
        loss = candidate.loss
        return candidate.technique == NONE or max(loss.high, loss.value) <= allowed


def explore(  # noqa: PLR0913  (what is compressed, what judges it, and what is allowed)
    bundle: Bundle,
    techniques: Sequence[str] | Literal["auto"],
    *,
    trained: Rows,
    tensors: Tensors,
    y: npt.NDArray[Any],
    metric: MetricLike,
    max_loss: float,
    seed: int,
    limits: Limits | None = None,
    seconds: float | None = None,
) -> Frontier:
    """Measure a bundle and its compressed forms on validation rows, and choose one.

    The smallest file is chosen of those whose loss has an upper bound of at most ``max_loss``,
    with a confidence of 95 % (percentile bootstrap over rows, paired): losing more than was
    allowed is the worse mistake of the two, and with fewer rows less is compressed. The bound is
    that of each candidate alone. Of a dozen that are compared one may pass by luck; the test rows
    judge the chosen one again (`raymm.proving`).

    Where there are limits, the choice is among the forms within them. If no form is both within
    them and good enough, it is the one within them that loses least: beyond a limit nothing is
    blessed. Without a limit of time the clock plays no part, so the same rows always lead to the
    same choice.

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
    limits : Limits, optional
        Of the file in MB and of the 99th percentile of a row's time in milliseconds.
    seconds : float, optional
        What the search could take; of large bundles fewer forms are measured after a short one.

    Returns
    -------
    Frontier
        First the bundle as it is (technique "none"), then the compressed forms, largest first.

    Raises
    ------
    ConfigError
        When a technique is not known.
    """
    if len(y) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), ROWS, replace=False))
        tensors, y = {name: values[rows] for name, values in tensors.items()}, y[rows]
    judge = _Judge(
        metric=metric,
        tensors=tensors,
        y=y,
        seed=seed,
        whole=Runner(bundle).judge(tensors),
        max_loss=max_loss,
    )
    names = compressors.names() if techniques == "auto" else techniques
    made = {name: compressors.get(name)() for name in names}
    most = _most(len(bundle.graph), seconds)
    forms = [judge.measured(NONE, {}, bundle)]
    for name, technique in made.items():
        if not name.startswith(FOLLOWING):
            for recipe in _thinned(technique.recipes(bundle, trained), most):
                forms.append(judge.measured(name, recipe, technique.apply(bundle, recipe, trained)))
    following = {name: made[name] for name in names if name.startswith(FOLLOWING)}
    forms += _followed(forms, following, trained, judge, most)
    first, *others = (form.candidate for form in forms)
    others.sort(key=lambda one: -one.bytes)
    return Frontier(
        candidates=_choose([first, *others], judge, limits or Limits()),
        metric=metric.name,
        max_loss=max_loss,
        rows=len(y),
    )


def apply(bundle: Bundle, candidate: Candidate, trained: Rows) -> Bundle:
    """Compress a bundle as a candidate was; "none" returns it as it is.

    Raises
    ------
    ConfigError
        When a technique of the candidate's is not known.
    """
    for name, recipe in steps(candidate):
        bundle = compressors.get(name)().apply(bundle, recipe, trained)
    return bundle


def steps(candidate: Candidate) -> tuple[tuple[str, Config], ...]:
    """Return the techniques of a candidate in their order, each with its own parameters.

    >>> score = Score(metric="m", value=0, low=0, high=0)
    >>> given = {"prune.size": 0.15, "quantize.bits": 8}
    >>> steps(Candidate(technique="prune+quantize", parameters=given, score=0, loss=score,
    ...                 bytes=0, row_microseconds=0))
    (('prune', {'size': 0.15}), ('quantize', {'bits': 8}))
    """
    if candidate.technique == NONE:
        return ()
    names = candidate.technique.split(JOINED)
    if len(names) == 1:
        return ((names[0], candidate.parameters),)
    return tuple((name, _own(name, candidate.parameters)) for name in names)


def _own(name: str, parameters: Config) -> dict[str, Any]:
    start = f"{name}."
    return {k.removeprefix(start): v for k, v in parameters.items() if k.startswith(start)}


def _most(graph_bytes: int, seconds: float | None) -> int | None:
    """Return how many recipes of a technique there is time for, or None for all of them.

    >>> _most(1_000_000, 60.0), _most(1_000_000, 10.0), _most(1_000_000, None)
    (12, 2, None)
    """
    if seconds is None:
        return None
    rate, size = SECONDS
    # Half of them cut or prune, the other half follows.
    return max(LEAST, int(SHARE * seconds / (rate * size * graph_bytes / 1e6) / 2))


def _thinned(recipes: Sequence[Config], most: int | None) -> Sequence[Config]:
    """Return at most so many recipes, those between the first and the last evenly apart."""
    if most is None or len(recipes) <= most:
        return recipes
    return [recipes[place] for place in np.linspace(0, len(recipes) - 1, most).round().astype(int)]


def _followed(
    forms: Sequence[_Form],
    following: Mapping[str, Any],
    trained: Rows,
    judge: _Judge,
    most: int | None,
) -> Iterator[_Form]:
    """Yield forms that techniques make of the bundle itself, and of other forms that are good.

    Finer recipes come first, and the next is tried as long as the last one was good. Smaller bases
    come first too, and with a good form of one the larger ones are left alone; of the bundle itself
    one form is shown in any case.
    """
    bases = [form for form in forms[1:] if judge.good(form.candidate)]
    bases.sort(key=lambda form: form.candidate.bytes)
    smaller = [form for form in bases if form.candidate.bytes < forms[0].candidate.bytes]
    for base in smaller[:BASES]:
        found = list(_coarser(base, following, trained, judge, most))
        yield from found
        if any(judge.good(form.candidate) for form in found):
            yield from _coarser(forms[0], following, trained, judge, 1)
            return
    yield from _coarser(forms[0], following, trained, judge, most)


def _coarser(
    base: _Form,
    following: Mapping[str, Any],
    trained: Rows,
    judge: _Judge,
    most: int | None,
) -> Iterator[_Form]:
    for name, technique in following.items():
        for recipe in _thinned(technique.recipes(base.bundle, trained), most):
            made = technique.apply(base.bundle, recipe, trained)
            form = judge.measured(*_joined(base.candidate, name, recipe), made)
            yield form
            if not judge.good(form.candidate):
                break


def _joined(first: Candidate, name: str, recipe: Config) -> tuple[str, Config]:
    """Return the name and the parameters of one technique after another."""
    if first.technique == NONE:
        return name, recipe
    parameters = {f"{first.technique}.{key}": value for key, value in first.parameters.items()}
    parameters |= {f"{name}.{key}": value for key, value in recipe.items()}
    return f"{first.technique}{JOINED}{name}", parameters


def _choose(
    candidates: Sequence[Candidate], judge: _Judge, limits: Limits
) -> tuple[Candidate, ...]:
    """Mark one candidate, as `explore` says; ties go to the first."""
    within = [index for index, one in enumerate(candidates) if _within(one, limits)]
    good = [index for index, one in enumerate(candidates) if judge.good(one)]
    both = [index for index in within if index in good]
    lossy = [index for index in within if np.isfinite(candidates[index].loss.value)]
    if both or not lossy:
        best = min(both or good, key=lambda index: (candidates[index].bytes, index))
    else:
        best = min(lossy, key=lambda index: (candidates[index].loss.value, index))
    return tuple(replace(one, chosen=index == best) for index, one in enumerate(candidates))


def _within(candidate: Candidate, limits: Limits) -> bool:
    small = limits.bundle_mb is None or candidate.bytes <= limits.bundle_mb * 1e6
    slow = limits.latency_p99_ms
    return small and (slow is None or candidate.slow_microseconds <= slow * 1000)


def _times(runner: Runner, tensors: Tensors) -> tuple[float, float, float]:
    """Return the median and 99th percentile of a row's time and the time of `TIMED_ROWS` rows, in
    microseconds, after a few calls to warm up.
    """
    count = len(next(iter(tensors.values())))
    ones = [
        {name: values[row : row + 1] for name, values in tensors.items()}
        for row in range(min(count, TIMED_CALLS))
    ]
    times = []
    for turn in range(TIMED_CALLS + 10):
        times.append(_microseconds(runner, ones[turn % len(ones)]))
    many = {name: np.resize(values, TIMED_ROWS) for name, values in tensors.items()}
    thousand = np.median([_microseconds(runner, many) for _ in range(4)][1:])
    middle, slow = np.quantile(times[10:], [0.5, 0.99])
    return float(middle), float(slow), float(thousand)


def _microseconds(runner: Runner, tensors: Tensors) -> float:
    start = time.perf_counter_ns()
    runner.predict(tensors)
    return (time.perf_counter_ns() - start) / 1000
