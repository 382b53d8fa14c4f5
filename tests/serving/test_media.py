import pytest

from raymm.errors import Unsupported
from raymm.serving.media import headers_of, kind_of, require_json, wanted


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, "json"),
        (b"", "json"),
        (b";", "json"),
        (b"application/json", "json"),
        (b"Application/JSON; charset=utf-8", "json"),
        (b"application/vnd.raymm+json", "json"),
        (b"application/x-www-form-urlencoded", "json"),
        (b"text/csv", "csv"),
        (b"text/csv; charset=UTF-8; header=present", "csv"),
        (b"application/vnd.apache.arrow.stream", "arrow"),
    ],
)
def test_kinds_that_are_read(given, kind):
    assert kind_of({} if given is None else {b"content-type": given}) == kind


@pytest.mark.parametrize(
    "given",
    [
        b"text/html",
        b"multipart/form-data; boundary=x",
        b"application/octet-stream",
        b"application/json; charset=utf-16",
        b"application/vnd.apache.arrow.file",
        b"\xff\xfe",
    ],
)
def test_kinds_that_are_not(given):
    with pytest.raises(Unsupported, match="text/csv"):
        kind_of({b"content-type": given})


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "csv"),
        (b"*/*", "csv"),
        (b"text/html,*/*;q=0.8", "csv"),
        (b"application/json", "json"),
        (b"application/json;q=0, application/vnd.apache.arrow.stream;q=0.5", "arrow"),
        (b"text/csv;q=0", "csv"),
        (b"\xff", "csv"),
    ],
)
def test_answers_are_as_was_asked_for_or_sent(accept, kind):
    assert wanted({} if accept is None else {b"accept": accept}, "csv") == kind


def test_headers_are_made_once():
    scope = {"headers": [(b"a", b"1"), (b"a", b"2")]}
    assert headers_of(scope) == {b"a": b"2"}
    assert headers_of(scope) is headers_of(scope)


def test_where_only_json_is_read():
    require_json({})
    with pytest.raises(Unsupported, match="application/json"):
        require_json({b"content-type": b"text/csv"})
