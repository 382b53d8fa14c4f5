"""Kinds of bodies, by the headers that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from starlette.types import Scope

from raymm.errors import Unsupported

Media = Literal["json", "arrow", "csv"]
Headers = Mapping[bytes, bytes]

TYPES: Mapping[Media, str] = {
    "json": "application/json",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv",
}
_KINDS: Mapping[bytes, Media] = {name.encode(): media for media, name in TYPES.items()}
_JSON = frozenset({b"application/json", b"", b"application/x-www-form-urlencoded", b"text/json"})
"""What is read as JSON: what says so, what says nothing, and what curl says of any text."""


def headers_of(scope: Scope) -> Headers:
    """Return a request's headers by lower-case name; of one that comes twice, the last."""
    found: Headers | None = scope.get("raymm.headers")
    if found is None:
        found = scope["raymm.headers"] = dict(scope["headers"])
    return found


def kind_of(headers: Headers) -> Media:
    """Return the kind of a request's body.

    Raises
    ------
    Unsupported
        When the Content-Type is none of those that are read.
    """
    given = headers.get(b"content-type", b"")
    if given in _JSON:
        return "json"
    name, _, rest = given.partition(b";")
    name = name.strip().lower()
    charset = rest.replace(b" ", b"").replace(b'"', b"").lower()
    known = "json" if name in _JSON or name.endswith(b"+json") else _KINDS.get(name)
    foreign = charset.startswith(b"charset=") and not charset.startswith(b"charset=utf-8")
    if known is None or foreign:
        raise Unsupported(
            f"the body must be {', '.join(TYPES.values())}, in UTF-8, but its Content-Type is "
            f"{given[:80].decode('latin-1')!r}. See /docs."
        )
    return known


def require_json(headers: Headers) -> None:
    """Raise Unsupported where a body that can only be JSON is said to be something else."""
    if kind_of(headers) != "json":
        raise Unsupported("the body must be application/json here. See /docs.")


def wanted(headers: Headers, sent: Media) -> Media:
    """Return the kind that an answer is to have: the first that Accept names, else as was sent."""
    given = headers.get(b"accept", b"*/*")
    if given == b"*/*":
        return sent
    for part in given.split(b","):
        name, _, options = part.partition(b";")
        if options.replace(b" ", b"").startswith((b"q=0,", b"q=0;")) or options.strip() == b"q=0":
            continue
        known = _KINDS.get(name.strip().lower())
        if known is not None:
            return known
    return sent
