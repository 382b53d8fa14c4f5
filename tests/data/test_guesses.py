import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Written
from raymm.data.guesses import Typed
from raymm.data.kinds import guess


@given(
    st.lists(
        st.none() | st.integers(-3, 3).map(float) | st.floats(-9, 9) | st.just(float("inf")),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_told_without_words_is_what_the_words_tell(cells: list[float | None]) -> None:
    found = guess(pd.Series(cells, dtype="float64"))
    assert isinstance(found, Typed)
    full = found._full
    assert (found.length, found.known, found.whole) == (full.length, full.known, full.whole)
    # Two zeros, of either sign, are one value and two words.
    assert found.distinct == len(set(full.cells.tolist()))
    assert found.bounds == full.bounds
    assert found.first == full.first or np.isnan(found.first)
    assert sorted(found.cells.tolist()) == sorted(full.cells.tolist())
    assert found.word == full.word


def test_moments_are_seconds_and_keep_how_they_were_written() -> None:
    days = pd.Series(pd.to_datetime(["2020-01-01", None, "2020-01-02"]))
    found = guess(days, written=Written(missing=("NA",), format="%d/%m/%Y"))
    assert (found.kind, found.format, found.missing) == ("datetime", "%d/%m/%Y", ("NA",))
    assert found.cells.tolist() == [1577836800.0, 1577923200.0]
    assert found.word.startswith("2020-01-01")
    assert found.words == ["2020-01-01 00:00:00", "2020-01-02 00:00:00"]
