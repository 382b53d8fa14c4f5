import pytest

from raymm.data.delimited import Dialect
from raymm.data.findings import Findings
from raymm.data.header import header, is_data


@pytest.mark.parametrize(
    ("rows", "data"),
    [
        (["1,a", "2,b"], True),
        (["id,a", "2,b"], False),
        (["land,2019,2020", "x,1,5", "y,2,6"], False),
        (["0,1,2,3", "5,5,5,5", "1,1,2,2"], False),
        (["3,7,5", "5,5,5", "1,1,2"], True),
        (["a,b", "c,d"], False),
        ([",7,9", "a,1,2", "b,2,3"], False),
        (["?,5", "1,6", "2,7"], True),
        (["2020-01-01,9", "2020-01-02,3"], True),
        (["5.1,x", "4.9,y"], True),
        (["a"], False),
    ],
)
def test_first_rows_that_are_data_are_told_from_headers(rows: list[str], data: bool) -> None:
    assert is_data([row.split(",") for row in rows]) is data


def test_names_may_stand_in_a_comment_and_rows_may_have_names() -> None:
    rows, found = [["1.5", "2"], ["3.5", "4"]], Findings()
    assert header(rows, ["#a,b"], Dialect(delimiter=","), found) == (["a", "b"], True)
    assert header(rows, [], Dialect(delimiter=","), found) == (["column_1", "column_2"], True)
    rows = [["a", "b"], ["x", "1", "2"], ["y", "3", "4"]]
    assert header(rows, [], Dialect(delimiter=","), found) == (["", "a", "b"], False)
