from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle import records
from raymm.bundle.records import PHRASES, PLAIN, SHORT, from_text, to_text

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SHORTS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ODD = st.sampled_from(["1.5", "~", "~2.5", "5.099999904632568 rows", "1e5", "1.0e400"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | SHORTS | st.text() | ODD,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
).filter(lambda value: value == value and "Infinity" not in json.dumps(value))  # fmt: skip


@pytest.mark.slow
@given(st.lists(VALUES, min_size=1, max_size=3))
@settings(max_examples=40)
def test_records_come_back_as_they_were(records):
    text = to_text(records)
    assert json.dumps(from_text(text)) == json.dumps(
        [json.loads(json.dumps(r, sort_keys=True)) for r in records]
    )
    assert to_text(from_text(text)) == text


def test_float32_numbers_are_short_and_others_whole():
    numbers = [float(np.float32(5.1)), 5.1, 0.1 + 0.2, float(np.float32(1e-30)), 1.5]
    text = to_text([numbers])
    assert text == b"~[~5.1,5.1,0.30000000000000004,~1e-30,1.5]"
    assert from_text(text) == [numbers]


def test_text_with_a_tilde_is_left_as_it_is():
    record = {"a": "~5", "b": float(np.float32(5.1))}
    assert to_text([record])[:1] == PLAIN
    assert from_text(to_text([record])) == [record]
    assert to_text([{"a": "5"}])[:1] == SHORT


@pytest.mark.parametrize("data", [b"", b"{}", b"x{}", b"={", b"~[~1.2.3]", b"~[~.]", b"=\xff"])
def test_other_text_is_an_error(data):
    with pytest.raises(ValueError):  # noqa: PT011
        from_text(data)


def test_the_phrases_of_version_2_do_not_change():
    """Files are read with them: a change to them is a new version of the format."""
    import hashlib

    assert (
        hashlib.sha256(PHRASES).hexdigest()
        == "2b0f14cea9da2d4e8c164ed3e952318650bc35e69e50193a4312e8be8f16a0a8"
    )


def test_more_values_than_the_limit_are_refused_before_they_are_read():
    text = b"=[" + b"[]," * (records.LARGEST_VALUES // 2) + b"0]"
    with pytest.raises(ValueError, match="at most"):
        from_text(text)
