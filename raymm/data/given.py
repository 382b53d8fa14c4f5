"""What a person says of text files, so that it need not be found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raymm.charsets import charset, delimiter
from raymm.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The encoding and the delimiter of text files; None where they are to be found out."""

    encoding: str | None = None
    delimiter: str | None = None


def given(encoding: str | None, mark: str | None) -> Given:
    """Return what is said of text files, by the names of `raymm.charsets`.

    Raises
    ------
    DataError
        When the encoding is none of text, or the delimiter cannot part cells.
    """
    return Given(
        encoding=_checked("data.encoding", charset, encoding),
        delimiter=_checked("data.delimiter", delimiter, mark),
    )


def _checked(key: str, read: Callable[[Any], Any], value: str | None) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise DataError(f"{key} {error}.") from error
