from __future__ import annotations

import json
from typing import Any

import numpy as np

from raymm.artifacts import NO_TIME, Batch, ColumnStatistics, ManyValues, Statistics
from raymm.monitoring.quality import Quality
from raymm.sections import MonitoringConfig

STATISTICS = Statistics(
    rows=100,
    columns=(
        ColumnStatistics(
            name="age", kind="number", rows=100, missing=5, distinct=50,
            quantiles=(0.1, 1, 2, 3, 4, 5, 6, 7, 70.7), edges=(4.0,), counts=(50, 45),
        ),
        ColumnStatistics(
            name="city", kind="category", rows=100, missing=10, distinct=2, values=("a", "b"),
            counts=(60, 30),
        ),
        ColumnStatistics(
            name="day", kind="datetime", rows=100, missing=0, distinct=50,
            quantiles=(1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9, 1.5e9), edges=(1.2e9,),
            counts=(50, 50),
        ),
    ),
)  # fmt: skip


def told() -> Batch:
    return Batch(
        rows=4,
        version=1,
        seconds=0.1,
        tensors={
            "age": np.array([0.1, 70.7, np.nan, 71.0], np.float32),
            "city": np.array(["a", "zz", "", "yy"], object),
            "day": np.array([10**9, NO_TIME, 15 * 10**8, 16 * 10**8], np.int64),
            "unheard": np.zeros(4, np.float32),
        },
    )


def quality(clock: Any) -> Quality:
    return Quality(STATISTICS, config=MonitoringConfig(), clock=clock)


def test_shares_of_missing_and_unseen_values(clock: Any) -> None:
    watched = quality(clock)
    watched.update(told())
    features = watched.report()["features"]
    assert set(features) == {"age", "city", "day"}
    # The ends of the training range are seen, although float32 rounds them outwards.
    assert features["age"] == {
        "missing": 0.25, "missing_since_start": 0.25, "missing_reference": 0.05,
        "unseen": 0.25, "unseen_since_start": 0.25, "unseen_reference": 0.0,
    }  # fmt: skip
    assert (features["city"]["missing"], features["city"]["unseen"]) == (0.25, 0.5)
    assert features["city"]["unseen_reference"] == 0.0
    assert (features["day"]["missing"], features["day"]["unseen"]) == (0.25, 0.25)


def test_merged_is_the_sum_and_failures_do_not_count(clock: Any) -> None:
    one, two, both = quality(clock), quality(clock), quality(clock)
    one.update(told())
    two.update(told())
    both.update(told())
    both.update(told())
    both.update(Batch(rows=4, version=1, seconds=0.1, tensors=told().tensors, error="E"))
    assert one.merge(json.loads(json.dumps(two.state()))).report() == both.report()


def test_shares_are_of_the_last_complete_window_however_rows_are_cut(clock: Any) -> None:
    """One odd request is told while it is of the last window, and no longer."""
    watched, window = quality(clock), MonitoringConfig().window
    ages = np.full(4 * window, 3.0, np.float32)
    ages[: 2 * window] = np.nan
    shares = []
    for start, stop in ((0, 1), (1, 2.5), (2.5, 3), (3, 3.9)):
        part = ages[int(start * window) : int(stop * window)]
        watched.update(Batch(rows=len(part), version=1, seconds=0.1, tensors={"age": part}))
        one = watched.report()["features"]["age"]
        shares.append((one["missing"], round(one["missing_since_start"], 3)))
        again = quality(clock).merge(json.loads(json.dumps(watched.state())))
        assert again.report() == watched.report()
        watched = again
    assert shares == [(1.0, 1.0), (1.0, 0.8), (0.0, 0.667), (0.0, 0.513)]


def test_a_state_without_windows_is_gone_on_from(clock: Any) -> None:
    watched = quality(clock).merge({"seen": {"age": [1000, 100, 0]}})
    assert watched.report()["features"]["age"]["missing"] == 0.1
    rows, age = MonitoringConfig().window, {"age": np.full(1000, 3.0, np.float32)}
    watched.update(Batch(rows=rows, version=1, seconds=0.1, tensors=age))
    one = watched.report()["features"]["age"]
    assert (one["missing"], one["missing_since_start"]) == (0.0, 0.05)


def test_unseen_is_what_training_had_not_however_many_values_it_had(clock: Any) -> None:
    """Values that are not listed were seen nevertheless; where nothing tells, nothing is told."""
    rows = {f"v{i}": 1 + i % 3 for i in range(300)}
    listed = ColumnStatistics(
        name="c", kind="category", rows=600, missing=0, distinct=300, values=("v2",), counts=(3,),
        other=597,
    )  # fmt: skip
    values = np.array([f"v{i}" for i in range(300)] + [f"new {i}" for i in range(100)], object)
    batch = Batch(rows=400, version=1, seconds=0.1, tensors={"c": values})
    for many in ((ManyValues.of("c", rows),), ()):
        statistics = Statistics(rows=600, columns=(listed,), many=many)
        watched = Quality(statistics, config=MonitoringConfig(), clock=clock)
        watched.update(batch)
        told = watched.report()["features"]["c"]
        assert ("unseen" in told) == bool(many)
        if many:
            assert abs(told["unseen"] - 0.25) < 0.01
            assert abs(told["unseen_reference"] - 100 / 600) < 1e-9
