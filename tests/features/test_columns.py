import datetime
import decimal
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Column, Schema
from raymm.errors import DataError
from raymm.features.columns import encode, encode_target, gaps, tensor


def one(values: Any, kind: str, **more: Any) -> Any:
    column = Column(name="v", kind=kind, **more)  # type: ignore[arg-type]
    return tensor(pd.Series(values), column)


@pytest.mark.slow
@given(st.lists(st.floats(width=64), min_size=1, max_size=20))
def test_a_number_is_its_float32_however_it_comes(values: list[float]) -> None:
    with np.errstate(over="ignore"):
        expected = np.array(values).astype(np.float32)
    expected[~np.isfinite(expected)] = np.nan
    read = one(values, "number")
    assert read.dtype == np.float32
    assert np.array_equal(read, expected, equal_nan=True)
    boxed = one(pd.Series(values, dtype=object), "number")
    assert np.array_equal(boxed, expected, equal_nan=True)
    # Text goes through a parser that may be a unit of float64 off, so of float32 after rounding.
    text = one([f" {value!r} " for value in values], "number")
    assert np.array_equal(np.isnan(text), np.isnan(expected))
    known = ~np.isnan(expected)
    np.testing.assert_array_max_ulp(text[known], expected[known], maxulp=1)


def test_numbers_as_people_write_them() -> None:
    nan = float("nan")
    cases: list[tuple[list[Any], dict[str, Any], list[float]]] = [
        (["1", "", " ", None, "x", "1e40", "inf"], {}, [1, nan, nan, nan, nan, nan, nan]),
        (["-999", "5", -999.0], {"missing": ("-999",)}, [nan, 5, nan]),
        (["1.234,5", "-7", "1 000,25"], {"format": "decimal comma"}, [1234.5, -7, 1000.25]),
        (["1,234.5", "12"], {"format": "thousands comma"}, [1234.5, 12]),
        (["$1,000", "-€5", "20 %"], {"format": "signs, thousands comma"}, [1000, -5, 20]),
        ([decimal.Decimal("1.5"), True, None, [1], datetime.date(2020, 1, 1)], {},
         [1.5, 1, nan, nan, nan]),
    ]  # fmt: skip
    for values, more, expected in cases:
        read = one(pd.Series(values, dtype=object), "number", **more)
        assert np.array_equal(read, np.array(expected, dtype=np.float32), equal_nan=True)
    assert np.isnan(one(pd.to_datetime(["2020-01-01"]), "number")).all()


@pytest.mark.slow
@given(st.lists(st.timedeltas(max_value=datetime.timedelta(days=10_000)), min_size=1, max_size=9))
def test_durations_are_seconds_however_they_come(spans: list[datetime.timedelta]) -> None:
    spans = [max(span, datetime.timedelta(days=-10_000)) for span in spans]
    expected = np.array([span.total_seconds() for span in spans], dtype=np.float32)
    for values in (pd.Series(spans, dtype=object), pd.Series(spans, dtype="timedelta64[us]")):
        assert np.array_equal(one(values, "number", format="duration"), expected)
        assert np.isnan(one(values, "number")).all()
    clock = [datetime.time(1, 30, 2, 500_000), None]
    assert one(pd.Series(clock), "number", format="duration")[0] == 5402.5


def test_booleans_are_understood_in_words_and_types() -> None:
    expected = np.array([0, 1, 0, 1, np.nan, np.nan], dtype=np.float32)
    words = ("No", "Yes")
    text = one(["No", "yes", "NO ", "Yes", "", "maybe"], "boolean", categories=words)
    typed = one(pd.Series([False, True, 0, 1.0, None, "?"], dtype=object), "boolean",
                categories=words)  # fmt: skip
    assert np.array_equal(text, expected, equal_nan=True)
    assert np.array_equal(typed, expected, equal_nan=True)
    assert one([True, False], "boolean").tolist() == [1.0, 0.0]


@pytest.mark.slow
@given(st.lists(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
                | st.none(), min_size=1, max_size=10))  # fmt: skip
def test_a_date_is_its_seconds_however_it_comes(stamps: list[datetime.datetime | None]) -> None:
    origin = datetime.datetime(1970, 1, 1)
    second = datetime.timedelta(seconds=1)
    expected = [NO_TIME if s is None else (s - origin) // second for s in stamps]
    whole = [None if s is None else s.replace(microsecond=0) for s in stamps]
    german = [None if s is None else f"{s:%d.%m.}{s.year:04d}{s: %H:%M:%S}" for s in stamps]
    ways = [
        one(pd.Series(stamps, dtype="datetime64[us]"), "datetime"),
        one(pd.Series(stamps, dtype="datetime64[us]").dt.tz_localize("UTC"), "datetime"),
        one(pd.Series(stamps, dtype=object), "datetime"),
        one([None if s is None else s.isoformat() for s in whole], "datetime", format="ISO8601"),
        one([None if s is None else f"{s.isoformat()}Z" for s in whole], "datetime"),
        one(pd.Series(german, dtype=object), "datetime", format="%d.%m.%Y %H:%M:%S"),
        one([None if s is None else s.isoformat() for s in whole], "datetime", format="%d/%m/%Y"),
        one([np.nan if e == NO_TIME else e for e in expected], "datetime", format="epoch"),
        one(["" if e == NO_TIME else str(e * 1000) for e in expected], "datetime",
            format="epoch ms"),
    ]  # fmt: skip
    for read in ways:
        assert read.dtype == np.int64
        assert read.tolist() == expected


def test_offsets_count_and_nonsense_is_no_time() -> None:
    read = one(["1970-01-01T01:00:00+01:00", "soon", "", "0000-99-99"], "datetime")
    assert read.tolist() == [0, NO_TIME, NO_TIME, NO_TIME]


def test_whole_numbers_are_dates_where_the_format_has_digits_alone() -> None:
    for form, values, expected in (
        ("%Y%m%d", [20240229, 20241301], ["2024-02-29", None]),
        ("%d%m%Y", [1022024, 31122024], ["2024-02-01", "2024-12-31"]),
        ("%d/%m/%Y", [20240229], [None]),
    ):
        seconds = [NO_TIME if e is None else np.datetime64(e, "s").astype(int) for e in expected]
        for dtype in ("int64", "float64", object):
            read = one(pd.Series(values, dtype=dtype), "datetime", format=form)
            assert read.tolist() == seconds


def test_what_stands_for_missing_is_told_by_word_and_value() -> None:
    number = Column(name="v", kind="number", missing=("-999", "none"))
    assert (
        gaps([-999.0, "-999.00", "none", " ", 9, "x"], number).tolist() == [True] * 4 + [False] * 2
    )
    day = Column(name="v", kind="datetime", missing=("1900-01-01",))
    found = [pd.Timestamp("1900-01-01"), "1900-01-01T00:00", "2000-01-01"]
    assert gaps(found, day).tolist() == [True, True, False]


def test_categories_and_texts_are_words() -> None:
    values = pd.Series([" a", "a ", "", None, float("nan"), 3.0, 3, 2.5, True, "?", "3.0"],
                       dtype=object)  # fmt: skip
    for kind in ("category", "text"):
        read = one(values, kind, missing=("?",))
        assert read.dtype == object
        assert read.tolist() == ["a", "a", "", "", "", "3", "3", "2.5", "True", "", "3.0"]
    assert one([1.0, np.nan], "category").tolist() == ["1", ""]
    assert one(pd.Series(["a", None], dtype="category"), "category").tolist() == ["a", ""]
    assert one(pd.Series([[1, 2], None], dtype=object), "text").tolist() == ["[1, 2]", ""]


def schema(task: str, classes: tuple[str, ...] = ()) -> Schema:
    columns = (
        Column(name="x", kind="number"),
        Column(name="note", kind="text", role="ignored"),
        Column(name="y", kind="category" if classes else "number", role="target", missing=("?",)),
    )
    return Schema(columns=columns, target="y", task=task, classes=classes)  # type: ignore[arg-type]


def test_targets_become_codes_or_values() -> None:
    frame = pd.DataFrame({"y": ["b", " a", "?", "c", None]})
    y, known = encode_target(frame, schema("binary", ("a", "b")))
    assert y.tolist() == [1, 0, -1, -1, -1]
    assert known.tolist() == [True, True, False, False, False]
    for values in (["1.0", "0", "2"], [1, 0, 2], [1.0, 0.0, np.nan], [True, False, None]):
        y, _ = encode_target(pd.DataFrame({"y": values}), schema("binary", ("0", "1")))
        if values[0] is not True:
            assert y.tolist() == [1, 0, -1]
    y, known = encode_target(pd.DataFrame({"y": ["1.5", "?", "inf"]}), schema("regression"))
    assert y.dtype == np.float64
    assert known.tolist() == [True, False, False]
    assert y[0] == 1.5
    assert np.isnan(y[1:]).all()


def test_only_features_are_encoded_and_all_must_be_there() -> None:
    frame = pd.DataFrame({"x": ["1"], "note": ["n"], "y": ["a"], "more": ["m"]})
    assert list(encode(frame, schema("regression"))) == ["x"]
    with pytest.raises(DataError, match="lacks 'x'"):
        encode(frame[["note"]], schema("regression"))
    with pytest.raises(DataError, match='the target "y"'):
        encode_target(frame[["x"]], schema("regression"))
    empty = encode(frame.iloc[:0], schema("regression"))
    assert empty["x"].shape == (0,)


@pytest.mark.slow
def test_encoding_is_linear_in_rows_and_fast() -> None:
    rng = np.random.default_rng(0)
    rows = 40_000
    frame = pd.DataFrame(
        {f"n{i}": rng.normal(size=rows).round(3).astype(str) for i in range(8)}
        | {f"c{i}": rng.integers(0, 20, rows).astype(str) for i in range(7)}
    )
    kinds = [Column(name=c, kind="number" if c[0] == "n" else "category") for c in frame]
    table = Schema(columns=tuple(kinds), target="y", task="regression")
    started = time.process_time()
    encode(frame, table)
    # About 60 ms on the machine it was written on; the bound leaves room for a slow, busy one.
    assert time.process_time() - started < 1.5
