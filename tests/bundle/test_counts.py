from __future__ import annotations

import numpy as np
import pytest

from raymm.bundle.counts import FEW, Counts, Steps


def test_sights_are_added_to_a_symbol_and_those_beside_it():
    counts = Counts(2, 4, weight=5, spread=2)
    counts.see(np.array([0, 0, 1]), np.array([0, 3, 1]))
    assert counts.table.tolist() == [[5, 2, 2, 5], [2, 5, 2, 0]]


def test_steps_hold_the_tables_themselves_and_zeros_where_there_are_no_more():
    counts = Counts(3, 4, weight=5, spread=2)
    steps = Steps.of([(counts, np.array([0, 2, -1]))], 1, None)
    assert steps.first is counts.table
    assert not any(one.any() for one in steps[1:FEW])
    assert steps.contexts.tolist() == [[0, 2, 2], *[[0, 0, 0]] * (FEW - 1)]
    assert steps.weight.tolist() == [5, 0, 0, 0]
    assert steps.spread.tolist() == [2, 0, 0, 0]
    assert (steps.low.tolist(), steps.high.tolist()) == ([0, 0, 0], [4, 4, 4])


@pytest.mark.parametrize("context", [3, -4])
def test_a_context_that_there_is_not_is_refused(context):
    with pytest.raises(IndexError, match="below 3"):
        Steps.of([(Counts(3, 4), np.array([0, context]))], 1, None)


def test_counts_and_bounds_that_do_not_fit_are_refused():
    zeros = np.zeros(3, np.int64)
    with pytest.raises(IndexError, match="as many symbols"):
        Steps.of([(Counts(1, 4), zeros), (Counts(1, 5), zeros)], 1, None)
    with pytest.raises(IndexError, match="bounds"):
        Steps.of([(Counts(1, 4), zeros)], 1, (zeros[:2], zeros))
