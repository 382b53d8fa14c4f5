"""Measures ways to compress a bundle and chooses the smallest that is good enough.

First come techniques whose forms can be foretold: a mix of fewer members. The others are tried on
the smallest of these that is good, or on the bundle itself, cheap and promising ones first; sizes
between the last that is good and the next are looked for. Those that write numbers more coarsely
are then tried on what the others made and could be chosen, the smallest first, and only until one
of these is good enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Frontier, MetricLike, Tensors
from raymm.bundle.blend import decided
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.applying import applied, apply, joined_recipe, steps
from raymm.compression.choosing import choose
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.judging import NONE, TIMED_SECONDS, Form, Judge
from raymm.compression.parsed import runner_of
from raymm.compression.schedule import Schedule
from raymm.compression.spread import by_rows
from raymm.compression.trying import LEAST, alone, forms_of, opened, recipes_of
from raymm.plugins import compressors
from raymm.sections import Limits

__all__ = ["applied", "apply", "explore", "steps"]

ROWS = 10_000
"""Validation rows that are scored at most, drawn at random."""
BASES = 3
"""Forms that techniques are tried on that follow others, at most, besides the bundle itself."""
SHARE = 0.2
"""Of the search's time, which measuring forms may take about."""
SECONDS = 1.2, 0.4
"""What packing, loading and scoring takes for each MB of a form's graph, and the size of a form
beside the bundle as it was: with them time is foreseen from sizes, and no clock decides."""
FOLLOWING = "quantize"
"""How the names of techniques begin that follow others; see `raymm.compression.compressor`."""


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
    left: Callable[[], float] | None = None,
    beside: Callable[[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]], str] | None = None,
) -> Frontier:
    """Measure a bundle and its compressed forms on validation rows, and choose one.

    The smallest file is chosen of those whose loss has an upper bound of at most ``max_loss``, with
    a confidence of 95 % for all forms together (bootstrap over rows, paired; see
    `raymm.compression.bounds`): losing more than was allowed is the worse mistake of the two, and
    with fewer rows, or more forms, less is compressed. Forms that have a control are chosen only
    where they surely are better than it.

    Where there are limits, the choice is among the forms within them. If no form is both within
    them and good enough, it is the one within them that loses least: beyond a limit nothing is
    blessed. Without ``left`` and a limit of time the clock plays no part, so the same rows always
    lead to the same choice.

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
    left : callable, optional
        Returns how many seconds exploring may go on; forms for which there is no time are left out.
    beside : callable, optional
        Given what a form and the bundle predict of rows, as `Runner.predict` returns it, and the
        rows' ``y``, says what else than the metric is too bad to choose the form; empty where
        nothing is.

    Returns
    -------
    Frontier
        First the bundle as it is (technique "none"), then the compressed forms, largest first, and
        which were left out.

    Raises
    ------
    ConfigError
        When a technique is not known.
    """
    if len(y) > ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), ROWS, replace=False))
        tensors, y = {name: values[rows] for name, values in tensors.items()}, y[rows]
    made = _techniques(techniques)
    answers = by_rows((runner := runner_of(bundle)).predict, tensors)
    judge = Judge(
        metric=metric,
        tensors=tensors,
        y=y,
        seed=seed,
        whole=decided(answers, bundle.schema.decision),
        max_loss=max_loss,
        beside=None if beside is None else lambda made: beside(made, answers, y),
    )
    plan = Schedule(left=left, most=_most(len(bundle.graph), seconds), measured=judge.took)
    forms = [_as_it_is(bundle, runner, judge, plan)]
    following = {name: one for name, one in made.items() if name.startswith(FOLLOWING)}
    first = {name: one for name, one in made.items() if name not in following}
    opening = {name: one for name, one in first.items() if one.opens}
    unmade: list[npt.NDArray[np.float64]] = []
    forms += opened(forms[0], opening, trained, judge, plan, unmade)
    plan.keep(len(following) > 0)
    others = {name: one for name, one in first.items() if name not in opening}
    forms += alone(forms[-1], others, trained, judge, plan)
    plan.keep(False)
    forms = [*forms, *_followed(forms, following, trained, judge, plan)]  # not +=: it reads them
    whole, *rest = judge.together(forms, unmade)
    ordered = (whole, *sorted(rest, key=lambda one: -one.bytes))
    return Frontier(
        candidates=choose(ordered, judge, limits or Limits()),
        metric=metric.name,
        max_loss=max_loss,
        rows=len(y),
        left_out=(*plan.left_out, *judge.ruled_out),
    )


def _as_it_is(bundle: Bundle, runner: Runner, judge: Judge, plan: Schedule) -> Form:
    """Measure the bundle itself, and note how long that takes without its rows' times."""
    began = time.monotonic()
    form = judge.measured(NONE, {}, bundle, runner)
    plan.whole = max(0.0, time.monotonic() - began - 2 * TIMED_SECONDS)
    return form


def _techniques(given: Sequence[str] | Literal["auto"]) -> dict[str, Compressor]:
    """Return the techniques by name; ConfigError where one is not known."""
    names = compressors.names() if given == "auto" else given
    return {name: compressors.get(name)() for name in names}


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


def _followed(
    forms: Sequence[Form],
    following: Mapping[str, Compressor],
    trained: Rows,
    judge: Judge,
    plan: Schedule,
) -> Iterator[Form]:
    """Yield forms that techniques make of the bundle itself, and of other forms that are good.

    Smaller bases come first. Once one has a form that is good beside all others, larger ones are
    tried with coarser recipes alone, as long as that makes smaller files. Of the bundle itself one
    form is shown in any case where the clock does not decide, and coarser ones where that is the
    smallest: trees that resemble each other take fewer bytes than what stands for them all.
    """
    bases = [form for form in forms[1:] if judge.good(form.candidate)]
    bases.sort(key=lambda form: form.candidate.bytes)
    smaller = [form for form in bases if form.candidate.bytes < forms[0].candidate.bytes]
    done: dict[str, int] = {}
    least = 0
    for number, base in enumerate(smaller[:BASES]):
        # Of the smallest that is good it takes little time, and brings half of the bytes.
        due = number == 0
        made = _coarser(base, following, trained, judge, plan, beside=forms, done=done, due=due)
        yield from (found := list(made))
        forms = [*forms, *found]
        held = judge.together(forms)[len(forms) - len(found) :]
        sizes = [one.bytes for one in held if judge.good(one)]
        if least and min(sizes, default=least) >= least:
            break
        if not (least := min(sizes, default=0)):
            done.clear()
    if not (least and plan.bounded):
        # Where nothing else is good, these are all there is.
        whole = judge.expected(len(forms[0].bundle.graph))
        due = not least and not plan.over and (plan.left is None or whole <= plan.left())
        yield from _coarser(
            forms[0], following, trained, judge, plan, beside=forms, done=done, below=least, due=due
        )


def _coarser(  # noqa: PLR0913  (what is made coarser, what judges it, and how far to go)
    base: Form,
    following: Mapping[str, Compressor],
    trained: Rows,
    judge: Judge,
    plan: Schedule,
    *,
    beside: Sequence[Form],
    done: dict[str, int],
    below: int = 0,
    due: bool = False,
) -> Iterator[Form]:
    """Yield a technique's forms of another, and then the next one's of the smallest that is good.

    Recipes are tried from the middle on, coarser ones as long as the last was good with the forms
    ``beside`` it, or finer ones until one is; of a technique that is in ``done``, only those that
    are coarser than that. Into it goes the coarsest good one of each. Where they are ``due``, the
    first of each technique is tried in any case. With ``below``, they begin with the one in
    ``done``, or the finest, and end where a file is no smaller.
    """
    for name, technique in following.items():
        recipes, place = recipes_of(base, (name, technique), trained, plan)
        step = 0
        if below:
            place, step = done.get(name, 0), 1
        elif name in done:
            place, step = done[name] + 1, 1
        middle = 0 if step else place
        found: list[Form] = []
        while 0 <= place < len(recipes):
            recipe = recipes[place]
            joined, parameters = joined_recipe(base.candidate, name, recipe)
            expected = judge.expected(len(base.bundle.graph))
            if not plan.allows(joined, parameters, due=due and not found, least=expected):
                break
            form: Form | None = None
            with plan.tried(joined, parameters), plan.timed(joined):
                form = next(forms_of(base, (name, technique), recipe, trained, judge))
            if form is not None:
                gain = base.candidate.over_control
                found.append(replace(form, candidate=replace(form.candidate, over_control=gain)))
                yield found[-1]
            held = judge.together([*beside, *found])[len(beside) :]
            good = form is not None and judge.good(held[-1])
            if good:
                plan.found(joined)
                done[name] = max(place, done.get(name, 0))
            if step > 0 and not good and middle and not any(map(judge.good, held)):
                # What was good stood alone; beside this one it is no more.
                place, step = middle - 1, -1
                continue
            no_smaller = below and form is not None and form.candidate.bytes >= below
            if no_smaller or (good and step < 0) or (not good and step > 0):
                break
            step = 1 if good else -1
            place += step
        better = [one for one in found if judge.good(one.candidate)]
        base = min([base, *better], key=lambda one: one.candidate.bytes)
