import datetime
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Column
from raymm.features.columns import tensor
from raymm.serving.columns import LARGEST, Misfit, reader, shown

WORDS = ("No", "Yes")
VALUES = {
    "number": st.none() | st.integers(-(10**9), 10**9) | st.floats(-1e30, 1e30),
    "boolean": st.none() | st.booleans() | st.sampled_from(["yes", " NO ", "true", "0", 1]),
    "category": st.none() | st.text(max_size=5) | st.integers(-99, 99) | st.floats(-9, 9),
    "text": st.none() | st.text(max_size=20),
}


def _column(kind, **more):
    return Column(name="c", kind=kind, categories=WORDS if kind == "boolean" else (), **more)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(VALUES)))
def test_tensors_are_those_of_training(data, kind):
    """What a request takes, the table's encoder takes alike (floats pass through float64)."""
    column = _column(kind, missing=("?",))
    values = data.draw(st.lists(VALUES[kind], min_size=1, max_size=6))
    try:
        got = reader(column)(values)
    except Misfit as misfit:
        refused = misfit.value
    else:
        refused = None
    if refused is not None:
        assert "\0" in refused
        return
    expected = tensor(pd.Series(values, dtype=object), column)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    moment=st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)),
    form=st.sampled_from(["ISO8601", "%d/%m/%Y %H:%M:%S", "%b %d, %Y"]),
)
def test_dates_are_those_of_training(moment, form):
    column = _column("datetime", format=form)
    text = moment.isoformat() if form == "ISO8601" else moment.strftime(form)
    expected = tensor(pd.Series([text], dtype=object), column)
    np.testing.assert_array_equal(reader(column)([text]), expected)
    # ISO 8601 is understood whatever the format is
    naive = moment.replace(microsecond=0, tzinfo=datetime.UTC)
    assert reader(column)([moment.isoformat()])[0] == int(naive.timestamp())


def test_seconds_milliseconds_and_offsets():
    plain = reader(_column("datetime"))
    assert plain([0, 1.9, -0.5, "1970-01-01T02:00:00+02:00", None]).tolist() == [
        0, 1, -1, 0, NO_TIME,
    ]  # fmt: skip
    assert reader(_column("datetime", format="epoch ms"))([1500, "2500"]).tolist() == [1, 2]
    assert plain(["2020-02"]).tolist() == [int(pd.Timestamp("2020-02-01").timestamp())]


@pytest.mark.parametrize(
    ("kind", "value", "allowed"),
    [
        ("number", "12", "without quotes"),
        ("number", "abc", "a number"),
        ("number", True, "a number"),
        ("number", [1], "a number"),
        ("number", 1e39, "between"),
        ("number", 10**400, "between"),
        ("number", json.loads("1e999"), "between"),
        ("boolean", "maybe", "true or false or 'No' or 'Yes'"),
        ("boolean", 2, "true or false"),
        ("boolean", {}, "true or false"),
        ("category", True, "text"),
        ("category", {}, "text"),
        ("category", json.loads("1e999"), "text"),
        ("category", "\ud800", "Unicode"),
        ("text", "a\0b", "zero"),
        ("text", 3, "text"),
        ("datetime", "yesterday", "ISO 8601"),
        ("datetime", True, "ISO 8601"),
        ("datetime", 1e300, "ISO 8601"),
        ("datetime", json.loads("1e999"), "ISO 8601"),
        ("datetime", 10**15, "ISO 8601"),
        ("datetime", [], "ISO 8601"),
    ],
)
def test_misfits_name_their_row(kind, value, allowed):
    with pytest.raises(Misfit, match=allowed) as caught:
        reader(_column(kind))([None, value])
    assert caught.value.row == 1


@pytest.mark.parametrize("kind", ["number", "boolean", "category", "datetime", "text"])
@pytest.mark.parametrize("value", [None, "", " ", "?", " ? "])
def test_missing(kind, value):
    got = reader(_column(kind, missing=("?",)))([value])
    expected = {"datetime": [NO_TIME], "category": [""], "text": [""]}.get(kind, [np.nan])
    np.testing.assert_array_equal(got, np.array(expected, dtype=got.dtype))
    with pytest.raises(Misfit, match="allows no missing value"):
        reader(_column(kind, missing=("?",), nullable=False))([value])


def test_largest_number_passes():
    assert reader(_column("number"))([LARGEST, -LARGEST]).tolist() == [LARGEST, -LARGEST]


def test_shown_is_short():
    for value in ("x" * 1000, 10**4000, [1] * 1000, {str(i): i for i in range(1000)}):
        assert len(shown(value)) < 100
