"""Looks for features that are filled in, or left empty, only once the target is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly
from raymm.data.association import explained
from raymm.data.evidence import Evidence, there
from raymm.data.findings import anomaly

PURE = 0.98
"""The share of the empty (or filled) rows that must be of one class to be suspected."""

_COMMON = 0.8
_COVERED = 0.1
_CHANCE = 1e-6


def absences(evidence: Evidence) -> Iterator[Anomaly]:
    """Yield a warning for each feature whose being empty or filled gives the target away.

    Suspected is a feature whose empty rows, or whose filled rows, are of one class in 98 % and
    hold a tenth of that class's rows; classes that four rows in five have are not counted. For
    numbers the most frequent value takes the place of a class, and so does the variation that
    being empty tells.
    """
    truth = evidence.truth
    names, codes = _kinds(evidence)
    totals = np.bincount(codes, minlength=len(names))
    for column in evidence.features:
        empty = ~there(evidence.sampled(column), column)
        if not 20 <= empty.sum() <= len(empty) - 20:
            continue
        told = _one_sided(empty, codes, totals, names)
        if not told and not evidence.classes:
            share = explained(empty.astype(np.int64), truth).share
            ranked = explained(empty.astype(np.int64), evidence.ranked).share
            if min(share, ranked) > 0.9:
                told = f"{share:.1%} of the target's variation told by whether it is empty"
        if told:
            yield anomaly(
                "suspected leak",
                column.name,
                told,
                "a feature that is filled in before the target is known",
                f'It is used all the same. If "{column.name}" is filled in only after the target '
                "is known, list it in data.exclude.",
            )


def _kinds(evidence: Evidence) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return what rows can be of, and which of them each is of; the last is none."""
    if evidence.classes:
        return [f"class {name!r}" for name in evidence.schema.classes], evidence.truth
    values, counts = np.unique(evidence.truth, return_counts=True)
    most = values[counts.argmax()]
    return [f"target {most:g}", ""], np.where(evidence.truth == most, 0, 1).astype(np.int64)


def _one_sided(
    empty: npt.NDArray[np.bool_],
    codes: npt.NDArray[np.int64],
    totals: npt.NDArray[Any],
    names: list[str],
) -> str:
    for word, side in (("filled in", ~empty), ("empty", empty)):
        counts = np.bincount(codes[side], minlength=len(names))
        code = int(counts.argmax())
        rows, held = int(side.sum()), int(counts[code])
        share = totals[code] / len(codes)
        if (
            names[code]
            and held >= PURE * rows
            and share <= _COMMON
            and held >= _COVERED * totals[code]
            and held * math.log(share) < math.log(_CHANCE)
        ):
            return (
                f"it is {word} in {rows} rows, {held / rows:.1%} of them of {names[code]}, which "
                f"{share:.1%} of all rows are of"
            )
    return ""
