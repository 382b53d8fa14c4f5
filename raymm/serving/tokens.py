"""Who may ask: bearer tokens, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from raymm.errors import ConfigError, Unauthorized


class Guard:
    """Lets requests through that bring one of the tokens.

    Parameters
    ----------
    tokens : mapping of name to token
        Empty lets everything through.

    Raises
    ------
    ConfigError
        When a token is empty, which would let in a request without one.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        for name, token in tokens.items():
            if not token.strip():
                raise ConfigError(f'the token "{name}" must not be empty. Give it a secret value.')
        self._tokens = tuple((name, token.strip().encode()) for name, token in tokens.items())

    def admit(self, header: bytes | None) -> str:
        """Return the name of the token in an ``Authorization`` header; "" where none is needed.

        Every known token is compared, so the time taken tells nothing of which one was near.

        Raises
        ------
        Unauthorized
            When the header brings none of the tokens.
        """
        if not self._tokens:
            return ""
        scheme, _, given = (header or b"").partition(b" ")
        found = None
        for name, token in self._tokens:
            if hmac.compare_digest(token, given.strip()):
                found = name
        if scheme.lower() != b"bearer" or found is None:
            raise Unauthorized(
                "the request must carry a valid token. Send the header: Authorization: Bearer TOKEN"
            )
        return found
