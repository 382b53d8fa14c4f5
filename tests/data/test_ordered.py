from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.artifacts import Anomaly, Column, Schema
from raymm.data.evidence import Evidence
from raymm.data.ordered import one_way, ordered

ROWS = 600


def found(day: Any, y: Any, *, parted: bool = False, role: str = "feature") -> list[Anomaly]:
    classes = () if y.dtype.kind == "f" else tuple(sorted(set(y.tolist())))
    columns = (
        Column(name="day", kind="datetime", format="ISO8601", role=role),  # type: ignore[arg-type]
        Column(name="y", kind="category" if classes else "number", role="target"),
    )
    task: Any = "binary" if classes else "regression"
    schema = Schema(columns=columns, target="y", task=task, classes=classes)
    frame = pd.DataFrame({"day": day, "y": y})
    return list(ordered(Evidence.of(frame, schema), parted=parted))


def days(rng: np.random.Generator) -> Any:
    steps = rng.integers(0, 3, ROWS).cumsum()
    return (np.datetime64("2024-01-01") + steps).astype("datetime64[s]")


def drifting(rng: np.random.Generator, *, classes: bool) -> Any:
    level = np.linspace(0.0, 1.0, ROWS) + rng.normal(0, 0.3, ROWS)
    return np.where(level > 0.5, "yes", "no") if classes else level


@pytest.mark.parametrize("classes", [False, True])
def test_a_target_that_drifts_along_moments_in_order_is_told(classes: bool) -> None:
    rng = np.random.default_rng(0)
    day, y = days(rng), drifting(rng, classes=classes)
    for order in (slice(None), slice(None, None, -1)):
        (told,) = found(day[order], y[order])
        assert (told.severity, told.column) == ("warning", "day")
        assert "--set data.time=day" in told.remedy
    assert not found(day, y, parted=True)
    assert not found(day, y, role="time")
    late = day.copy()
    late[5] = late[0]  # a row that came late
    assert found(late, y)


@pytest.mark.parametrize("classes", [False, True])
def test_shuffled_rows_are_never_suspected(classes: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        order = rng.permutation(ROWS)
        assert not found(days(rng)[order], drifting(rng, classes=classes)[order])


@pytest.mark.parametrize("classes", [False, True])
def test_a_target_that_does_not_depend_on_time_is_hardly_ever_suspected(classes: bool) -> None:
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(60):
        y = rng.normal(size=ROWS)
        alarms += len(found(days(rng), np.where(y > 0, "yes", "no") if classes else y))
    # The test's level is 0.001: two of sixty have a chance of 0.0017.
    assert alarms <= 1


def test_order_needs_moments() -> None:
    assert one_way(np.arange(20))
    assert one_way(-np.arange(20))
    assert not one_way(np.repeat([0, 1], 50))
    assert not one_way(np.tile(np.arange(10), 9))
