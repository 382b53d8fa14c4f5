import pytest

from raymm.errors import Unsupported
from raymm.serving.media import headers_of, require_json


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"",
        b";",
        b"application/json",
        b"Application/JSON; charset=utf-8",
        b"application/vnd.raymm+json",
        b"application/x-www-form-urlencoded",
    ],
)
def test_what_may_be_json_is_read(given):
    require_json({} if given is None else {b"content-type": given})


@pytest.mark.parametrize(
    "given",
    [
        b"text/html",
        b"text/csv",
        b"multipart/form-data; boundary=x",
        b"application/octet-stream",
        b"application/json; charset=utf-16",
        b"application/vnd.apache.arrow.stream",
        b"\xff\xfe",
    ],
)
def test_kinds_that_are_not(given):
    with pytest.raises(Unsupported, match="application/json"):
        require_json({b"content-type": given})


def test_headers_are_made_once():
    scope = {"headers": [(b"a", b"1"), (b"a", b"2")]}
    assert headers_of(scope) == {b"a": b"2"}
    assert headers_of(scope) is headers_of(scope)
