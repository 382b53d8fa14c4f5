"""Names of predictions, by which their true labels are told later.

A request that names no prediction gets 64 random bits as its name: whoever may tell labels cannot
guess those of others. The prediction of a request's one row has the name as it stands; those of n
rows are ``NAME-0`` to ``NAME-(n - 1)``, in the rows' order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from raymm.errors import InputError
from raymm.serving.columns import shown

HEADER = b"x-raymm-prediction"
"""The header that gives a name, of a request and of its answer."""
LONGEST = 64
"""Characters of a name that a client gives."""
ALPHABET = "A-Za-z0-9_.:@/+=-"
PATTERN = f"^[{ALPHABET}]{{1,{LONGEST}}}$"
ROW_PATTERN = f"^[{ALPHABET}]{{1,{LONGEST + 12}}}$"
"""Of one row's name, the row's number included."""

_NAME = re.compile(PATTERN.removesuffix("$") + r"\Z")
_ROW_NAME = re.compile(ROW_PATTERN.removesuffix("$") + r"\Z")


def identities() -> Iterator[str]:
    """Yield names without end; those of two processes differ, forked ones too."""
    while True:
        yield os.urandom(8).hex()


def claimed(given: Any, otherwise: str) -> str:
    """Return the name that a client gave, or ``otherwise`` where that is None.

    Raises
    ------
    InputError
        With field "id", when it is empty, longer than `LONGEST` or has other characters.
    """
    if given is None:
        return otherwise
    if type(given) is not str or not _NAME.match(given):
        raise _strange("id", given, LONGEST)
    return given


def agreed(given: Any, header: bytes | None, otherwise: str) -> str:
    """Return the name that a body or a header gives, or ``otherwise`` where neither does.

    Raises
    ------
    InputError
        With field "id", when one of them cannot be a name or they are two names.
    """
    if header is None:
        return claimed(given, otherwise)
    name = claimed(header.decode("latin-1"), otherwise)
    if claimed(given, name) != name:
        raise InputError(
            field="id",
            observed=shown(given),
            allowed=f'"{name}", as the header {HEADER.decode()} says, or left out',
        )
    return name


def require_row_name(given: Any, field: str) -> str:
    """Return the name of one row's prediction; raises InputError where it cannot be one."""
    if type(given) is not str or not _ROW_NAME.match(given):
        raise _strange(field, given, LONGEST + 12)
    return given


def row_names(identity: str, rows: int) -> tuple[str, ...]:
    """Return each row's name.

    >>> row_names("a", 1), row_names("a", 2)
    (('a',), ('a-0', 'a-1'))
    """
    if rows == 1:
        return (identity,)
    return tuple([f"{identity}-{row}" for row in range(rows)])


def _strange(field: str, given: Any, longest: int) -> InputError:
    return InputError(
        field=field,
        observed="nothing" if given is None else shown(given),
        allowed=f"1 to {longest} letters, digits or characters of _ . : @ / + = -",
    )
