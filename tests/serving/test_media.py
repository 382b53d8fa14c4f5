import pytest

from raymm.errors import Unsupported
from raymm.serving.media import ARROW, CSV, JSON, asked_of, headers_of, media_of, require_json


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


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"", JSON),
        (b"application/json; charset=utf-8", JSON),
        (b"text/csv", CSV),
        (b'Text/CSV; header=present; charset="UTF-8"', CSV),
        (b"application/vnd.apache.arrow.stream", ARROW),
    ],
)
def test_kinds_of_bodies(given, kind):
    assert media_of({b"content-type": given}) == kind


@pytest.mark.parametrize(
    "given",
    [
        b"text/csv; charset=latin-1",
        b"text/csv; header=absent",
        b"application/vnd.apache.arrow.file",
        b"text/plain",
        b"text/csv, application/json",
    ],
)
def test_bodies_that_are_not_read(given):
    with pytest.raises(Unsupported, match="text/csv"):
        media_of({b"content-type": given})


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, JSON),
        (b"*/*", JSON),
        (b"text/csv", CSV),
        (b"text/html, text/csv;q=0.3", CSV),
        (b"application/json;q=0.4, text/CSV;q=0.5", CSV),
        (b"application/json, text/csv", JSON),
        (b"text/csv;q=0", JSON),
        (b"text/csv;q=nan, text/csv;q=-1, text/csv;q=1e9, text/csv;q=", JSON),
        (b"application/vnd.apache.arrow.stream, text/csv;q=0.9", ARROW),
        (b"text/html", JSON),
        (b"\xff" * 9000, JSON),
        (b"text/csv" + b"," * 100_000, CSV),
    ],
)
def test_answers_that_are_asked_for(given, kind):
    assert asked_of({} if given is None else {b"accept": given}) == kind


def test_headers_are_made_once():
    scope = {"headers": [(b"a", b"1"), (b"a", b"2")]}
    assert headers_of(scope) == {b"a": b"2"}
    assert headers_of(scope) is headers_of(scope)
