from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from raymm.data import encodings as module
from raymm.data.encodings import encodings
from raymm.data.evidence import Evidence
from raymm.features.columns import distinct

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


def test_each_category_is_gone_through_once(
    made: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, N)
    guesses = {f"guess{c}": 0.5 * (y == c) + 0.5 * rng.permutation(y == c) for c in range(4)}
    guesses = {name: values + 0.01 * rng.random(N) for name, values in guesses.items()}
    towns = {f"town{i}": [f"t{v}" for v in rng.integers(0, 60, N)] for i in range(2)}
    given = made({**guesses, **towns, "y": [f"c{v}" for v in y]})
    calls: list[str] = []

    def counted(values: Any) -> Any:
        calls.append(str(values.name))
        return distinct(values)

    monkeypatch.setattr(module, "distinct", counted)
    assert found(given) == set()
    assert sorted(calls) == ["town0", "town1"]
