"""What a request's headers say of its body, and of the answer that they ask for."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from raymm.errors import Unsupported

Headers = Mapping[bytes, bytes]

JSON = b"application/json"
CSV = b"text/csv"
ARROW = b"application/vnd.apache.arrow.stream"

BEGINNING = b"inference-header-content-length"
"""The header that tells how much of a body is JSON, where the data of tensors follows it."""
_JSON = frozenset({JSON, b"", b"application/x-www-form-urlencoded", b"text/json"})
"""What is read as JSON: what says so, what says nothing, and what curl says of any text."""
_ANY = frozenset({b"", b"*/*", JSON})
"""What is asked for by those who do not mind JSON: by nearly all."""
_LONGEST_ACCEPT = 1000


def headers_of(scope: Scope) -> Headers:
    """Return a request's headers by lower-case name; of one that comes twice, the last."""
    found: Headers | None = scope.get("raymm.headers")
    if found is None:
        found = scope["raymm.headers"] = dict(scope["headers"])
    return found


def require_json(headers: Headers) -> None:
    """Check that a request's body is JSON in UTF-8, as far as its headers say.

    It may be bytes that begin with JSON of a length that a header tells, as in
    `raymm.serving.raw_tensors`.

    Raises
    ------
    Unsupported
        When the Content-Type is another.
    """
    given = headers.get(b"content-type", b"")
    if given == b"application/octet-stream" and BEGINNING in headers:
        return
    if _kind(given) != JSON:
        raise _unsupported("application/json, in UTF-8", headers)


def media_of(headers: Headers) -> bytes:
    """Return `JSON`, `CSV` or `ARROW`, whichever a request's body is as its headers say.

    Raises
    ------
    Unsupported
        When the Content-Type is another, or CSV in other than UTF-8 or without its header row.
    """
    kind = _kind(headers.get(b"content-type", b""))
    if kind is None:
        raise _unsupported(
            "application/json or text/csv, in UTF-8, or application/vnd.apache.arrow.stream",
            headers,
        )
    return kind


def _kind(given: bytes) -> bytes | None:
    if given in _JSON:
        return JSON
    name, _, rest = given.partition(b";")
    name = name.strip().lower()
    told = dict(
        part.partition(b"=")[::2]
        for part in rest.replace(b" ", b"").replace(b'"', b"").lower().split(b";")
    )
    if not told.get(b"charset", b"utf-8").startswith(b"utf-8"):
        return None
    if name in _JSON or name.endswith(b"+json"):
        return JSON
    if name == CSV:
        return CSV if told.get(b"header") != b"absent" else None
    return ARROW if name == ARROW else None


def _unsupported(allowed: str, headers: Headers) -> Unsupported:
    given = headers[b"content-type"][:80].decode("latin-1")
    return Unsupported(f"the body must be {allowed}, but its Content-Type is {given!r}. See /docs.")


def asked_of(headers: Headers) -> bytes:
    """Return `CSV` or `ARROW` where a request's Accept prefers it to the others, else `JSON`.

    Of those that are asked for alike, the first counts; what is not known counts for nothing.

    >>> asked_of({b"accept": b"text/csv;q=0.5, application/vnd.apache.arrow.stream"})
    b'application/vnd.apache.arrow.stream'
    >>> asked_of({b"accept": b"text/html, */*"})
    b'application/json'
    """
    given = headers.get(b"accept", b"")
    if given in _ANY:
        return JSON
    best, weight = JSON, 0.0
    for part in given[:_LONGEST_ACCEPT].lower().split(b","):
        name, _, rest = part.replace(b" ", b"").partition(b";")
        if name not in (JSON, CSV, ARROW):
            continue
        share = _weight(rest)
        if share > weight:
            best, weight = name, share
    return best


def _weight(parameters: bytes) -> float:
    """Return the weight among a media type's parameters: 1 where none is told, 0 for nonsense."""
    for parameter in parameters.split(b";"):
        if parameter.startswith(b"q="):
            try:
                share = float(parameter[2:])
            except ValueError:
                return 0.0
            return share if 0 <= share <= 1 else 0.0
    return 1.0
