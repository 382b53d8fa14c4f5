import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.search import space as spaces
from raymm.search.gp_encoding import Encoding
from raymm.search.space import Categorical, Float, Int
from raymm.testing.searchers import made_spaces

SPACE = {
    "x": Float(1e-3, 10, log=True),
    "kind": Categorical(("a", "b", "c")),
    "n": Int(1, 50, log=True, when={"kind": ("b", "c")}),
    "still": Float(2, 2),
    "m": Int(-3, 3),
}


def _some(space, seed, count=8):
    return np.random.default_rng(seed).random((count, len(space)))


@settings(max_examples=30, deadline=None)
@given(space=made_spaces(), seed=st.integers(0, 99))
def test_snapped_coordinates_are_those_of_the_configuration_they_lead_to(space, seed) -> None:
    encoding = Encoding(space)
    units = _some(space, seed)
    snapped = encoding.snap(units)
    configs = [encoding.config(row) for row in units]
    for row, config in zip(snapped, configs, strict=True):
        again = encoding.config(row)
        assert again.keys() == config.keys()
        for name, value in config.items():
            close = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert again[name] == close
    assert encoding.units(configs) == pytest.approx(snapped, abs=1e-9)
    assert encoding.snap(snapped) == pytest.approx(snapped, abs=1e-12)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(space=made_spaces(), seed=st.integers(0, 99))
def test_what_is_active_is_what_the_configuration_holds(space, seed) -> None:
    encoding = Encoding(space)
    units = _some(space, seed)
    for row, active in zip(units, encoding.active(units), strict=True):
        held = encoding.config(row)
        assert [name in held for name in space] == active.tolist()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(space=made_spaces(), seed=st.integers(0, 99))
def test_configurations_have_equal_features_only_if_they_are_equal(space, seed) -> None:
    encoding = Encoding(space)
    units = encoding.snap(_some(space, seed))
    features = encoding.features(units)
    assert features.shape == (len(units), encoding.columns)
    assert np.isfinite(features).all()
    for a in range(len(units)):
        for b in range(a):
            same = spaces.key(encoding.config(units[a])) == spaces.key(encoding.config(units[b]))
            apart = np.abs(features[a] - features[b]).max(initial=0.0)
            assert (apart < 1e-9) == same


def test_different_choices_are_at_distance_one_and_inactive_ones_do_not_matter() -> None:
    encoding = Encoding(SPACE)
    rows = [
        {"x": 0.1, "kind": "a", "still": 2.0, "m": 0},
        {"x": 0.1, "kind": "b", "n": 7, "still": 2.0, "m": 0},
        {"x": 0.1, "kind": "c", "n": 7, "still": 2.0, "m": 0},
    ]
    features = encoding.features(encoding.units(rows))
    assert np.linalg.norm(features[1] - features[2]) == pytest.approx(1.0)
    kind = encoding.groups == 1
    assert np.linalg.norm((features[0] - features[1])[kind]) == pytest.approx(1.0)
    assert encoding.count == 4
    assert set(encoding.groups.tolist()) == {0, 1, 2, 3}
    other = encoding.units(rows[:1])
    other[0, 2] = 0.9  # the coordinate of an inactive parameter
    assert encoding.features(encoding.snap(other)) == pytest.approx(features[:1])


def test_whole_numbers_step_to_their_neighbours_and_stop_at_the_bounds() -> None:
    encoding = Encoding(SPACE)
    rows = [{"x": 0.1, "kind": "a", "still": 2.0, "m": m} for m in (-3, 0, 3)]
    below, above = encoding.steps(encoding.units(rows), 4)
    values = [[spaces.value_at(SPACE["m"], p) for p in side.tolist()] for side in (below, above)]
    assert values == [[-3, -1, 2], [-2, 1, 3]]


def test_nothing_has_no_coordinates() -> None:
    assert Encoding(SPACE).units([]).shape == (0, 5)


def test_choices_that_are_numbers_in_order_have_their_rank_too() -> None:
    space = {"size": Categorical((16, 32, 64)), "flag": Categorical((True, False, 1))}
    encoding = Encoding(space)
    assert encoding.groups.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert (encoding.count, encoding.varying) == (3, 2)
    features = encoding.features(
        encoding.units([{"size": size, "flag": True} for size in (16, 32, 64)])
    )
    assert features[:, 3] == pytest.approx([1 / 6, 1 / 2, 5 / 6])
