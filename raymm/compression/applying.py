"""Compresses a bundle in a way that was chosen, or, where that fails, in the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from raymm.artifacts import Candidate, Config, Frontier, Tensors
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.compressor import Compressor, Rows
from raymm.compression.judging import NONE
from raymm.compression.schedule import reason, told
from raymm.compression.spread import by_rows
from raymm.errors import Interrupted
from raymm.plugins import compressors
from raymm.sections import Limits

JOINED = "+"
"""Between the names of techniques that follow one another."""

Proven = Callable[[Bundle, Candidate], None]


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


def applied(
    bundle: Bundle,
    found: Frontier,
    trained: Rows,
    tensors: Tensors,
    limits: Limits | None = None,
    proven: Proven | None = None,
) -> tuple[Bundle, Frontier]:
    """Compress a bundle as was chosen; where that fails, in the next way.

    It fails where a technique raises, where answers for rows are not finite, where ``proven``
    raises, and where the file is larger than the limits allow: it was measured with a bundle of
    fewer rows. The next are larger forms that surely lose as little and surely are better than
    their control, where they have one, and the bundle as it is: those within the limits first,
    smaller ones first. After a file that was too large come smaller forms too, those that lose
    least first, and what would grow beyond the limits as much as that one did comes last.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        The rows.
    proven : callable of a bundle and its candidate, optional
        Raises where the bundle is not to be shipped.

    Returns
    -------
    Bundle
        The smallest one that did not fail otherwise, where all are too large.
    Frontier
        With the way that was taken marked as chosen, and those that failed among what was left out.
    """
    held = limits or Limits()
    (first,) = [one for one in found.candidates if one.chosen]
    ways = [first, *sorted(_next(found, first), key=lambda one: _rank(one, held))]
    failed, large = [], list[tuple[int, Candidate, Bundle]]()
    taken: tuple[Candidate, Bundle] | None = None
    while ways and taken is None:
        way = ways.pop(0)
        made, fault = _tried(bundle, way, trained, tensors, proven)
        if not fault and held.bundle_mb is not None:
            size = len(made.to_bytes(proven=False))
            if size > held.bundle_mb * 1e6:
                fault = f"it takes {size / 1e6:.3g} MB of {held.bundle_mb:g}"
                ways += [] if large else _smaller(found, first)
                large.append((size, way, made))
                growth = max(one[0] / max(1, one[1].bytes) for one in large)
                ways.sort(key=lambda one: _rank(one, held, growth, first.bytes))
        if fault:
            failed.append(f"{told(way.technique, way.parameters)}, of the final bundle: {fault}")
        else:
            taken = way, made
    if taken is None:
        taken = min(large, key=lambda one: one[0])[1:]
    marked = tuple(replace(one, chosen=one is taken[0]) for one in found.candidates)
    return taken[1], replace(found, candidates=marked, left_out=(*found.left_out, *failed))


def _next(found: Frontier, first: Candidate) -> list[Candidate]:
    """Return larger forms that surely lose as little, and the bundle as it is."""
    allowed = max(first.loss.high, first.loss.value)
    others = [
        one
        for one in found.candidates[1:]
        if one is not first
        and one.bytes >= first.bytes
        and max(one.loss.high, one.loss.value) <= allowed
        and _better(one)
    ]
    return [*others, *([] if first.technique == NONE else found.candidates[:1])]


def _smaller(found: Frontier, first: Candidate) -> list[Candidate]:
    """Return the forms that are smaller, whatever they lose."""
    known = [one for one in found.candidates[1:] if np.isfinite(one.loss.value) and _better(one)]
    return [one for one in known if one.bytes < first.bytes]


def _better(one: Candidate) -> bool:
    """Whether a form surely is better than its control, where it has one."""
    return one.over_control is None or one.over_control.low > 0


def _rank(one: Candidate, limits: Limits, growth: float = 1.0, size: int = 0) -> tuple[Any, ...]:
    """Return what forms are sorted by; of those below ``size`` bytes the loss counts."""
    grown = replace(one, bytes=int(growth * one.bytes))
    lost = one.loss.value if one.bytes < size else -np.inf
    return not within_limits(grown, limits), lost, one.bytes


def _tried(
    bundle: Bundle, way: Candidate, trained: Rows, tensors: Tensors, proven: Proven | None
) -> tuple[Bundle, str]:
    """Return a form of a bundle and why it cannot be shipped, empty where it can."""
    if way.technique == NONE:
        return bundle, ""
    try:
        made = apply(bundle, way, trained)
        if not np.isfinite(by_rows(Runner(made).judge, tensors)).all():
            return bundle, "its answers are not finite"
        if proven is not None:
            proven(made, way)
    except Interrupted:
        raise
    except Exception as error:  # of any library; the next way is as good
        return bundle, reason(error)
    return made, ""


def within_limits(candidate: Candidate, limits: Limits) -> bool:
    """Whether a candidate's file and its slow rows are within the limits."""
    small = limits.bundle_mb is None or candidate.bytes <= limits.bundle_mb * 1e6
    slow = limits.latency_p99_ms
    return small and (slow is None or candidate.slow_microseconds <= slow * 1000)


def joined_recipe(first: Candidate, name: str, recipe: Config) -> tuple[str, Config]:
    """Return the name and the parameters of one technique after another; see `steps`."""
    if first.technique == NONE:
        return name, recipe
    parameters = dict(first.parameters)
    if JOINED not in first.technique:
        parameters = {f"{first.technique}.{key}": value for key, value in parameters.items()}
    parameters |= {f"{name}.{key}": value for key, value in recipe.items()}
    return f"{first.technique}{JOINED}{name}", parameters


def steps(candidate: Candidate) -> tuple[tuple[str, Config], ...]:
    """Return the techniques of a candidate in their order, each with its own parameters.

    >>> from raymm.artifacts import Score
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


def bounded_moves(first: Candidate, technique: Compressor, recipe: Config) -> bool:
    """Say whether no row can move far, neither by this technique nor by those before it."""
    before = (compressors.get(name)().bounded_moves(held) for name, held in steps(first))
    return technique.bounded_moves(recipe) and all(before)
