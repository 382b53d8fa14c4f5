"""The stand-in for a missing date is none that a table can hold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from raymm.artifacts import NO_TIME


def test_no_date_that_pandas_can_hold_is_taken_for_a_missing_one():
    earliest = pd.Timestamp.min.value // 10**9
    assert np.int64(NO_TIME) < earliest
