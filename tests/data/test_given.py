import pytest

from raymm.data.given import Given, given
from raymm.errors import DataError


def test_names_become_those_that_python_knows() -> None:
    assert given("Windows-1251", "tab") == Given(encoding="cp1251", delimiter="\t")
    assert given(None, None) == Given()


@pytest.mark.parametrize(
    ("encoding", "delimiter", "key"), [("utf-99", None, "data.encoding"), (None, "x", "delimiter")]
)
def test_what_is_wrong_names_the_key(encoding: str | None, delimiter: str | None, key: str) -> None:
    with pytest.raises(DataError, match=key):
        given(encoding, delimiter)
