from hypothesis import given
from hypothesis import strategies as st

from raymm.data.findings import Findings
from raymm.data.naming import is_key, is_reference, named, nameless


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


def test_references_end_in_what_they_are_and_counts_and_places_are_none() -> None:
    references = ["EmployeeNumber", "number", "barcode", "account_num", "Account", "MRN", "ssn"]
    others = ["number of rooms", "num_pages", "zip_code", "Postal Code", "account_balance", "coded"]
    assert [name for name in references + others if is_reference(name)] == references


def test_columns_lack_a_name_only_where_others_have_one() -> None:
    assert nameless(["column_1", "a", "b"]) == {"column_1"}
    assert nameless([f"column_{i}" for i in range(1, 9)]) == frozenset()
