"""Compresses a bundle in a way that was chosen, or, where that fails, in the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from raymm.artifacts import Candidate, Config, Frontier, Tensors
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.compression.compressor import Rows
from raymm.compression.judging import NONE
from raymm.plugins import compressors
from raymm.sections import Limits

JOINED = "+"
"""Between the names of techniques that follow one another."""


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
) -> tuple[Bundle, Frontier]:
    """Compress a bundle as was chosen; where its answers for rows are not finite, the next way.

    The next are larger forms that surely lose as little and surely are better than their control,
    where they have one, and the bundle as it is: those within the limits first, smaller ones first.

    Returns
    -------
    Bundle
    Frontier
        With the way that was taken marked as chosen.
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
    for way in (first, *rest):
        made = apply(bundle, way, trained)
        if way.technique == NONE or np.isfinite(Runner(made).judge(tensors)).all():
            break
    marked = tuple(replace(one, chosen=one is way) for one in found.candidates)
    return made, replace(found, candidates=marked)


def within_limits(candidate: Candidate, limits: Limits) -> bool:
    """Whether a candidate's file and its slow rows are within the limits."""
    small = limits.bundle_mb is None or candidate.bytes <= limits.bundle_mb * 1e6
    slow = limits.latency_p99_ms
    return small and (slow is None or candidate.slow_microseconds <= slow * 1000)


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
