"""Who may ask: bearer tokens with names, compared in constant time.

Tokens come from whoever makes the application, from the environment variable ``RAYMM_TOKENS``
(``NAME: TOKEN`` lines, or the same parted by commas) and from a file of such lines or a folder
with one file a token, as Kubernetes mounts a Secret. File or folder are looked at once a second
and read again when they have changed, so a token is rotated without a restart: add the new one,
let clients change over, take the old one out.

A token is told by its name in logs and figures, never as it is.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from raymm.errors import ConfigError, Unauthorized
from raymm.sections import ServingConfig

VARIABLE = "RAYMM_TOKENS"
LEAST = 16
"""Characters of a token in a file or the environment; shorter ones can be guessed."""
ALONE = "RAYMM_TOKEN"
"""Variable of a single token without a name."""
_MOST_BYTES = 1 << 20
_MOST_TOKENS = 1000
_LOOK_SECONDS = 1.0
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}\Z")
_QUOTED = re.compile(r"""^(["'])(.*)\1$""")
_TOKEN = re.compile(r"[!-~]+\Z")

_log = logging.getLogger("raymm.serving")


class Guard:
    """Lets requests through that bring one of the tokens.

    Parameters
    ----------
    tokens : mapping of name to token
        Those that do not change. Without them and a file, everything is let through.
    file : TokenFile or None
        Those that may.

    Raises
    ------
    ConfigError
        When a token is empty, which would let in a request without one, or the file is wrong.
    """

    def __init__(self, tokens: Mapping[str, str], file: TokenFile | None = None) -> None:
        for name, token in tokens.items():
            if not token.strip():
                raise ConfigError(f'the token "{name}" must not be empty. Give it a secret value.')
        self._fixed = tuple((name, token.strip().encode()) for name, token in tokens.items())
        self._file = file
        self._tokens = self._fixed + (file.tokens() if file is not None else ())

    def admit(self, header: bytes | None) -> str:
        """Return the name of the token in an ``Authorization`` header; "" where none is needed.

        Every known token is compared, so the time taken tells nothing of which one was near.

        Raises
        ------
        Unauthorized
            When the header brings none of the tokens.
        """
        if self._file is not None and self._file.changed():
            self._tokens = self._fixed + self._file.tokens()
        elif not self._tokens and self._file is None:
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


class TokenFile:
    """Tokens in a file or folder that may change while the service runs.

    What cannot be read after a change leaves the tokens as they were, and is logged.

    Parameters
    ----------
    path : str
    clock : callable
        Returns seconds that only grow.

    Raises
    ------
    ConfigError
        When it cannot be read at first, or holds no token.
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._next = clock() + _LOOK_SECONDS
        self._state = self._look()
        self._tokens = self._read()
        self._told = ""
        """What was told of a file that cannot be read; nothing once it can."""

    def tokens(self) -> tuple[tuple[str, bytes], ...]:
        """Return the names and tokens as they were read last."""
        return self._tokens

    def changed(self) -> bool:
        """Look, once a second at most, and return whether there are other tokens now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _LOOK_SECONDS
        try:
            state = self._look()
            if state == self._state:
                return False
            self._state, before, self._tokens = state, self._tokens, self._read()
        except ConfigError as error:
            if str(error) != self._told:  # and not each second until it is mended
                _log.error("%s The tokens stay as they were.", error)
            self._told = str(error)
            return False
        self._told = ""
        if self._tokens != before:
            names = ", ".join(name for name, _ in self._tokens)
            _log.warning("tokens were read again from %s: %s", self._path, names)
        return self._tokens != before

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        found = sorted(one for one in self._path.iterdir() if not one.name.startswith("."))
        return [one for one in found if one.is_file()][: _MOST_TOKENS + 1]

    def _look(self) -> tuple[tuple[str, int, int, int], ...]:
        try:
            facts = [(one, one.stat()) for one in self._files()]
        except OSError as error:
            raise self._unreadable(error) from error
        return tuple((str(one), at.st_mtime_ns, at.st_size, at.st_ino) for one, at in facts)

    def _read(self) -> tuple[tuple[str, bytes], ...]:
        try:
            texts = {one: _text(one) for one in self._files()}
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if self._path.is_dir():
            pairs = [(one.name, text.strip()) for one, text in texts.items()]
        else:
            pairs = list(_pairs(next(iter(texts.values())).split("\n"), str(self._path)))
        return tuple((name, token.encode()) for name, token in _checked(pairs, str(self._path)))

    def _unreadable(self, error: Exception) -> ConfigError:
        told = getattr(error, "strerror", None) or str(error)
        return ConfigError(
            f"serving.tokens must be a readable file or folder, but {self._path} is not: {told}."
        )


def guard_of(
    config: ServingConfig, tokens: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> Guard | None:
    """Return the guard of a service, or None where nothing is asked for.

    Parameters
    ----------
    tokens : mapping of name to token
        In addition to those of the environment and of ``serving.tokens``.

    Raises
    ------
    ConfigError
        When a token, its name or the file is wrong.
    """
    if config.auth == "none" and not tokens:
        return None
    known = {**tokens, **named_tokens(environ)}
    file = TokenFile(config.tokens) if config.tokens is not None else None
    return Guard(known, file) if known or file is not None else None


def named_tokens(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the tokens of the environment variable ``RAYMM_TOKENS`` by their names.

    Raises
    ------
    ConfigError
        When a name or a token is wrong, or the variable is set and holds none.
    """
    given = environ.get(VARIABLE, "")
    pairs = _pairs(re.split(r"[\n,]", given), VARIABLE)
    return dict(_checked(list(pairs), VARIABLE)) if given.strip() else {}


def token_alone(environ: Mapping[str, str] = os.environ) -> str:
    """Return the token of the environment variable ``RAYMM_TOKEN``; "" where that is not set.

    Raises
    ------
    ConfigError
        When it is too short, or has blanks within.
    """
    given = environ.get(ALONE, "")
    token = given.strip()
    if given:
        _require_strong(token, f"the token in {ALONE}")
    return token


def _text(path: Path) -> str:
    with path.open("rb") as source:
        data = source.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(27, f"{path.name} is larger than {_MOST_BYTES} bytes")
    return data.decode("utf-8")


def _pairs(lines: Sequence[str], place: str) -> Iterator[tuple[str, str]]:
    """Yield names and tokens of ``NAME: TOKEN`` lines; empty ones and comments are passed over.

    A token may stand in quotes, as in YAML.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, token = line.partition(":")
        if not colon:
            raise ConfigError(
                f"{place} must hold NAME: TOKEN lines, but line {number} has no colon."
            )
        yield name.strip(), _QUOTED.sub(r"\2", token.strip())


def _checked(pairs: list[tuple[str, str]], place: str) -> list[tuple[str, str]]:
    """Return the pairs; an error tells a token's name and never its text."""
    if not pairs:
        raise ConfigError(f"{place} must hold a token, but holds none. Add a NAME: TOKEN line.")
    if len(pairs) > _MOST_TOKENS:
        raise ConfigError(f"{place} may hold {_MOST_TOKENS} tokens at most. Take some out.")
    names = [name for name, _ in pairs]
    for name, token in pairs:
        if not _NAME.match(name) or names.count(name) > 1:
            raise ConfigError(
                f"{place} must name each token once, in letters, digits and _ . @ -, "
                f"but got {name[:64]!r}."
            )
        _require_strong(token, f'the token "{name}" in {place}')
    return pairs


def _require_strong(token: str, which: str) -> None:
    if len(token) < LEAST or not _TOKEN.match(token):
        raise ConfigError(
            f"{which} must have {LEAST} or more ASCII characters without blanks. Make one with: "
            "openssl rand -hex 32"
        )
