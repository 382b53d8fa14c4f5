from __future__ import annotations

import numpy as np
import pytest

from raymm.artifacts import NO_TIME, Column, ColumnStatistics, Schema, Statistics
from raymm.explanation.background import background


def _schema(*columns: Column) -> Schema:
    return Schema(columns=columns, target="y", task="regression")


def _drawn(column: Column, counted: ColumnStatistics | None, rows: int = 200) -> np.ndarray:
    statistics = None if counted is None else Statistics(rows=counted.rows, columns=(counted,))
    made = background(_schema(column), statistics, rows, generator=np.random.default_rng(0))
    return made[column.name]


def _counted(values: np.ndarray, kind: str = "number", missing: int = 0) -> ColumnStatistics:
    ordered = np.sort(values)
    edges = np.unique(np.quantile(ordered, np.arange(1, 10) / 10, method="inverted_cdf"))
    edges = edges[edges < ordered[-1]]
    counts = np.diff(np.searchsorted(ordered, edges, side="right"), prepend=0, append=len(ordered))
    return ColumnStatistics(
        name="x", kind=kind, rows=len(values) + missing, missing=missing,
        distinct=len(np.unique(values)), edges=tuple(edges.tolist()), counts=tuple(counts.tolist()),
        quantiles=tuple(np.quantile(ordered, (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1))),
    )  # fmt: skip


@pytest.mark.parametrize("shape", ["normal", "lognormal", "uniform"])
def test_numbers_have_the_columns_quantiles_and_bounds(shape: str) -> None:
    values = getattr(np.random.default_rng(1), shape)(size=4000)
    drawn = _drawn(Column(name="x", kind="number"), _counted(values))
    assert drawn.dtype == np.float32
    assert values.min() - 1e-6 <= drawn.min() <= drawn.max() <= values.max() + 1e-6
    # deciles are kept; between two of them the values are interpolated
    for level in (0.1, 0.3, 0.5, 0.7, 0.9):
        share = np.mean(drawn <= np.quantile(values, level))
        assert abs(share - level) <= 0.02


def test_few_values_are_kept_as_they_are() -> None:
    values = np.repeat([0.0, 1.0, 5.0], [100, 50, 50])
    drawn = _drawn(Column(name="x", kind="number"), _counted(values))
    assert dict(zip(*np.unique(drawn, return_counts=True), strict=True)) == {0: 100, 1: 50, 5: 50}


def test_whole_numbers_stay_whole_and_missing_values_keep_their_share() -> None:
    values = np.random.default_rng(2).integers(0, 1000, 900).astype(float)
    drawn = _drawn(Column(name="x", kind="number"), _counted(values, missing=100))
    assert np.isnan(drawn).sum() == 20
    held = drawn[~np.isnan(drawn)]
    np.testing.assert_array_equal(held, np.round(held))
    dates = _drawn(Column(name="x", kind="datetime"), _counted(values, "datetime", missing=100))
    assert dates.dtype == np.int64
    assert (dates == NO_TIME).sum() == 20


@pytest.mark.parametrize(("kind", "words"), [("category", ("a", "b")), ("boolean", ("1", "0"))])
def test_words_keep_their_shares(kind: str, words: tuple[str, str]) -> None:
    counted = ColumnStatistics(
        name="x", kind=kind, rows=100, missing=10, distinct=2, values=words, counts=(60, 20),
        other=10,
    )  # fmt: skip
    drawn = _drawn(Column(name="x", kind=kind), counted)
    first = drawn == (words[0] if kind == "category" else 1.0)
    gone = drawn == "" if kind == "category" else np.isnan(drawn)
    assert (first.sum(), gone.sum()) == (135, 20)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column(name="x", kind="number", minimum=1, maximum=3), 2.0),
        (Column(name="x", kind="number"), np.nan),
        (Column(name="x", kind="datetime"), NO_TIME),
        (Column(name="x", kind="category", categories=("b", "a")), "b"),
        (Column(name="x", kind="category"), ""),
        (Column(name="x", kind="boolean"), 0.0),
        (Column(name="x", kind="text", example="hello"), ""),
    ],
)
def test_without_statistics_there_is_one_value(column: Column, value: object) -> None:
    np.testing.assert_array_equal(_drawn(column, None, 3), np.array([value] * 3))
