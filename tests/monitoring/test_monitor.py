from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from raymm.artifacts import Batch, ColumnStatistics, Statistics
from raymm.monitoring.monitor import Monitor
from raymm.plugins import monitors
from raymm.sections import MonitoringConfig

COLUMN = ColumnStatistics(
    name="x", kind="number", rows=400, missing=0, distinct=400, edges=(0.0,), counts=(200, 200)
)


def test_a_contract_has_four_abstract_methods_at_most() -> None:
    assert len(Monitor.__abstractmethods__) <= 4


@pytest.mark.parametrize("name", monitors.names())
def test_every_monitor_merges_into_an_empty_one_as_it_was(name: str, clock: Any) -> None:
    def made() -> Monitor:
        statistics = Statistics(rows=400, columns=(COLUMN,))
        return monitors.get(name)(statistics, config=MonitoringConfig(window=50), clock=clock)

    watched = made()
    for rows in (7, 130):
        values = np.linspace(-2, 2, rows, dtype=np.float32)
        watched.update(Batch(rows=rows, version=1, seconds=0.1, tensors={"x": values}))
    stored = json.dumps(watched.state(), allow_nan=False)
    assert made().merge(json.loads(stored)).report() == watched.report()


@pytest.mark.slow
@pytest.mark.parametrize("name", monitors.names())
def test_the_state_of_every_monitor_stays_bounded(name: str, clock: Any) -> None:
    statistics = Statistics(rows=400, columns=(COLUMN,))
    watched = monitors.get(name)(statistics, config=MonitoringConfig(window=50), clock=clock)
    generator = np.random.default_rng(0)
    sizes = []
    for _ in range(2):
        for _ in range(300):
            values = generator.normal(size=40).astype(np.float32)
            seconds = float(generator.exponential())
            told = Batch(rows=40, version=1, seconds=seconds, tensors={"x": values})
            watched.update(told)
        sizes.append(len(json.dumps(watched.state())))
    # Counts grow by a digit now and then, and a few more latency buckets are met: no more.
    assert sizes[1] < 1.5 * sizes[0]
