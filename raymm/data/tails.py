"""Tells of targets and features a few of whose rows outweigh all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly
from raymm.data.evidence import Evidence
from raymm.data.findings import anomaly

SQUARED = frozenset(("auto", "rmse", "r2"))
"""Metrics of squared errors; "auto" is rmse for numbers."""

_LEAST = 100
_FEW = 0.01
"""The share of rows, those farthest from the mean, that are weighed."""
_TARGET, _FEATURE = 0.5, 0.95
"""Their share of the squared deviations from which they rule: of a normal distribution it is 0.08,
of a lognormal one with a deviation of 1 about 0.4."""
_SHOWN = 5


def ruled(values: npt.NDArray[Any]) -> float:
    """Return the share of squared deviations from the mean that one row of a hundred makes up.

    ``values`` : float, shape (n,); NaN is left out. The result is in [0, 1]; 0 for fewer than a
    hundred values, for one value, and where half of them or more are equal: what is rare there is
    no tail.
    """
    known = values[np.isfinite(values)].astype(np.float64)
    if len(known) < _LEAST or np.subtract(*np.quantile(known, (0.75, 0.25))) == 0:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.sort(np.square((known - known.mean()) / np.abs(known).max()))
    few = max(1, int(_FEW * len(known)))
    total = float(squares.sum())
    return float(squares[-few:].sum()) / total if total > 0 else 0.0


def tails(evidence: Evidence, metric: str) -> Iterator[Anomaly]:
    """Yield one warning where few rows rule a target of numbers, or numbers among the features.

    Parameters
    ----------
    metric : str
        ``goal.metric``; a target's tail is told where it weighs squared errors. Features are told
        from a share of 95 %, as most families do not mind less.
    """
    schema = evidence.schema
    share = 0.0
    if not evidence.classes and metric in SQUARED:
        share = ruled(evidence.truth)
    names = [
        column.name
        for column in evidence.features
        if column.kind == "number" and ruled(evidence.sampled(column)) >= _FEATURE
    ]
    parts = []
    remedies = []
    if share >= _TARGET:
        parts.append(f"a target of whose squared deviations 1 % of the rows make up {share:.0%}")
        positive = bool((evidence.truth >= 0).all())
        logarithm = (
            "Set goal.metric to rmsle to judge by the logarithm, or predict the target's logarithm"
            if positive
            else "Predict a target that is cut off or scaled as these rows need"
        )
        remedies.append(
            "rmse and r2 are ruled by these few rows. Set goal.metric to mae if every row counts "
            f"alike. {logarithm} if relative errors count."
        )
    if names:
        shown = ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
        many = f"{len(names)} feature{'s' * (len(names) > 1)}"
        parts.append(f"{many} whose few largest values outweigh all others ({shown})")
        remedies.append(
            "Trees do not mind such features, linear models and distances do: check that their "
            "largest values are right."
        )
    if parts:
        yield anomaly(
            "heavy tails",
            schema.target if share >= _TARGET else "",
            "; ".join(parts),
            "values of which no few rows outweigh the others",
            " ".join(remedies),
        )
