from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raymm.artifacts import NO_TIME, Column, ColumnStatistics, Statistics, as_record, from_record
from raymm.artifacts.many_values import Filter, digest
from raymm.data.statistics import (
    QUANTILES,
    _numeric,
    histogram,
    of_tensor,
    quantiles,
    reference,
    shortened,
)

Maker = Callable[..., Any]


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32)))
def test_bins_are_between_values_that_occur_and_count_every_row(values: Any) -> None:
    edges, counts = histogram(values)
    assert len(counts) == len(edges) + 1 <= 10
    assert sum(counts) == len(values)
    assert set(edges) <= set(values.tolist())
    assert list(edges) == sorted(set(edges))
    lower, upper = [-np.inf, *edges], [*edges, np.inf]
    for count, low, high in zip(counts, lower, upper, strict=True):
        assert count == ((values > low) & (values <= high)).sum() > 0


def test_more_is_kept_of_categories_beyond_those_listed(made: Maker) -> None:
    rng = np.random.default_rng(0)
    data = made(
        {
            "few": [f"f{v}" for v in rng.integers(0, 40, 600)],
            "many": ["" if v == 0 else f"w{v}" for v in rng.integers(0, 80, 600)],
            "y": rng.choice(["a", "b"], 600),
        }
    ).dataset()
    found = reference(data)
    (kept,) = found.many
    column = found.column("many")
    assert kept.name == "many"
    assert sum(kept.cells) == column.rows - column.missing < column.rows
    assert kept.distinct == column.distinct > len(column.values)
    known = Filter(kept.members, kept.distinct)
    words = set(data.tensors["many"][data.train].tolist()) - {""}
    assert all(digest(word) in known for word in words)
    assert from_record(Statistics, as_record(found)) == found


def test_distinct_values_fall_into_tenths() -> None:
    _, counts = histogram(np.random.default_rng(0).permutation(1000).astype(float))
    assert counts == (100,) * 10


def test_reference_counts_the_training_rows_only(made: Maker) -> None:
    rng = np.random.default_rng(0)
    n = 300
    data = made(
        {
            "x": [*rng.normal(size=n - 1).round(2).astype(str), ""],
            "flag": rng.choice(["yes", "no", ""], n),
            "word": [f"w{v}" for v in rng.integers(0, 80, n)],
            "day": np.datetime64("2020-01-01") + rng.integers(0, 50, n).astype("timedelta64[D]"),
            "note": [f"some words and {i}" for i in range(n)],
            "y": rng.choice(["a", "b"], n),
        }
    ).dataset()
    found = reference(data)
    assert found.rows == len(data.train)
    for column in data.schema.features:
        counts = found.column(column.name)
        assert counts.kind == column.kind
        assert counts.rows == counts.missing + sum(counts.counts) + counts.other
    assert {c.kind for c in found.columns} == {"number", "boolean", "category", "datetime", "text"}
    x = data.tensors["x"][data.train].astype(float)
    x = x[~np.isnan(x)]
    # As few digits as a thousandth of the deviation takes.
    assert found.column("x").mean == pytest.approx(x.mean(), abs=1e-3 * x.std())
    assert found.column("x").deviation == pytest.approx(x.std(), rel=1e-3)
    assert found.column("x").quantiles[4] == pytest.approx(np.median(x))
    words = found.column("word")
    assert len(words.values) == 50
    assert words.other > 0
    assert list(words.counts) == sorted(words.counts, reverse=True)
    assert set(found.column("flag").values) == {"0", "1"}
    note = found.column("note")
    assert note.values == ()
    assert note.mean_length == pytest.approx(
        np.mean([len(text) for text in data.tensors["note"][data.train]])
    )
    assert from_record(Statistics, as_record(found)) == found


@pytest.mark.parametrize(
    ("mean", "deviation", "kept"),
    [
        (5.217118997912317, 4.785318744398491, (5.217, 4.785)),
        (1.7e9 + 0.123, 123.456, (1.7e9 + 0.1, 123.5)),
        (-0.002133419, 1.0006028e-7, (-0.002133419, 1.001e-7)),
        (3.25, 0.0, (3.25, 0.0)),
        (1 / 3, 5e-324, (1 / 3, 5e-324)),
        (123456.0, 98765.4, (123460.0, 98770.0)),
    ],
)
def test_a_bundle_carries_no_more_digits_than_the_rows_know(mean, deviation, kept) -> None:
    values = (-0.1, 1 / 3, 0.5, 2 / 3, 1e9 + 1, 0.1)
    one = ColumnStatistics(name="x", kind="number", rows=9, missing=0, distinct=9)
    one = replace(one, mean=mean, deviation=deviation, quantiles=values, edges=values, counts=(9,))
    found = shortened(one)
    assert (found.mean, found.deviation) == pytest.approx(kept, rel=1e-12)
    assert found.quantiles == (-0.1, *(float(np.float32(q)) for q in values[1:-1]), 0.1)
    assert replace(found, mean=mean, deviation=deviation, quantiles=values) == one
    # Seconds since 1970 are no float32.
    assert shortened(replace(one, kind="datetime")).quantiles == values
    empty = replace(one, mean=None, deviation=None, quantiles=())
    assert shortened(empty) == empty


def test_columns_without_values_have_statistics_too() -> None:
    for kind, empty in (("number", np.nan), ("boolean", np.nan), ("datetime", NO_TIME),
                        ("category", ""), ("text", "")):  # fmt: skip
        dtype = {"datetime": np.int64, "category": object, "text": object}.get(kind, np.float32)
        found = of_tensor(np.array([empty] * 3, dtype=dtype), Column(name="v", kind=kind))
        assert (found.rows, found.missing, found.distinct, sum(found.counts)) == (3, 3, 0, 0)


def test_describe_counts_what_is_there(made: Maker) -> None:
    n = 100
    found = made(
        {
            "x": ["1", "3", "?", ""] * 25,
            "word": ["b", "a", "a", "?"] * 25,
            "note": [f"some words and {i:03d}" for i in range(n)],
            "y": ["no", "yes"] * 50,
        }
    ).statistics
    x, word = found.column("x"), found.column("word")
    assert (x.kind, x.missing, x.distinct, x.mean, x.deviation) == ("number", 50, 2, 2.0, 1.0)
    assert (x.edges, x.counts) == ((1.0,), (25, 25))
    assert (word.values, word.counts, word.missing) == (("a", "b"), (50, 25), 25)
    assert found.column("note").mean_length == len("some words and 000")
    assert (found.rows, found.column("y").kind) == (n, "boolean")


@given(arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32)))
def test_quantiles_are_numpy_s(values: Any) -> None:
    assert list(quantiles(np.sort(values))) == np.quantile(values, QUANTILES).tolist()
    edges, _ = histogram(values)
    deciles = [i / 10 for i in range(1, 10)]
    found = np.unique(np.quantile(values, deciles, method="inverted_cdf"))
    assert list(edges) == found[found < values.max()].tolist()


def test_the_largest_numbers_have_finite_statistics_and_warn_of_nothing() -> None:
    column = _numeric(
        Column(name="a", kind="number"), 6, np.array([1.5e308, -1.5e308, 1.5e308, 2, 3])
    )
    assert column.mean == pytest.approx(3e307)
    assert column.deviation == pytest.approx(1.122e308, rel=1e-3)
    assert (column.distinct, column.missing) == (4, 1)
