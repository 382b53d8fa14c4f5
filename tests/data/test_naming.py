from hypothesis import given
from hypothesis import strategies as st

from raymm.data.findings import Findings
from raymm.data.naming import is_key, named


@given(st.lists(st.sampled_from(["a", "a_2", " a", "", "column_1", "column_2", "b"]), max_size=8))
def test_names_are_full_and_different_and_good_ones_are_kept(names: list[str]) -> None:
    found = Findings()
    result = named(names, found)
    assert len(set(result)) == len(result) == len(names)
    assert all(name == name.strip() != "" for name in result)
    stripped = [name.strip() for name in names]
    changed = sum(old != new for old, new in zip(stripped, result, strict=True))
    assert len(found.anomalies) == changed
    for place, name in enumerate(stripped):
        if name and name not in stripped[:place]:
            assert result[place] == name


def test_keys_are_known_by_their_names() -> None:
    keys = ["id", "customerID", "order_no", "Unnamed: 0", "row", "user-uuid"]
    others = ["width", "idea", "note", "paid", "keyboard"]
    assert [name for name in keys + others if is_key(name)] == keys
