"""Tells of tables whose rows seem to be in the order of time, although nothing says so.

Rows of a random split stand between training rows of the same hours there, so that scores are
better than those of the days to come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Anomaly
from raymm.data.evidence import Evidence, ranks, there
from raymm.data.findings import anomaly

_LEAST = 60
"""Rows from which an order is looked for."""
_MOMENTS = 10
"""Different moments from which a column can order rows."""
_KNOWN = 0.95
_STEPS = 0.99
"""The share of steps from row to row, equal moments left out, that must go one way."""
_CHANCE = 1e-3
_NUMBER, _CLASSES = 0.05, 0.05
"""The least drift: of the mean rank as a share of all, and of the classes' shares together."""


def ordered(evidence: Evidence, *, parted: bool) -> Iterator[Anomaly]:
    """Yield a warning where a datetime column goes one way along the rows and the target drifts.

    The target drifts when its first and its last third differ by more than chance: by
    Mann-Whitney's test of its values, or by the chi-squared test of its classes. There is none
    where the rows are ``parted`` by time or group anyhow.
    """
    schema = evidence.schema
    if parted or any(column.role in ("time", "group") for column in schema.columns):
        return
    for column in evidence.features:
        if column.kind != "datetime":
            continue
        moments = evidence.tensors[column.name]
        rows = np.flatnonzero(evidence.known & there(moments, column))
        if len(rows) < max(_LEAST, _KNOWN * len(moments)) or not one_way(moments[rows]):
            continue
        drift = _drift(evidence.y[rows], evidence.classes)
        if drift:
            yield anomaly(
                "rows in the order of time",
                column.name,
                f"moments that follow each other along the rows, and a target that drifts: {drift}",
                "rows that do not depend on those before them, or data.time",
                "A random split tests on rows between those it was trained on, which makes scores "
                f"too good for rows to come. Split by time with --set data.time={column.name}.",
            )
            return


def one_way(moments: npt.NDArray[Any]) -> bool:
    """Whether moments, in the order of their rows, only grow, or only fall, but for 1 %."""
    steps = np.diff(moments.astype(np.float64))
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    return up + down >= _MOMENTS and max(up, down) >= _STEPS * (up + down)


def _drift(y: npt.NDArray[Any], classes: int) -> str:
    """Return in words how the target differs between the first and the last third, or ""."""
    from scipy.special import chdtrc

    third = len(y) // 3
    first, last = y[:third], y[-third:]
    if not classes:
        ranked = ranks(np.concatenate([first, last]))
        gap = float(ranked[third:].mean() - ranked[:third].mean()) / len(ranked)
        # The variance of a mean rank with ties; source: Lehmann, Nonparametrics (1975), 1.4.
        deviation = math.sqrt(2 * ranked.var() / third) / len(ranked)
        chance = math.erfc(abs(gap) / deviation / math.sqrt(2)) if deviation > 0 else 1.0
        if chance >= _CHANCE or abs(gap) < _NUMBER:
            return ""
        return (
            f"its median is {np.median(first):g} in the first third and {np.median(last):g} in "
            "the last"
        )
    counts = np.array([np.bincount(part, minlength=classes) for part in (first, last)])
    counts = counts[:, counts.sum(axis=0) > 0]
    apart = float(np.abs(counts[0] - counts[1]).sum() / 2 / third)
    # Pearson's statistic of two rows of one size: each half of a class's rows is expected.
    squares = float(((counts[0] - counts[1]) ** 2 / counts.sum(axis=0)).sum())
    if apart < _CLASSES or chdtrc(max(1, counts.shape[1] - 1), squares) >= _CHANCE:
        return ""
    return f"{apart:.1%} of the rows are of other classes in the last third than in the first"
