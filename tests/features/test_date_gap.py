import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Column
from raymm.features.date_gap import MOST, DateGap, date_pairs
from raymm.features.number import Number
from raymm.features.scaled_number import ScaledNumber

FIRST, LAST = -62_135_596_800, 253_402_300_799
ORDERED, DELIVERED = (Column(name=name, kind="datetime") for name in ("ordered", "delivered"))
DATE = st.integers(FIRST, LAST) | st.integers(-(2**63), 2**63 - 1) | st.just(NO_TIME)
ROWS = st.lists(st.tuples(DATE, DATE), min_size=1, max_size=20)
Y = np.zeros(0)


def table(rows):
    dates = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return {"ordered": dates[:, 0], "delivered": dates[:, 1]}


@pytest.mark.slow
@given(ROWS)
@settings(deadline=None)
def test_days_are_the_whole_numbers_difference_and_missing_where_a_date_is(rows):
    expected = [
        np.nan
        if NO_TIME in (start, end)
        else np.float32((min(max(end, FIRST), LAST) - min(max(start, FIRST), LAST)) / 86_400)
        for start, end in rows
    ]
    gap = DateGap(ORDERED, DELIVERED, Number)
    np.testing.assert_array_equal(gap.take(table(rows)), np.array(expected, dtype=np.float32))


def test_a_second_is_seen_between_dates_whose_days_round_to_the_same_float():
    start = 1_700_000_000
    days = np.array([start, start + 1], dtype=np.float64) / 86_400
    assert np.ptp(days.astype(np.float32)) == 0
    gap = DateGap(ORDERED, DELIVERED, Number)
    assert gap.take(table([(start, start + 1)]))[0] == np.float32(1 / 86_400)


@pytest.mark.slow
@pytest.mark.parametrize("number", [Number, ScaledNumber])
@given(train=ROWS, rows=ROWS)
@settings(max_examples=40, deadline=None)
def test_graph_equals_transform_for_any_dates(run_columns, number, train, rows):
    gap = DateGap(ORDERED, DELIVERED, number)
    assert gap.fit(gap.take(table(train)), Y) is gap
    result = gap.transform(gap.take(table(rows)))
    assert result.dtype == np.float32
    assert result.shape == (len(rows), len(gap.names))
    graph = run_columns(gap, table(rows))
    if number is Number:
        np.testing.assert_array_equal(graph, result)
    else:
        assert np.isfinite(result).all()
        np.testing.assert_allclose(graph, result, rtol=1e-5, atol=1e-5)


def test_days_are_scaled_as_any_other_number_is():
    generator = np.random.default_rng(0)
    start = generator.integers(0, 10**9, 200)
    rows = np.stack([start, start + generator.integers(0, 10**6, 200)], axis=1)
    rows[::9, 1] = NO_TIME
    gap = DateGap(ORDERED, DELIVERED, ScaledNumber)
    days = gap.take(table(rows))
    name = "ordered to delivered days"
    number = ScaledNumber(Column(name=name, kind="number")).fit(days, Y)
    np.testing.assert_array_equal(gap.fit(days, Y).transform(days), number.transform(days))
    assert gap.names == (name, f"{name} rank", f"{name} missing")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 5), (0, 6)], True),
        ([(0, 5), (10, 15)], False),
        ([(0, 5), (10, 15), (NO_TIME, 3), (3, NO_TIME)], False),
        ([(NO_TIME, 5), (10, NO_TIME)], False),
        ([], False),
    ],
)
def test_a_gap_varies_where_rows_with_both_dates_differ(rows, expected):
    assert DateGap(ORDERED, DELIVERED, Number).varies(table(rows)) is expected


@pytest.mark.parametrize("count", range(MOST + 3))
def test_two_to_six_dates_are_paired_each_with_each(count):
    dates = [Column(name=f"d{i}", kind="datetime") for i in range(count)]
    pairs = date_pairs([Column(name="n", kind="number"), *dates])
    assert len(pairs) == (count * (count - 1) // 2 if count <= 6 else 0)
    assert len(set(pairs)) == len(pairs)
    assert all(dates.index(first) < dates.index(second) for first, second in pairs)
