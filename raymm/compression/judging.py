"""Measures forms of a bundle on validation rows, and says which lose no more than is allowed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Candidate, Config, MetricLike, Score, Tensors
from raymm.bootstrap import interval, replicates
from raymm.bundle.blend import decided
from raymm.bundle.packed import Bundle
from raymm.bundle.parity import BOUND
from raymm.bundle.run import Runner
from raymm.compression.bounds import together, unlost
from raymm.compression.schedule import told
from raymm.compression.spread import by_rows

RESAMPLES = 300
LEVEL = 0.9
"""Of the loss's interval: its upper end is a one-sided bound at 95 %."""
TIMED_CALLS = 200
TIMED_ROWS = 1000
TIMED_SECONDS = 0.3
"""After which no more calls are timed, of a row and of `TIMED_ROWS` each. One that takes longer by
itself is timed once: the first is slower by what it sets up, which takes microseconds."""
NONE = "none"
FARTHER = (512.0, 256.0, 128.0, 64.0, 48.0, 32.0, 24.0, 16.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0)
"""Times that answers are taken farther from the bundle's, to see how near they are to a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A bundle as a technique made it, and what was measured of it.

    Attributes
    ----------
    losses : float64, shape (RESAMPLES,)
    hidden : float
        How many times as far as they are answers could be from the bundle's with nothing lost on
        these rows, and 1 where a row may move far; 0 where something is lost, or where they are
        the bundle's.
    bounded_moves : bool
        See `raymm.compression.compressor.Compressor.bounded_moves`.
    """

    bundle: Bundle
    candidate: Candidate
    losses: npt.NDArray[np.float64]
    hidden: float = 0.0
    bounded_moves: bool = False


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Validation rows, and the loss on them that is allowed.

    Attributes
    ----------
    whole : array
        What the bundle as it is predicts.
    silent : set of str
        Forms with answers that are not finite, as `told` names them; none is ever chosen.
    beside : callable, optional
        Given a form's predictions, as `Runner.predict` returns them, says what else than the metric
        is too bad to ship it; empty where nothing is.
    spoilt : dict of str
        What it said, by the form's name; none of these is ever chosen.
    took : list of (int, float)
        Bytes of each form's graph, and the seconds that measuring it took.
    """

    metric: MetricLike
    tensors: Tensors
    y: npt.NDArray[Any]
    seed: int
    whole: npt.NDArray[Any]
    max_loss: float
    silent: set[str] = field(default_factory=set)
    beside: Callable[[npt.NDArray[Any]], str] | None = None
    spoilt: dict[str, str] = field(default_factory=dict)
    took: list[tuple[int, float]] = field(default_factory=list)

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

    @property
    def allowed(self) -> float:
        """The loss that is allowed, in the metric's unit."""
        return self.max_loss * (1.0 if self.bounded else abs(self.score))

    def measured(
        self,
        technique: str,
        parameters: Config,
        form: Bundle,
        runner: Runner | None = None,
        *,
        bounded_moves: bool = False,
    ) -> Form:
        """Measure a form; its loss is paired, row by row and resample by resample.

        ``runner`` is given for the bundle as it is, which `whole` was predicted by;
        ``bounded_moves`` as `raymm.compression.compressor.Compressor.bounded_moves` says.
        """
        began, known = time.monotonic(), runner is not None
        prediction, fault = self.whole, 0.0
        runner = runner or Runner(form)
        # Before rows are asked for on several threads: a container may have to wait after them.
        middle, slow, thousand = times(runner, self.tensors)
        if not known:
            answers = by_rows(runner.predict, self.tensors)
            prediction = decided(answers, form.schema.decision)
            if np.isfinite(prediction).all():
                if why := self.beside(answers) if self.beside else "":
                    self.spoilt[told(technique, parameters)] = why
            else:
                # It says nothing, which is worse than the same of every row by any metric.
                prediction = np.broadcast_to(self.whole.mean(axis=0), self.whole.shape).copy()
                fault = 1.0 + self.allowed + abs(self.score)
                self.silent.add(told(technique, parameters))
        score, loss, losses, hidden = self.lost(prediction, bounded_moves=bounded_moves)
        if fault:
            loss = self._told(loss.value + fault, loss.low + fault, loss.high + fault)
            losses, hidden = losses + fault, 0.0
        candidate = Candidate(
            technique=technique,
            parameters=parameters,
            score=score,
            loss=loss,
            bytes=len(form.to_bytes(proven=False)),
            row_microseconds=middle,
            slow_microseconds=slow,
            thousand_microseconds=thousand,
            graph_bytes=len(form.graph),
            heap_bytes=runner.heap_bytes or 0,
        )
        if not known:  # that of the bundle itself may be packed already
            self.took.append((len(form.graph), time.monotonic() - began))
        return Form(
            bundle=form,
            candidate=candidate,
            losses=losses,
            hidden=hidden,
            bounded_moves=bounded_moves,
        )

    def expected(self, graph_bytes: int) -> float:
        """Return the seconds that measuring a form of so many bytes is likely to take, at least.

        Where it is larger than all others were, it takes as much more as these did for their size,
        and at most in proportion; 0 where there were none.
        """
        size, seconds = max(self.took, default=(1, 0.0))
        most = seconds * max(1.0, graph_bytes / size)
        least, fewer = min(self.took, default=(1, 0.0))
        if size < 2 * least or seconds <= fewer:
            return most
        rate = (seconds - fewer) / (size - least)
        return float(np.clip(seconds + rate * (graph_bytes - size), seconds, most))

    def lost(
        self, prediction: npt.NDArray[Any], *, bounded_moves: bool = False
    ) -> tuple[float, Score, npt.NDArray[np.float64], float]:
        """Return a prediction's score, its loss, its losses on resamples, and `Form.hidden`."""
        score = float(self.metric(self.y, prediction))
        sign = 1.0 if self.metric.direction == "maximize" else -1.0
        # Adding 0 turns a loss of -0 into 0.
        losses = sign * (self.resampled - self.resamples(prediction)) + 0.0
        low, high = interval(losses, LEVEL)
        apart = np.abs(prediction - self.whole).max() / max(1.0, float(np.std(self.whole)))
        # A resample that lacks a class has no score, and says nothing of a loss either.
        known = losses[np.isfinite(losses)]
        hidden, value = 0.0, sign * (self.score - score) + 0.0
        if self.bounded and len(known) and self._loses_nowhere(known) and apart > BOUND:
            # A bootstrap of rows of which none loses cannot know what other rows would lose.
            hidden = self._hidden(prediction) if bounded_moves else 1.0
            high = self._unlost(value, 1) / hidden
        return score, self._told(value, low, high), losses, hidden

    def _hidden(self, prediction: npt.NDArray[Any]) -> float:
        """Return how many times as far from the bundle's answers nothing is lost on any resample.

        A row loses where its answer is closer to another decision than it moves; as many rows lie
        within a small distance of one as the distance is long, so that answers which move a tenth
        as far lose a tenth as often. That holds where all rows move about as far: rows of a rare
        category that is cut off move by much, and none of them may be here. A row that is right
        at both ends of a straight way is right all along it, so that the largest factor may be
        taken of those that are tried.
        """
        sign = 1.0 if self.metric.direction == "maximize" else -1.0
        for factor in FARTHER:
            moved = self.whole + factor * (prediction - self.whole)
            value = sign * (self.score - float(self.metric(self.y, moved)))
            losses = np.append(sign * (self.resampled - self.resamples(moved)), value)
            if self._loses_nowhere(losses[np.isfinite(losses)]):
                return factor
        return 1.0

    def _unlost(self, value: float, compared: int) -> float:
        """Return what may be lost at most where no row is, and as much gained as ``value`` says.

        NaN where the metric says nothing.
        """
        if not np.isfinite(value):
            return float("nan")
        return unlost(len(self.y), round(-value * len(self.y)), compared, LEVEL)

    def _loses_nowhere(self, losses: npt.NDArray[np.float64]) -> bool:
        """Return whether no row loses: where labels are judged some may gain, else none moves."""
        if getattr(self.metric, "labels", False):
            return bool((losses <= 0).all())
        return not losses.any()

    def compared(self, form: Form, control: Form) -> Form:
        """Return a form that says what it is better by than its control, on paired resamples."""
        low, high = interval(control.losses - form.losses, LEVEL)
        value = control.candidate.loss.value - form.candidate.loss.value
        gain = self._told(value + 0.0, low, high)
        return replace(form, candidate=replace(form.candidate, over_control=gain))

    def good(self, candidate: Candidate) -> bool:
        """Whether a candidate surely loses no more than is allowed, as the bundle itself does,
        surely is better than its control, and nothing else is too bad.
        """
        gain = candidate.over_control
        if candidate.technique == NONE:
            return True
        if told(candidate.technique, candidate.parameters) in self.spoilt:
            return False
        return self.within(candidate.loss) and (gain is None or gain.low > 0)

    def within(self, loss: Score) -> bool:
        """Whether a loss surely is no more than is allowed."""
        return max(loss.high, loss.value) <= self.allowed

    @property
    def ruled_out(self) -> tuple[str, ...]:
        """What to say of the forms for which something else is too bad."""
        return tuple(f"{form}: measured, but {why}" for form, why in self.spoilt.items())

    def hopeless(self, candidate: Candidate) -> bool:
        """Whether a candidate surely loses more than is allowed, or something else is too bad."""
        spoilt = told(candidate.technique, candidate.parameters) in self.spoilt
        return spoilt or bool(candidate.loss.low > self.allowed)

    def together(
        self, forms: Sequence[Form], unmade: Sequence[npt.NDArray[np.float64]] = ()
    ) -> tuple[Candidate, ...]:
        """Return the candidates with bounds of their losses that hold for all of them at once.

        Where a loss is within what is allowed only once others that are widen its bounds no more,
        no more is known of it than that: its bound is what is allowed.

        ``unmade`` holds the losses of forms that were looked at and not made, as `Form.losses`.
        Those that are far too bad to have been taken for good widen no other's bounds (Hansen 2005,
        "A test for superior predictive ability", section 2.4).
        """
        held = [form.candidate for form in forms]
        if len(forms) < 2:
            return tuple(held)
        values = np.array([one.loss.value for one in held[1:]])
        near = [one for one in unmade if not self._far(one)]
        losses = [*(one.losses for one in forms[1:]), *near]
        values = np.append(values, [_mean(one) for one in near])
        counted = ~np.array([self._far(one) for one in losses])
        low, high = self._bounds(values, np.stack(losses, axis=1), counted)
        hidden = self._tested(forms)
        made = held[:1]
        for form, least, most in zip(forms[1:], low.tolist(), high.tolist(), strict=False):
            value = form.candidate.loss.value
            unknown = self._unlost(value, hidden) / (form.hidden or 1.0)
            loss = self._told(value, least, unknown if form.hidden else most)
            made.append(replace(form.candidate, loss=loss))
        return tuple(made)

    def _tested(self, forms: Sequence[Form]) -> int:
        """Return of how many forms without a loss on these rows bounds hold together, at least 1.

        Forms whose rows may move far need so many rows that it is known beforehand whether they
        can be within what is allowed. Those that cannot are no test, and take no share of the risk.

        Source: Tarone 1990, "A modified Bonferroni method for discrete data".
        """
        able = [
            one.bounded_moves or self._unlost(one.candidate.loss.value, 1) <= self.allowed
            for one in forms
        ]
        return max(1, sum(a and one.hidden > 0 for a, one in zip(able, forms, strict=True)))

    def _bounds(
        self, values: npt.NDArray[np.float64], losses: npt.NDArray[np.float64], counted: Any
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return bounds, of one step, and who is within what is allowed, in as many as it takes.

        Those that are within it are left out of the next step, which says of the others only
        whether they are, too: its narrower intervals do not hold for all at once.

        Source: Romano & Wolf 2005, "Stepwise multiple testing as formalized data snooping",
        algorithm 4.1.
        """
        low, high = together(values, losses, LEVEL, counted)
        while (sure := counted & (np.maximum(high, values) <= self.allowed)).any():
            counted = counted & ~sure
            if not counted.any():
                break
            rest = np.flatnonzero(counted)
            most = together(values, losses, LEVEL, counted)[1][rest]
            high[rest] = np.where(most <= self.allowed, self.allowed, high[rest])
        return low, high

    def _far(self, losses: npt.NDArray[np.float64]) -> bool:
        """Whether a loss is beyond what is allowed by more errors than chance ever explains."""
        most = np.sqrt(2 * np.log(np.log(max(len(self.y), 3))))
        known = losses[np.isfinite(losses)]
        return bool(_mean(losses) - self.allowed > most * (known.std() if len(known) else 0.0))

    def _told(self, value: float, low: float, high: float) -> Score:
        return Score(metric=self.metric.name, value=value, low=low, high=high, level=LEVEL)


def _mean(losses: npt.NDArray[np.float64]) -> float:
    """Return the mean over the resamples that have a score, 0 where none has."""
    known = losses[np.isfinite(losses)]
    return float(known.mean()) if len(known) else 0.0


def times(runner: Runner, tensors: Tensors) -> tuple[float, float, float]:
    """Return the median and 99th percentile of a row's time and the time of `TIMED_ROWS` rows, in
    microseconds, after a few calls to warm up.
    """
    count = len(next(iter(tensors.values())))
    ones = [
        {name: values[row : row + 1] for name, values in tensors.items()}
        for row in range(min(count, TIMED_CALLS))
    ]
    taken = _timed(runner, [ones[turn % len(ones)] for turn in range(TIMED_CALLS + 10)])
    many = {name: np.resize(values, TIMED_ROWS) for name, values in tensors.items()}
    thousands = _timed(runner, [many] * 4)
    thousand = np.median(thousands[len(thousands) > 1 :])
    middle, slow = np.quantile(taken[min(10, len(taken) // 2) :], [0.5, 0.99])
    return float(middle), float(slow), float(thousand)


def _timed(runner: Runner, calls: Sequence[Tensors]) -> list[float]:
    """Return how long calls took; all of them, or as many as take `TIMED_SECONDS`."""
    taken: list[float] = []
    for call in calls:
        taken.append(_microseconds(runner, call))
        if sum(taken) > 1e6 * TIMED_SECONDS:
            break
    return taken


def _microseconds(runner: Runner, tensors: Tensors) -> float:
    start = time.perf_counter_ns()
    runner.predict(tensors)
    return (time.perf_counter_ns() - start) / 1000
