from collections.abc import Callable
from typing import Any

import numpy as np

from raymm.data.evidence import Evidence
from raymm.data.leak import leaks

Maker = Callable[..., Any]
N = 2000
RNG = np.random.default_rng(0)


def suspected(made: Any) -> set[str]:
    return {anomaly.column for anomaly in leaks(Evidence.of(made.table.frame, made.schema))}


def test_copies_and_near_copies_of_classes_are_suspected_and_good_features_not(
    made: Maker,
) -> None:
    y = RNG.integers(0, 3, N)
    columns = {
        "copy": [f"K{v}" for v in y],
        "number": y + RNG.normal(scale=0.01, size=N),
        # One row in a hundred is redrawn: 0.67 % of errors stay of a majority guess's 67 %.
        "near": [f"K{v}" for v in np.where(RNG.random(N) < 0.01, RNG.integers(0, 3, N), y)],
        "good": y + RNG.normal(scale=0.5, size=N),
        "noise": RNG.normal(size=N),
        "key": [f"k{v}" for v in RNG.integers(0, 1000, N)],
        "y": [f"c{v}" for v in y],
    }
    assert suspected(made(columns)) == {"copy", "number", "near"}


def test_a_leak_shows_where_classes_are_rare(made: Maker) -> None:
    y = RNG.random(N) < 0.02
    columns = {
        "copy": np.where(y, "t", "f"),
        "noise": RNG.normal(size=N),
        "y": np.where(y, "b", "a"),
    }
    assert suspected(made(columns)) == {"copy"}


def test_monotone_copies_of_a_number_are_suspected(made: Maker) -> None:
    y = RNG.normal(size=N)
    columns = {
        "linear": 3 * y + RNG.normal(scale=0.1, size=N),
        "curved": np.exp(5 * y),
        "good": y + RNG.normal(scale=0.5, size=N),
        "noise": RNG.normal(size=N),
        "y": y,
    }
    assert suspected(made(columns)) == {"linear", "curved"}


def test_registered_users_give_the_count_of_all_users_away(shared: Maker) -> None:
    assert "registered" in suspected(shared("bike_sharing_hour"))
