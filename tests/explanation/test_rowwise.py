from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from raymm.artifacts import Column, ColumnStatistics, Schema, Statistics
from raymm.explanation.rowwise import RUNS, Shapley


def _made(columns: int, predict, seed: int = 0) -> Shapley:
    names = [f"x{i}" for i in range(columns)]
    quantiles = (-3, -2.3, -1.6, -0.7, 0, 0.7, 1.6, 2.3, 3)
    counted = tuple(
        ColumnStatistics(
            name=name, kind="number", rows=100, missing=0, distinct=100, quantiles=quantiles,
            edges=(-0.7, 0.0, 0.7), counts=(25, 25, 25, 25),
        )
        for name in names
    )  # fmt: skip
    schema = Schema(
        columns=tuple(Column(name=n, kind="number") for n in names), target="y", task="regression"
    )
    return Shapley(predict, schema, Statistics(rows=100, columns=counted), seed=seed)


def _by_definition(made: Shapley, predict, row: dict[str, np.ndarray]) -> np.ndarray:
    """The mean change over every order of the columns and every background row (Shapley 1953)."""
    names, total, count = list(row), np.zeros(len(row)), 0
    for order in permutations(range(len(names))):
        mixed = {name: made._background[name].copy() for name in names}
        before = predict(mixed).mean()
        for place in order:
            mixed[names[place]][:] = row[names[place]][0]
            after = predict(mixed).mean()
            total[place] += after - before
            before = after
        count += 1
    return total / count


def _curved(t) -> np.ndarray:
    return t["x0"] * t["x1"] * t["x2"] + np.sin(t["x3"]) * t["x0"] + (t["x4"] > 0.3)


def _row(columns: int, seed: int = 3) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).normal(size=columns).astype(np.float32)
    return {f"x{i}": values[i : i + 1] for i in range(columns)}


def test_few_columns_are_exact() -> None:
    made, row = _made(5, _curved), _row(5)
    found = made.explain(row)
    np.testing.assert_allclose(found.values[0, 0], _by_definition(made, _curved, row), atol=1e-6)
    assert not found.errors.any()
    assert "all 32 coalitions" in found.method


def test_many_columns_are_sampled_within_the_stated_errors() -> None:
    """Columns that the function does not read leave the others' values as they are."""
    exact_made, row = _made(5, _curved), _row(20)
    exact = exact_made.explain({name: row[name] for name in list(row)[:5]}).values[0, 0]
    off = []
    for seed in range(20):
        found = _made(20, _curved, seed).explain(row)
        assert not found.values[0, 0, 5:].any()
        np.testing.assert_allclose(found.base + found.values.sum(2), found.outputs, atol=1e-6)
        off.append((found.values[0, 0, :5] - exact) / found.errors[0, 0, :5])
    # 100 standard scores whose background rows are spread more evenly than at random, so that
    # their deviation is at most 1 but for the exact values' own background: 1.5 is far off
    assert np.std(off) < 1.5
    assert np.abs(np.mean(off)) < 1


def test_work_is_bounded_and_a_row_is_explained_alike_in_any_company() -> None:
    runs = []

    def counted(tensors) -> np.ndarray:
        runs.append(len(tensors["x0"]))
        both = tensors["x0"] * tensors["x1"]
        return np.stack([both, 1 - both], axis=1)

    for columns in (2, 8, 9, 40):
        runs.clear()
        made, row = _made(columns, counted), _row(columns)
        alone = made.explain(row)
        assert sum(runs[:-1]) <= RUNS
        several = made.explain({name: np.repeat(values, 3) for name, values in row.items()})
        np.testing.assert_array_equal(several.values, np.repeat(alone.values, 3, axis=0))
        np.testing.assert_allclose(alone.values[0, 0], -alone.values[0, 1], atol=1e-12)


@pytest.mark.slow
def test_a_wide_table_is_run_in_parts() -> None:
    longest = []

    def first(tensors) -> np.ndarray:
        longest.append(len(tensors["x0"]))
        return tensors["x0"] + tensors["x1"]

    found = _made(2000, first).explain(_row(2000))
    assert max(longest) <= 500
    np.testing.assert_allclose(found.values[0, 0, 2:], 0)
    np.testing.assert_allclose(found.base + found.values.sum(2), found.outputs, atol=1e-6)


def test_a_prediction_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="finite"):
        _made(2, lambda t: np.full(len(t["x0"]), np.nan)).explain(_row(2))
