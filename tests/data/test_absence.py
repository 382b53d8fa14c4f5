from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.absence import absences
from raymm.data.evidence import Evidence

N = 1000
RNG = np.random.default_rng(0)


def suspected(made: Any) -> set[str]:
    return {found.column for found in absences(Evidence.of(made.table.frame, made.schema))}


@pytest.mark.parametrize("classes", [2, 4])
def test_what_is_filled_or_empty_by_class_is_suspected(
    classes: int, made: Callable[..., Any]
) -> None:
    y = RNG.integers(0, classes, N)
    some = RNG.random(N) < 0.4
    word = RNG.choice(["a", "b", "c"], N)
    columns = {
        "exactly": np.where(y == 1, "2020-01-01", ""),
        "never": np.where(y == 1, "", word),
        "sometimes": np.where((y == 1) & some, word, ""),
        "at_random": np.where(some, word, ""),
        # Of 60 % against 10 %: a hint that a model may use, not the target itself.
        "more_often": np.where(RNG.random(N) < np.where(y == 1, 0.6, 0.1), word, ""),
        "hardly": np.where((y == 1) & (np.arange(N) < 30), word, ""),
        "x": RNG.normal(size=N),
        "y": [f"c{v}" for v in y],
    }
    assert suspected(made(columns)) == {"exactly", "never", "sometimes"}


def test_what_most_rows_are_of_is_not_suspected(made: Callable[..., Any]) -> None:
    y = np.where(RNG.random(N) < 0.05, "rare", "plain")
    gap = np.where((np.arange(N) % 4 == 0) & (y == "plain"), "", "word")
    gap[::7] = "other"
    assert suspected(made({"x": RNG.normal(size=N), "gap": gap, "y": y})) == set()


def test_for_numbers_a_frequent_value_is_as_a_class(made: Callable[..., Any]) -> None:
    y = np.where(RNG.random(N) < 0.5, 0.0, RNG.gamma(2, 100, N))
    two = np.where(RNG.random(N) < 0.5, 1000.0, 0.0) + RNG.normal(size=N)
    paid = np.where(y > 0, RNG.normal(size=N), np.nan)
    columns = {"paid": paid, "x": RNG.normal(size=N), "y": y}
    assert suspected(made(columns)) == {"paid"}
    side = np.where(two > 500, RNG.normal(size=N), np.nan)
    columns = {"side": side, "x": np.where(RNG.random(N) < 0.5, np.nan, 1.5 * two), "y": two}
    assert "side" not in suspected(made({**columns, "side": np.where(y > 0, side, 1.0)}))
