from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from raymm.artifacts import ColumnStatistics, Statistics
from raymm.monitoring.predictions import bins_of


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def statistics_of() -> Callable[..., Statistics]:
    """Make statistics of named arrays of numbers, binned at their deciles."""

    def make(**columns: np.ndarray) -> Statistics:
        rows = len(next(iter(columns.values())))
        made = []
        for name, values in columns.items():
            bins = bins_of(values.astype(np.float64))
            made.append(
                ColumnStatistics(
                    name=name,
                    kind="number",
                    rows=rows,
                    missing=bins.missing,
                    distinct=bins.distinct,
                    quantiles=tuple(np.nanquantile(values, [0, 0.01, 0.5, 0.99, 1]).tolist()),
                    edges=bins.edges,
                    counts=bins.counts,
                )
            )
        return Statistics(rows=rows, columns=tuple(made))

    return make
