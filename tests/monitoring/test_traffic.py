from __future__ import annotations

import json
from typing import Any

import pytest

from raymm.artifacts import Batch, Statistics
from raymm.monitoring.answered import bucket
from raymm.monitoring.traffic import MOST_ERRORS, Traffic
from raymm.sections import MonitoringConfig

NOTHING = Statistics(rows=0, columns=())


def traffic(clock: Any) -> Traffic:
    return Traffic(NOTHING, config=MonitoringConfig(), clock=clock)


def test_requests_rows_errors_and_times_are_counted(clock: Any) -> None:
    watched = traffic(clock)
    for rows, seconds in [(3, 0.1), (5, 0.2), (2, 0.3)]:
        watched.update(Batch(rows=rows, version=1, seconds=seconds))
    watched.update(Batch(rows=7, version=1, seconds=0.4, error="InputError"))
    report = watched.report()
    assert (report["requests"], report["rows"]) == (4, 10)
    watched.update(Batch(rows=1, version=1, seconds=0.4, error="Overloaded"))
    report = watched.report()
    assert report["errors"] == {"InputError": 1, "Overloaded": 1}
    assert (report["refused"], report["failed"]) == (1, 1)
    assert report["since"] == clock.now
    assert report["latency"]["count"] == 3  # one that failed says nothing of how long answers take
    assert report["latency"]["sum"] == pytest.approx(0.6)
    assert report["latency"]["within"] == {str(bucket(one)): 1 for one in (0.1, 0.2, 0.3)}
    assert report["latency"]["p50"] == pytest.approx(0.2, rel=0.01)


def test_rows_that_told_no_values_are_counted_and_kept(clock: Any) -> None:
    watched = traffic(clock)
    watched.update(Batch(rows=3, version=1, seconds=0.1))
    watched.update(Batch(rows=2, version=1, seconds=0.2, merged=(0.1, 0.1), thinned=True))
    state = json.loads(json.dumps(watched.state()))
    assert traffic(clock).merge(state).report()["unsampled"] == 2
    assert watched.report()["rows"] == 5
    del state["unsampled"]
    assert traffic(clock).merge(state).report()["unsampled"] == 0


def test_classes_of_errors_are_bounded(clock: Any) -> None:
    watched = traffic(clock)
    for n in range(500):
        watched.update(Batch(rows=0, version=1, seconds=0.0, error=f"E{n}"))
    errors = watched.report()["errors"]
    assert len(errors) == MOST_ERRORS + 1
    assert sum(errors.values()) == 500


def test_merged_is_the_sum(clock: Any) -> None:
    one, two, both = traffic(clock), traffic(clock), traffic(clock)
    for n in range(10):
        told = Batch(rows=n, version=1, seconds=n / 8, error="" if n % 3 else "E")
        (one if n % 2 else two).update(told)
        both.update(told)
    assert one.merge(json.loads(json.dumps(two.state()))).report() == both.report()
