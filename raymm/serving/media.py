"""What a request's headers say of its body."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from raymm.errors import Unsupported

Headers = Mapping[bytes, bytes]

_JSON = frozenset({b"application/json", b"", b"application/x-www-form-urlencoded", b"text/json"})
"""What is read as JSON: what says so, what says nothing, and what curl says of any text."""


def headers_of(scope: Scope) -> Headers:
    """Return a request's headers by lower-case name; of one that comes twice, the last."""
    found: Headers | None = scope.get("raymm.headers")
    if found is None:
        found = scope["raymm.headers"] = dict(scope["headers"])
    return found


def require_json(headers: Headers) -> None:
    """Check that a request's body is JSON in UTF-8, as far as its headers say.

    Raises
    ------
    Unsupported
        When the Content-Type is another.
    """
    given = headers.get(b"content-type", b"")
    if given in _JSON:
        return
    name, _, rest = given.partition(b";")
    name = name.strip().lower()
    charset = rest.replace(b" ", b"").replace(b'"', b"").lower()
    foreign = charset.startswith(b"charset=") and not charset.startswith(b"charset=utf-8")
    if foreign or not (name in _JSON or name.endswith(b"+json")):
        raise Unsupported(
            "the body must be application/json, in UTF-8, but its Content-Type is "
            f"{given[:80].decode('latin-1')!r}. See /docs."
        )
