from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data.encodings import encodings
from raymm.data.evidence import Evidence

N = 500


def found(made: Any) -> set[tuple[str, str]]:
    evidence = Evidence.of(made.table.frame, made.schema)
    return {(one.rule, one.column) for one in encodings(evidence)}


@pytest.mark.parametrize("ddof", [0, 1])
def test_what_is_scaled_by_all_rows_is_told_from_what_happens_to_lie_about_zero(
    ddof: int, made: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(0)
    x = rng.gamma(2, 5, N)
    columns = {
        "scaled": (x - x.mean()) / x.std(ddof=ddof),
        **{f"normal{i}": rng.normal(size=N) for i in range(30)},
        "share": rng.random(N),
        "y": rng.choice(["a", "b"], N),
    }
    assert found(made(columns)) == {("scaled before the split", "scaled")}


def test_means_of_the_target_are_told_from_means_of_training_rows_and_from_chances(
    made: Callable[..., Any],
) -> None:
    rng = np.random.default_rng(1)
    town = rng.integers(0, 60, N)
    chance = rng.random(60)[town]
    y = (rng.random(N) < chance).astype(float)
    half = rng.random(N) < 0.5
    sums, counts = np.bincount(town[half], y[half], 60), np.bincount(town[half], minlength=60)
    columns = {
        "all_rows": (np.bincount(town, y) / np.bincount(town))[town],
        "training_rows": (sums / np.maximum(counts, 1))[town],
        "chance": chance.round(3),
        "town": [f"t{v}" for v in town],
        "copy": y,
        "y": np.where(y > 0, "yes", "no"),
    }
    assert found(made(columns)) == {("suspected leak", "all_rows")}


def test_one_class_of_many_is_enough(made: Callable[..., Any]) -> None:
    rng = np.random.default_rng(2)
    town, y = rng.integers(0, 60, N), rng.integers(0, 3, N)
    rate = (np.bincount(town, y == 1) / np.bincount(town))[town]
    columns = {"rate": rate, "x": rng.normal(size=N), "y": [f"c{v}" for v in y]}
    assert found(made(columns)) == {("suspected leak", "rate")}
