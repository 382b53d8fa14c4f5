from datetime import date

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raymm.artifacts import NO_TIME, Column
from raymm.features.datetime_parts import (
    PARTS,
    DatetimeParts,
    ScaledDatetimeParts,
    split_seconds,
)

COLUMN = Column(name="when", kind="datetime")
SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
ANY = st.lists(
    SECONDS | st.integers(-(2**63), 2**63 - 1) | st.just(NO_TIME), min_size=1, max_size=20
)
Y = np.zeros(0)


@given(SECONDS)
@example(951_868_800)  # 2000-02-29: a leap day of a century year
@example(-62_135_596_800)
@example(253_402_300_799)
@settings(max_examples=300, deadline=None)
def test_parts_are_those_of_the_standard_library(second):
    parts = split_seconds(np.array([second]), 0)
    moment = date.fromordinal(second // 86_400 + 719_163)
    rest = second % 86_400
    expected = [moment.year, moment.month, moment.day, moment.weekday()]
    expected += [rest // 3600, rest // 60 % 60]
    assert [int(parts[name][0]) for name in PARTS[:-1]] == expected
    assert parts["elapsed"][0] == np.float32(second / 86_400)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [DatetimeParts, ScaledDatetimeParts])
@given(train=ANY, values=ANY)
@settings(max_examples=40, deadline=None)
def test_graph_equals_transform_for_any_date(run_graph, kind, train, values):
    part = kind(COLUMN).fit(np.array(train, dtype=np.int64), Y)
    dates = np.array(values, dtype=np.int64)
    result = part.transform(dates)
    assert result.shape == (len(values), len(part.names))
    if kind is ScaledDatetimeParts:
        assert np.isfinite(result).all()
        np.testing.assert_allclose(run_graph(part, dates), result, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(np.isnan(result[:, 0]), dates == NO_TIME)
        np.testing.assert_array_equal(run_graph(part, dates), result)


def test_parts_constant_in_training_are_left_out():
    days = np.arange(20, dtype=np.int64) * 86_400 + 1_700_000_000
    assert DatetimeParts(COLUMN).fit(days, Y).names == (
        "when month", "when day", "when weekday", "when elapsed",
    )  # fmt: skip
    assert DatetimeParts(COLUMN).fit(days[:1], Y).names == ("when elapsed",)


def test_circles_bring_the_ends_of_a_cycle_together():
    hours = np.arange(24, dtype=np.int64) * 3600
    part = ScaledDatetimeParts(COLUMN).fit(hours, Y)
    waves = part.transform(hours)[
        :, [part.names.index(f"when hour {w}") for w in ("sine", "cosine")]
    ]
    steps = np.linalg.norm(np.roll(waves, -1, axis=0) - waves, axis=1)
    np.testing.assert_allclose(steps, 2 * np.sin(np.pi / 24), rtol=1e-5)
    assert not part.transform(np.array([NO_TIME]))[0, part.names.index("when hour sine") :].any()
