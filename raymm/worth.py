"""What is worth its place among the features, decided before the search by quick tries.

Columns that tell nothing are left out, and what pairs of numbers make together is put in, each
where validation rows are predicted as well or better for it. The search, the final model and the
graph then have the same features. Rows of the test are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import LEFT_OUT, Dataset, Finding, Interaction, Score
from raymm.attempts import Floats, Try, anew, attempts, compared, constant, saved
from raymm.features.combination import candidates, combined, finite, label
from raymm.models.quick import Quick, gains
from raymm.slopes import linear_losses, sloping

LEAST_ROWS = 500
"""Training rows below which nothing is decided: chance would."""
NUMBERS = 8
"""Columns of numbers whose pairs are tried: those that a first try gains most by."""
SIZES = (2, 4, 8, 16)
"""How many interactions are tried at once, best ones first."""
SURE, LIKELY = 2.0, 0.5
"""Standard errors by which losses must be lower: with interactions, which the model must carry, and
without columns that tell too little, where it is spared some."""
SHARES = (1.0, 0.5, 0.25)
"""Of the columns that seem to tell nothing, those left out at once: the least telling first."""
DEALS = 3
ALL = "To keep all: data.select=off."
TELLING = 1.25
"""Times that a column must gain what its values gain when dealt to other rows, in `DEALS` deals."""


_Make = Callable[[int, Try], tuple[Floats, Floats]]


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
    columns = tuple(
        replace(one, role="ignored", reason=LEFT_OUT) if one.name in worth.dropped else one
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
    (Kursa & Rudnicki 2010, "Feature selection with the Boruta package"), and a linear model nothing
    (`raymm.slopes`). Each fold's training rows name them, and its validation rows must be predicted
    better without: columns may stand in for each other. What all folds name together is then left
    out, where that is no worse.
    """
    names = sorted({name for one in tries for made in one.sources for name in made})
    straight = sloping(quick, tries, names)
    gained = quick.each(partial(_dealt, quick, rounds, names), tries)
    every = (*gained, np.sum(gained, axis=0))
    weak = [[name for name in _weak(names, one) if name not in straight] for one in every]
    shares = [[frozenset(one[: math.ceil(share * len(one))]) for one in weak] for share in SHARES]

    def without(sets: Sequence[frozenset[str]], number: int, one: Try) -> tuple[Floats, Floats]:
        kept = one.of(sets[number])
        return one.x[:, kept], one.valid_x[:, kept]

    tried = [sets for sets in shares if sets[-1] and _leaves(tries, sets)]
    losses = anew(quick, tries, rounds, [partial(without, sets) for sets in tried])
    for sets, crossed in zip(tried, losses, strict=True):
        if compared(quick, tries, before, crossed, LIKELY).low <= 0:
            continue
        (after,) = anew(quick, tries, rounds, [partial(without, [sets[-1]] * len(tries))])
        if quick.mean(after) >= quick.mean(before):
            continue
        gain = compared(quick, tries, before, crossed, SURE)
        dropped = tuple(sorted(sets[-1]))
        shown = ", ".join(dropped[:10]) + (" and others" if len(dropped) > 10 else "")
        statement = (
            f"{len(dropped)} of {len(names)} columns are left out, as they tell too little: "
            f"{shown}. Without them, where other rows name them, {saved(gain)}. {ALL}"
        )
        return (
            dropped,
            after,
            Finding(policy="selection", kept=True, statement=statement, gain=gain),
        )
    said = "without those that tell least, rows are predicted no better"
    statement = f"All {len(names)} columns stay: {said if weak[-1] else 'each tells something'}."
    return (), before, Finding(policy="selection", kept=False, statement=statement)


def _leaves(tries: Sequence[Try], sets: Sequence[frozenset[str]]) -> bool:
    """Whether every fold has features left without what it names, and without what all name."""
    pairs = zip(tries, sets, strict=False)
    return all(len(one.of(names)) and len(one.of(sets[-1])) for one, names in pairs)


def _weak(names: Sequence[str], gained: npt.NDArray[np.float64]) -> list[str]:
    """Return the columns that gain less than `TELLING` says, the least telling first."""
    real, dealt = gained
    ratio = np.where(real > 0, real / np.maximum(dealt, 1e-300), 0.0)
    order = np.argsort(ratio, kind="stable").tolist()
    return [names[place] for place in order if ratio[place] < TELLING]


def _dealt(quick: Quick, rounds: int, names: Sequence[str], one: Try) -> npt.NDArray[np.float64]:
    """Return what each column gains, and what its values gain when dealt to other rows, (2, n)."""
    within = np.array([[name in made for made in one.sources] for name in names])
    total = np.zeros((2, len(names)))
    for turn in range(DEALS):
        order = np.random.default_rng([quick.seed, 7, turn]).permutation(len(one.x))
        both = np.hstack([one.x, one.x[order]])
        seeded = replace(quick, seed=quick.seed + turn)
        gained = gains(seeded.fit(both, one.y, max(1, rounds // 4)))
        total += gained.reshape(2, -1) @ within.T
    return total


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

    def more(
        chosen: Callable[[int], Sequence[Interaction]], number: int, one: Try
    ) -> tuple[Floats, Floats]:
        pairs, kept = chosen(number), one.of(dropped)
        return (
            np.hstack([one.x[:, kept], _made(pairs, one.tensors)]),
            np.hstack([one.valid_x[:, kept], _made(pairs, one.valid_tensors)]),
        )

    own = [partial(lambda size, number: _best(ranked[number], found, size), size) for size in sizes]
    losses = anew(quick, tries, rounds, [partial(more, one) for one in own])
    judged = [compared(quick, tries, before, after, SURE) for after in losses]
    gain, size, most = max(zip(judged, sizes, losses, strict=True), key=lambda one: one[0].value)
    chosen = _best(np.sum([one / max(one.sum(), 1e-300) for one in ranked], axis=0), found, size)
    told = _unsure(quick, gain, before, most)
    if not told and len(tries) > 1:
        (after,) = anew(quick, tries, rounds, [partial(more, lambda _: chosen)])
        if quick.mean(after) >= quick.mean(before):
            told = "rows are predicted no better with those that all rows choose"
    if not told:
        told = _straight(
            quick, tries, partial(_plainly, dropped), partial(more, lambda _: chosen), most
        )
    if told:
        statement = f"Sums, differences, products and ratios do not pay: {told}."
        return (), Finding(policy="interactions", kept=False, statement=statement, gain=gain)
    shown = ", ".join(map(label, chosen))
    statement = (
        f"Features of two columns are put in: {shown}. Of quick boosted trees, where other rows "
        f"choose them, {saved(gain)}."
    )
    return chosen, Finding(policy="interactions", kept=True, statement=statement, gain=gain)


def _plainly(dropped: frozenset[str], _: int, one: Try) -> tuple[Floats, Floats]:
    kept = one.of(dropped)
    return one.x[:, kept], one.valid_x[:, kept]


def _straight(
    quick: Quick, tries: Sequence[Try], plain: _Make, more: _Make, trees: npt.NDArray[np.float64]
) -> str:
    """Say that a linear model surely beats trees with interactions and gains nothing by them.

    Empty where it does not, or is not tried.
    """
    before, after = (linear_losses(quick, tries, make) for make in (plain, more))
    if before is None or after is None:
        return ""
    lead = compared(quick, tries, trees, before, SURE)
    if lead.low <= 0 or compared(quick, tries, before, after, SURE).low > 0:
        return ""
    return (
        "a linear model gains nothing sure by them, and its loss on validation rows is "
        f"{100 * lead.value:.3g} % below that of quick boosted trees with them"
    )


def _unsure(
    quick: Quick, gain: Score, before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> str:
    """Say what interactions gain where that is not surely something; empty where it is."""
    if gain.low > 0:
        return ""
    told = f"with them {saved(gain)}"
    if gain.value > 0 and quick.mean(after) >= quick.mean(before):
        return f"{told}, but that of squares grows"
    return f"{told}; more than 0 % at least is asked for" if gain.value > 0 else told


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
