"""Encodings and delimiters of text files as people name them."""

from __future__ import annotations

import codecs
import difflib
import encodings
import encodings.aliases
import pkgutil
import re
from functools import lru_cache
from typing import Any

_NOT_TEXT = frozenset(
    (
        *("aliases", "base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13"),
        *("uu_codec", "zlib_codec", "idna", "punycode", "undefined", "raw_unicode_escape"),
        *("unicode_escape", "mbcs", "oem"),
    )
)
"""Python's codecs that are no encodings of text files."""
_LONGEST = 40
_WORDS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "blank": " ", "space": " "}
_ESCAPE = re.compile(r"\\(?:t|x([0-9a-fA-F]{2}))")
_MOST = 8


def charset(value: Any) -> Any:
    """Return the name by which Python knows an encoding of text; None stays None.

    Raises
    ------
    ValueError
        When it is none; near names are told.

    >>> charset("Windows-1251"), charset("UTF8"), charset(None)
    ('cp1251', 'utf-8', None)
    """
    if value is None:
        return value
    name = str(value).strip()
    plain = encodings.normalize_encoding(name).lower() if name.isascii() else ""
    if len(name) > _LONGEST or plain not in _known():
        near = difflib.get_close_matches(name.lower()[:_LONGEST].replace("-", "_"), _known(), n=3)
        told = [word.replace("_", "-") for word in near] or ["utf-8", "cp1252", "cp1251"]
        raise ValueError(
            f'must be an encoding of text such as {", ".join(told)}, but got "{name[:_LONGEST]}"'
        )
    return codecs.lookup(plain).name


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """Return Python's names of encodings of text, as modules are written."""
    modules = {module.name for module in pkgutil.iter_modules(encodings.__path__)}
    texts = {alias for alias, name in encodings.aliases.aliases.items() if name not in _NOT_TEXT}
    return frozenset(name for name in texts | modules if name.islower() and name not in _NOT_TEXT)


def delimiter(value: Any) -> Any:
    r"""Return what parts cells; None stays None.

    Words such as ``tab`` and ``pipe`` stand for their marks, ``\t`` and ``\x1f`` for characters
    that are hard to type.

    Raises
    ------
    ValueError
        When it cannot part cells.

    >>> delimiter("||"), delimiter("tab"), delimiter(r"\x1f")
    ('||', '\t', '\x1f')
    """
    if value is None:
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be text such as ; or ::, but got {value!r}. Put it in quotes")
    mark = _WORDS.get(value.lower(), _ESCAPE.sub(_escaped, value))
    if not mark or len(mark) > _MOST:
        raise ValueError(f"must be text of 1 to {_MOST} characters, but got {value[:_LONGEST]!r}")
    if any(sign in mark for sign in "\"'\r\n\0\ufeff") or re.search("[0-9A-Za-z.+-]", mark):
        raise ValueError(
            "must be what parts cells, without quotes, line ends, digits, ASCII letters, points, "
            f"plus or minus, but got {value!r}"
        )
    return mark


def _escaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else "\t"
