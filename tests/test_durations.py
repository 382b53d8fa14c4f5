"""Durations as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.durations import seconds


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), rest=st.integers(1, 59))
def test_durations_add_up(hours, minutes, rest):
    assert seconds(f"{hours}h{minutes}m{rest}s") == hours * 3600 + minutes * 60 + rest


@pytest.mark.parametrize("value", ["soon", "", "5 minutes", "-3s", 0, -1, float("nan")])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="duration"):
        seconds(value)
