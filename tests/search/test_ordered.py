from hypothesis import given
from hypothesis import strategies as st

from raymm.search import space as spaces
from raymm.search.ordered import Ordered
from raymm.search.space import Categorical, Float, Int

SPACE = {
    "width": Categorical((64, 16, 32)),
    "rate": Categorical((0.1, 0.01, 1), when={"mode": ("a",)}),
    "two": Categorical((1, 2)),
    "flags": Categorical((True, False, 2)),
    "text": Categorical(("8", "16", "32")),
    "mode": Categorical(("a", "b")),
    "parent": Categorical((1, 2, 3)),
    "child": Float(0, 1, when={"parent": (2,)}),
}
VIEW = Ordered(SPACE)


def test_lists_of_numbers_become_places_in_their_rising_order() -> None:
    assert VIEW.space["width"] == Int(0, 2)
    assert [VIEW.outward({"width": at})["width"] for at in range(3)] == [16, 32, 64]


def test_conditions_stay() -> None:
    assert VIEW.space["rate"] == Int(0, 2, when={"mode": ("a",)})


def test_names_flags_pairs_and_parents_stay_choices() -> None:
    for name in ("two", "flags", "text", "mode", "parent", "child"):
        assert VIEW.space[name] is SPACE[name]


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=len(SPACE), max_size=len(SPACE)))
def test_there_and_back_is_the_same_configuration_with_its_own_types(units) -> None:
    config = spaces.from_unit(SPACE, units)
    inside = VIEW.inward(config)
    assert spaces.contains(VIEW.space, inside)
    assert repr(VIEW.outward(inside)) == repr(config)


def test_what_lies_outside_the_space_is_left_as_it_is() -> None:
    stranger = {"width": 48, "other": 1}
    assert VIEW.inward(stranger) == stranger
    assert not spaces.contains(VIEW.space, VIEW.inward(stranger))
