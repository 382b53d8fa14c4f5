import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.search.gp_encoding import Encoding
from raymm.search.gp_region import FIRST, NARROWEST, WIDEST, box, width
from raymm.search.space import Categorical, Float, Int

LOSSES = st.lists(st.floats(-1e3, 1e3), max_size=80).map(np.array)
SPACE = {"x": Float(0, 1), "kind": Categorical(("a", "b")), "n": Int(1, 9), "still": Float(2, 2)}


def test_the_width_doubles_after_successes_and_halves_after_failures() -> None:
    design = [9.0, 8.0]
    assert width(np.array(design), design=2, parameters=5) == FIRST
    won = np.array([*design, 7.0, 6.0, 5.0])
    assert width(won, design=2, parameters=5) == 2 * FIRST
    lost = np.array([*design, *[9.0] * 5])
    assert width(lost, design=2, parameters=5) == FIRST / 2
    assert width(lost, design=2, parameters=6) == FIRST
    # one success between failures starts the count anew
    mixed = np.array([*design, 9.0, 9.0, 9.0, 7.0, 9.0, 9.0, 9.0])
    assert width(mixed, design=2, parameters=4) == FIRST


@given(losses=LOSSES, design=st.integers(0, 10), parameters=st.integers(1, 12))
def test_the_width_stays_within_its_bounds(losses, design, parameters) -> None:
    assert NARROWEST <= width(losses, design=design, parameters=parameters) <= WIDEST


def test_a_box_that_has_become_tiny_starts_anew() -> None:
    widths = {width(np.ones(n), design=1, parameters=1) for n in range(1, 60)}
    assert min(widths) == pytest.approx(FIRST / 2**6)
    assert FIRST in widths


@given(
    centre=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    logs=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    share=st.floats(NARROWEST, WIDEST),
)
def test_the_box_holds_its_centre_and_lies_in_the_space(centre, logs, share) -> None:
    centre, lengths = np.array(centre), np.exp(logs)
    low, high = box(Encoding(SPACE), centre, lengths, share)
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (low <= centre).all()
    assert (centre <= high).all()
    assert (low[[1, 3]] == 0).all()
    assert (high[[1, 3]] == 1).all()
    sides = (high - low)[[0, 2]]
    longer = int(lengths[2] > lengths[0])
    inside = min(low[[0, 2]]) > 0 and max(high[[0, 2]]) < 1
    # Sides are differences of numbers up to 1, each rounded to 2e-16 at most.
    assert not inside or sides[longer] >= sides[1 - longer] - 1e-15


def test_equal_lengths_make_a_cube() -> None:
    low, high = box(Encoding(SPACE), np.full(4, 0.5), np.ones(3), 0.2)
    assert low[[0, 2]] == pytest.approx([0.4, 0.4])
    assert high[[0, 2]] == pytest.approx([0.6, 0.6])
    choices = {"kind": Categorical(("a", "b"))}
    low, high = box(Encoding(choices), np.array([0.25]), np.ones(1), 0.2)
    assert (low[0], high[0]) == (0.0, 1.0)
