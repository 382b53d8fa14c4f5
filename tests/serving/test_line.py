"""How long who stands in a line waits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raymm.serving.line import Line, rows_of
from raymm.serving.tally import Tally


def _line(row_seconds=1.0, **at_work):
    """A line whose calls began at these moments and have these sizes."""
    line = Line(SimpleNamespace(tally=Tally(), row_seconds=row_seconds))
    line.at_work = dict(enumerate(at_work.values()))
    return line


def test_a_call_takes_what_the_last_took_and_before_any_what_a_row_did():
    line = _line(row_seconds=2.0)
    assert line.each() == 2
    line.served.tally.called(3.0)
    assert line.each() == 3


@pytest.mark.parametrize(("now", "left"), [(0.5, [0.5, 2.5]), (2.5, [0.5, 0.5]), (9.0, [3.0, 7.0])])
def test_what_is_late_needs_as_long_as_it_is_late(now, left):
    assert _line(a=(0.0, 1), b=(0.0, 3)).left(now) == left


@pytest.mark.parametrize(
    ("calls", "size", "share", "wait"),
    [
        ({}, 3, 2, 1.5),
        ({"a": (0.0, 1)}, 0, 1, 0.75),
        ({"a": (0.0, 1)}, 2, 1, 2.75),
        ({"a": (0.0, 1)}, 2, 0.5, 4.75),  # each turn after one of another version
        ({"a": (0.0, 1), "b": (0.0, 1)}, 0, 2, 0.75),
        ({"a": (0.0, 1), "b": (0.0, 1)}, 2, 2, 1.75),
        ({"a": (0.0, 1), "b": (0.0, 9)}, 1, 2, 1.75),  # the long one is not waited for
    ],
)
def test_who_comes_behind_waits_for_what_is_left_and_what_waits(calls, size, share, wait):
    assert _line(**calls).until(0.25, size, share) == wait


def test_rows_are_those_of_any_column():
    assert rows_of({"a": np.zeros(3), "b": np.zeros(3)}) == 3
