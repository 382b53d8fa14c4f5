"""Compresses a bundle in a way that was chosen, or, where that fails, in the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from raymm.artifacts import Candidate, Config, Frontier, Tensors
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.compressor import Rows
from raymm.compression.judging import NONE
from raymm.compression.schedule import reason, told
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

    It fails where a technique raises, where answers for rows are not finite, and where ``proven``
    raises. The next are larger forms that surely lose as little and surely are better than their
    control, where they have one, and the bundle as it is: those within the limits first, smaller
    ones first.

    Parameters
    ----------
    tensors : mapping of column name to array, shape (n,)
        The rows.
    proven : callable of a bundle and its candidate, optional
        Raises where the bundle is not to be shipped.

    Returns
    -------
    Bundle
    Frontier
        With the way that was taken marked as chosen, and those that failed among what was left out.
    """
    (first,) = [one for one in found.candidates if one.chosen]
    allowed = max(first.loss.high, first.loss.value)
    others = [one for one in found.candidates[1:] if not one.chosen and one.bytes >= first.bytes]
    others = [
        one
        for one in others
        if max(one.loss.high, one.loss.value) <= allowed
        and (one.over_control is None or one.over_control.low > 0)
    ]
    held = limits or Limits()
    rest = [*others, found.candidates[0]]
    rest.sort(key=lambda one: (not within_limits(one, held), one.bytes))
    failed = []
    for way in (first, *rest):
        made, fault = _tried(bundle, way, trained, tensors, proven)
        if not fault:
            break
        failed.append(f"{told(way.technique, way.parameters)}, of the final bundle: {fault}")
    marked = tuple(replace(one, chosen=one is way) for one in found.candidates)
    return made, replace(found, candidates=marked, left_out=(*found.left_out, *failed))


def _tried(
    bundle: Bundle, way: Candidate, trained: Rows, tensors: Tensors, proven: Proven | None
) -> tuple[Bundle, str]:
    """Return a form of a bundle and why it cannot be shipped, empty where it can."""
    if way.technique == NONE:
        return bundle, ""
    try:
        made = apply(bundle, way, trained)
        if not np.isfinite(Runner(made).judge(tensors)).all():
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
