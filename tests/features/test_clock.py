import datetime

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from raymm.features.clock import durations


@given(st.lists(st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=99)), min_size=1))
def test_durations_are_read_as_pandas_and_iso_8601_write_them(
    spans: list[datetime.timedelta],
) -> None:
    expected = [span.total_seconds() for span in spans]
    words = [str(span) for span in spans]
    np.testing.assert_allclose(durations(words), expected, rtol=1e-12, atol=1e-6)
    iso = [pd.Timedelta(span).isoformat() for span in spans]
    np.testing.assert_allclose(durations(iso), expected, rtol=1e-12, atol=1e-6)


def test_times_of_day_count_from_midnight_and_others_are_none() -> None:
    assert durations(["12:15 am", "12:15 PM", "-0:30", "1:75", "P", "13:00 pm", "", None])[
        :3
    ].tolist() == [900.0, 44_100.0, -1800.0]
    odd = ["1:75", "P", "13:00 pm", "", None, "P1M", "12"]
    assert np.isnan(durations(odd)).all()


@given(
    st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=99)), st.sampled_from(["", " "])
)
def test_durations_in_words_are_read(span: datetime.timedelta, blank: str) -> None:
    whole = datetime.timedelta(days=span.days, seconds=span.seconds)
    hours, rest = divmod(span.seconds, 3600)
    parts = {"days": span.days, "hrs": hours, "min": rest // 60, "s": rest % 60}
    words = " ".join(f"{number}{blank}{unit}" for unit, number in parts.items())
    found = durations([words, f"-{words}"])
    assert found.tolist() == [whole.total_seconds(), -whole.total_seconds()]


def test_numbers_and_other_units_are_no_durations() -> None:
    assert np.isnan(
        durations(["5", "5 m", "3 kg", "4 x", "2 months", "min", "1 min x", "6/7"])
    ).all()
