"""What is worth its place among the features, decided before the search by quick tries.

Columns that tell nothing are left out, and what pairs of numbers make together is put in, each
where validation rows are predicted as well or better for it. The search, the final model and the
graph then have the same features. Rows of the test are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Dataset, Finding, Interaction
from raymm.attempts import Floats, Try, anew, attempts, compared, constant, saved
from raymm.features.combination import candidates, combined, finite, label
from raymm.models.quick import Quick, gains

LEAST_ROWS = 500
"""Training rows below which nothing is decided: chance would."""
NUMBERS = 8
"""Columns of numbers whose pairs are tried: those that a first try gains most by."""
SIZES = (2, 4, 8, 16)
"""How many interactions are tried at once, best ones first."""
SURE, LIKELY = 2.0, 0.5
"""Standard errors by which losses must be lower with interactions, and without columns."""
SHARES = (1.0, 0.5, 0.25)
"""Of the columns that seem to tell nothing, those left out at once: the least telling first."""
DEALS = 3
TELLING = 1.25
"""Times that a column must gain what its values gain when dealt to other rows, in `DEALS` deals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What was decided of a table's features.

    Attributes
    ----------
    dropped : tuple of str
        Columns to leave out.
    interactions : tuple of Interaction
    findings : tuple of Finding
        What was weighed, for a person; the policies "selection" and "interactions".
    """

    dropped: tuple[str, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    findings: tuple[Finding, ...] = ()
    version: int = 1


def weigh(dataset: Dataset, quick: Quick, *, select: bool = True, interact: bool = True) -> Worth:
    """Decide which columns to leave out and which interactions to put in.

    Parameters
    ----------
    dataset : Dataset
        Its folds decide; words of free texts are left out of the tries and stay features.
    quick : Quick
    select, interact : bool
        What to decide at all.

    Returns
    -------
    Worth
        Nothing is dropped or put in where the training rows are fewer than `LEAST_ROWS`, where a
        quick model is no better than a constant, or where columns are too many to be tried.
    """
    plain = _plain(dataset)
    if not (select or interact) or len(dataset.train) < LEAST_ROWS or not plain.schema.features:
        return Worth()
    tries, rounds = attempts(plain, quick, spare=SIZES[-1])
    if not tries:
        return Worth()
    (before,) = anew(quick, tries, rounds, [lambda _, one: (one.x, one.valid_x)])
    if quick.mean(before) >= quick.mean(constant(quick, tries)):
        return Worth()
    dropped: tuple[str, ...] = ()
    findings: list[Finding] = []
    if select and len(plain.schema.features) > 1:
        dropped, before, finding = _select(quick, tries, before, rounds)
        findings.append(finding)
    made: tuple[Interaction, ...] = ()
    if interact:
        made, told = _interact(quick, tries, frozenset(dropped), before, rounds)
        findings += [told] if told else []
    return Worth(dropped=dropped, interactions=made, findings=tuple(findings))


def applied(dataset: Dataset, worth: Worth) -> Dataset:
    """Return a dataset with what was decided of its features; given interactions stay."""
    reason = "tells nothing: validation rows are predicted as well without it"
    columns = tuple(
        replace(one, role="ignored", reason=reason) if one.name in worth.dropped else one
        for one in dataset.schema.columns
    )
    given = dataset.schema.interactions
    made = worth.interactions if given is None else given
    schema = replace(dataset.schema, columns=columns, interactions=made)
    tensors = {name: one for name, one in dataset.tensors.items() if name not in worth.dropped}
    return replace(dataset, schema=schema, tensors=tensors)


def _plain(dataset: Dataset) -> Dataset:
    """Return the dataset without its texts."""
    columns = tuple(
        replace(one, role="ignored") if one.role == "feature" and one.kind == "text" else one
        for one in dataset.schema.columns
    )
    return replace(dataset, schema=replace(dataset.schema, columns=columns, interactions=()))


# ------------------------------------------------------------------------------------- selection


def _select(
    quick: Quick, tries: Sequence[Try], before: npt.NDArray[np.float64], rounds: int
) -> tuple[tuple[str, ...], npt.NDArray[np.float64], Finding]:
    """Return the columns to leave out, the losses without them, and what to tell.

    Candidates gain a booster no more than their own values do when these are dealt to other rows
    (Kursa & Rudnicki 2010, "Feature selection with the Boruta package"), by training rows alone.
    Validation rows judge what is left out together, and must be predicted better for it: columns
    may stand in for each other.
    """
    told = _telling(quick, tries, rounds)
    weak = sorted((name for name in told if told[name] < TELLING), key=lambda name: told[name])
    shares = [weak[: max(1, round(share * len(weak)))] for share in SHARES if weak]
    tried = [names for names in map(frozenset, shares) if len(names) < len(told)]

    def without(names: frozenset[str], _: int, one: Try) -> tuple[Floats, Floats]:
        kept = one.of(names)
        return one.x[:, kept], one.valid_x[:, kept]

    losses = anew(quick, tries, rounds, [partial(without, names) for names in tried])
    weighed = [(compared(quick, before, one, LIKELY), one) for one in losses]
    good = [place for place, (gain, _) in enumerate(weighed) if gain.low > 0]
    if not good:
        said = "nor is it predicted better without those that tell least"
        statement = f"All {len(told)} columns stay: {said if weak else 'each tells something'}."
        return (), before, Finding(policy="selection", kept=False, statement=statement)
    names, (gain, after) = tried[good[0]], weighed[good[0]]
    dropped = tuple(sorted(names))
    shown = ", ".join(dropped[:10]) + (" and others" if len(dropped) > 10 else "")
    statement = (
        f"{len(dropped)} of {len(told)} columns are left out, as they tell nothing: {shown}. "
        f"Without them {saved(gain)}."
    )
    return dropped, after, Finding(policy="selection", kept=True, statement=statement, gain=gain)


def _telling(quick: Quick, tries: Sequence[Try], rounds: int) -> dict[str, float]:
    """Return how many times as much each column gains as its own values dealt to other rows."""
    names = sorted({name for one in tries for made in one.sources for name in made})

    def deal(turn: int) -> npt.NDArray[np.float64]:
        one = tries[turn % len(tries)]
        order = np.random.default_rng([quick.seed, 7, turn]).permutation(len(one.x))
        both = np.hstack([one.x, one.x[order]])
        seeded = replace(quick, seed=quick.seed + turn)
        gained = gains(seeded.fit(both, one.y, rounds // 4)).reshape(2, -1)
        within = np.array([[name in made for made in one.sources] for name in names])
        summed: npt.NDArray[np.float64] = gained @ within.T
        return summed

    found = np.sum(quick.each(deal, range(max(DEALS, len(tries)))), axis=0)
    real, dealt = (dict(zip(names, one.tolist(), strict=True)) for one in found)
    return {
        name: real[name] / dealt[name] if dealt[name] else (math.inf if real[name] else 0.0)
        for name in names
    }


# ---------------------------------------------------------------------------------- interactions


def _interact(
    quick: Quick,
    tries: Sequence[Try],
    dropped: frozenset[str],
    before: npt.NDArray[np.float64],
    rounds: int,
) -> tuple[tuple[Interaction, ...], Finding | None]:
    """Return the interactions to put in, and what to tell.

    Each fold's training rows rank the candidates by what they gain where a booster has learnt all
    it can of the columns alone (Zhang et al. 2023, "OpenFE"); the best of each fold are judged by
    its validation rows, so what is told holds for what other rows have chosen.
    """
    names = _numbers(quick, tries, dropped)
    found = candidates(names)
    if not found:
        return (), None
    ranked = quick.each(lambda one: _ranked(quick, one, found, dropped, rounds), tries)
    sizes = tuple(dict.fromkeys(min(size, len(found)) for size in SIZES))

    def more(size: int, number: int, one: Try) -> tuple[Floats, Floats]:
        chosen, kept = _best(ranked[number], found, size), one.of(dropped)
        return (
            np.hstack([one.x[:, kept], _made(chosen, one.tensors)]),
            np.hstack([one.valid_x[:, kept], _made(chosen, one.valid_tensors)]),
        )

    losses = anew(quick, tries, rounds, [partial(more, size) for size in sizes])
    gains_of = [compared(quick, before, after, SURE) for after in losses]
    gain, size = max(zip(gains_of, sizes, strict=True), key=lambda pair: pair[0].value)
    if gain.low <= 0:
        statement = f"Sums, differences, products and ratios do not pay: with them {saved(gain)}."
        return (), Finding(policy="interactions", kept=False, statement=statement, gain=gain)
    total = np.sum([one / max(one.sum(), 1e-300) for one in ranked], axis=0)
    chosen = _best(total, found, size)
    shown = ", ".join(map(label, chosen))
    statement = f"Features of two columns are put in: {shown}. With them {saved(gain)}."
    return chosen, Finding(policy="interactions", kept=True, statement=statement, gain=gain)


def _numbers(quick: Quick, tries: Sequence[Try], dropped: frozenset[str]) -> list[str]:
    """Return the names of the columns of numbers that a quick booster gains most by."""
    first = tries[0]
    features = first.features
    gained = gains(quick.fit(first.x, first.y, 50))
    numbers = {part.column.name for part in features.transforms if part.column.kind == "number"}
    found = [
        place
        for place in np.argsort(-gained, kind="stable").tolist()
        if features.columns[place] in numbers - dropped
    ]
    return [features.columns[place] for place in found[:NUMBERS]]


def _ranked(
    quick: Quick,
    one: Try,
    found: Sequence[Interaction],
    dropped: frozenset[str],
    rounds: int,
) -> npt.NDArray[np.float64]:
    """Return what each candidate gains beyond the columns alone, shape (candidates,)."""
    kept = one.of(dropped)
    x = one.x[:, kept]
    half = np.random.default_rng([quick.seed, 8]).permutation(len(x)) % 2
    start = np.zeros((len(x), quick.outputs) if quick.outputs > 1 else len(x))
    for side in (0, 1):
        booster = quick.fit(x[half != side], one.y[half != side], rounds // 2)
        start[half == side] = quick.raw(booster, x[half == side])
    both = np.hstack([x, _made(found, one.tensors)])
    booster = quick.fit(both, one.y, rounds // 4, start=start, leaves=8)
    return gains(booster)[len(kept) :]


def _best(
    ranked: npt.NDArray[np.float64], found: Sequence[Interaction], size: int
) -> tuple[Interaction, ...]:
    """Return the highest ranked, of a ratio and its inverse one: trees split both alike."""
    chosen: dict[Interaction, None] = {}
    for place in np.argsort(-ranked, kind="stable").tolist():
        one = found[place]
        if len(chosen) < size and replace(one, first=one.second, second=one.first) not in chosen:
            chosen[one] = None
    return tuple(chosen)


def _made(interactions: Sequence[Interaction], tensors: dict[str, npt.NDArray[Any]]) -> Floats:
    return np.column_stack([finite(combined(one, tensors)) for one in interactions])
