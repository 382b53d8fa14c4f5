from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, ColumnStatistics, ManyValues
from raymm.monitoring.sketches import Latencies, cells_of

NUMBERS = st.floats(-1e6, 1e6, width=32)


def column(kind: str, **fields: object) -> ColumnStatistics:
    given_fields = {"name": "x", "kind": kind, "rows": 100, "missing": 7, "distinct": 3, **fields}
    return ColumnStatistics(**given_fields)  # type: ignore[arg-type]


@pytest.mark.slow
@given(edges=st.lists(NUMBERS, unique=True, max_size=9).map(sorted), values=st.lists(NUMBERS))
def test_bins_hold_what_lies_above_one_edge_up_to_the_next(
    edges: list[float], values: list[float]
) -> None:
    cells = cells_of(column("number", edges=tuple(edges), counts=(1,) * (len(edges) + 1)))
    cells.add(np.array([*values, np.nan], np.float32))
    bounds = [-np.inf, *edges, np.inf]
    expected = [sum(low < v <= high for v in values) for low, high in itertools.pairwise(bounds)]
    assert cells.counts.tolist() == [*expected, 0, 1]
    assert cells.reference.tolist() == [1] * (len(edges) + 1) + [0, 7]


def test_a_value_on_an_edge_stays_under_it_when_rounded_to_float32() -> None:
    cells = cells_of(column("number", edges=(0.1, 0.7), counts=(1, 1, 1)))
    assert float(np.float32(0.1)) > 0.1  # or the test would show nothing
    cells.add(np.array([0.1, 0.7], np.float32))
    assert cells.counts.tolist() == [1, 1, 0, 0, 0]


def test_bins_that_float32_cannot_tell_apart_are_one() -> None:
    edges = (1.0, 1.0 + 1e-12, 2.0)
    cells = cells_of(column("number", edges=edges, counts=(4, 3, 2, 1)))
    assert cells.reference.tolist() == [7, 2, 1, 0, 7]


def test_dates_keep_every_second() -> None:
    edge = 1_700_000_001
    cells = cells_of(column("datetime", edges=(float(edge),), counts=(1, 1)))
    cells.add(np.array([edge, edge + 1, NO_TIME], np.int64))
    assert cells.counts.tolist() == [1, 1, 0, 1]


def test_values_are_counted_by_name() -> None:
    cells = cells_of(column("category", values=("b", "a"), counts=(60, 30), other=3))
    cells.add(np.array(["a", "b", "b", "z", "", "a"], object))
    assert cells.counts.tolist() == [2, 2, 1, 1]
    assert cells.reference.tolist() == [60, 30, 3, 7]


@pytest.mark.parametrize("words", [("1", "0"), ("yes", "no"), ("True", "False"), ("z", "m")])
def test_booleans_meet_their_words(words: tuple[str, str]) -> None:
    true, false = words
    for values, counts in [((true, false), (60, 33)), ((false, true), (33, 60))]:
        cells = cells_of(column("boolean", values=values, counts=counts))
        assert cells.reference.tolist() == [33, 60, 0, 7]
    cells.add(np.array([0, 1, 1, np.nan], np.float32))
    assert cells.counts.tolist() == [1, 2, 0, 1]


def test_texts_are_counted_by_length() -> None:
    cells = cells_of(column("text", edges=(2.0, 4.0), counts=(1, 1, 1)))
    cells.add(np.array(["ab", "abc", "abcdef", ""], object))
    assert cells.counts.tolist() == [1, 1, 1, 0, 1]


@given(st.lists(st.floats(1e-5, 1e4), min_size=1), st.floats(0, 1))
def test_a_latency_quantile_is_within_its_stated_error(seconds: list[float], share: float) -> None:
    histogram = Latencies()
    for value in seconds:
        histogram.add(value)
    true = sorted(seconds)[int(share * (len(seconds) - 1))]
    found = histogram.quantile(share)
    # Rounding in the logarithm moves a bucket's bound by parts in 1e12 at most.
    assert found is not None
    assert abs(found - true) <= (Latencies.ERROR + 1e-9) * true


@given(st.lists(st.floats(0, 1e6)), st.lists(st.floats(0, 1e6)))
def test_merged_latencies_are_those_of_both(first: list[float], second: list[float]) -> None:
    one, two, both = Latencies(), Latencies(), Latencies()
    for value in first:
        one.add(value)
        both.add(value)
    for value in second:
        two.add(value)
        both.add(value)
    one.merge(json.loads(json.dumps(two.state())))
    assert one.buckets == both.buckets
    assert one.sum == pytest.approx(both.sum)


def test_latencies_stay_bounded() -> None:
    histogram = Latencies()
    for value in [0.0, -1.0, float("nan"), float("inf"), *np.geomspace(1e-12, 1e12, 20_000)]:
        histogram.add(value)
    assert histogram.count == 20_002
    assert len(histogram.buckets) <= 1267
    assert Latencies().quantile(0.5) is None


def test_many_values_are_counted_by_hash_and_new_ones_beside() -> None:
    rows = {f"v{i}": 1 + i % 3 for i in range(300)}
    many = ManyValues.of("x", rows)
    listed = column("category", distinct=300, values=("v2", "v5"), counts=(3, 3), other=594)
    cells = cells_of(listed, (many,))
    assert cells.reference[-1] == 7
    assert cells.reference[:-2].sum() == 600
    assert abs(cells.reference[-2] - 100) <= 2  # values of one row, less those the filter knows
    cells.add(np.array(["v2", "v1", "new", "", "v2"], object))
    whole, counts = cells.whole(cells.counts)
    assert (whole.sum(), counts.sum(), counts[-1]) == (607, 5, 1)
    kept, told = cells.unlisted(cells.counts)
    assert told.tolist() == [3, 1, 1]
    # 100 values of one row and 100 of two: as those of a third of the rows
    assert kept.sum() == pytest.approx(607 / 3, abs=3)
    assert kept[1] == pytest.approx(100 / 3, abs=2)
    unseen, own = cells.unseen(1) or (0.0, 0.0)
    assert (round(unseen, 1), own) == (1.0, 100.0)
    # without more than the listed values, what training had not is not known
    assert cells_of(listed).unseen(1) is None
