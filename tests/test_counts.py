"""Counts in words."""

from __future__ import annotations

import pytest

from raymm.counts import counted


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (12345, "12,345 trials")]
)
def test_one_alone_is_singular(count, told):
    assert counted(count, "trial") == told
