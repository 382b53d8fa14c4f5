"""Gives columns names that are not empty and stand once, and reads what names tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from raymm.data.findings import Findings

_REMEDY = "Name the columns in the header, each by another name."

_KEY = re.compile(r"(^|[_\W])(id|ids|uuid|guid|key|index|idx|rowid|row|no|nr|pk|unnamed)([_\W]|$)")

_REFERENCE = re.compile(r"(number|code|(^|[_\W])(num|account|acct|mrn|ssn))[_\W]*$")
_PLACE = re.compile(r"(zip|post|postal|area)[_\W]*(number|num|code)")
_GIVEN = re.compile(r"column_\d+")


def is_key(name: str) -> bool:
    """Return whether a column is named like one that tells rows or entities apart.

    >>> is_key("customerID"), is_key("order_no"), is_key("width")
    (True, True, False)
    """
    return _KEY.search(parted(name)) is not None


def is_reference(name: str) -> bool:
    """Return whether a column's name may mean a number that something is filed under.

    It may be a measure as well; numbers of places, which lie near where they are alike, are none.

    >>> is_reference("EmployeeNumber"), is_reference("number of rooms"), is_reference("zip_code")
    (True, False, False)
    """
    name = parted(name)
    return _REFERENCE.search(name) is not None and _PLACE.search(name) is None


def nameless(names: Sequence[str]) -> frozenset[str]:
    """Return the columns that `named` gave a name, where most others had one.

    Of a table without a header none are returned: its columns lack names for no reason of theirs.

    >>> sorted(nameless(["column_1", "width", "height"])), sorted(nameless(["column_1", "y"]))
    (['column_1'], [])
    """
    given = frozenset(name for name in names if _GIVEN.fullmatch(name))
    return given if 2 * len(given) < len(names) else frozenset()


def parted(name: str) -> str:
    """Return a name in small letters, its words parted by underscores.

    >>> parted("firstName")
    'first_name'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).casefold()


def named(names: Sequence[str], found: Findings) -> list[str]:
    """Return names without surrounding blanks, none empty, no two equal; tell what changed."""
    stripped = [name.strip() for name in names]
    taken = Counter(stripped)
    result: list[str] = []
    seen: set[str] = set()
    for place, name in enumerate(stripped, start=1):
        new, count = name, 1
        if not name:
            new = f"column_{place}"
        while new in seen or (new != name and new in taken):
            count += 1
            new = f"{name or f'column_{place}'}_{count}"
        if new != name:
            what = f'a second column "{name}"' if name else f"column {place}, which has no name,"
            found.repair("column names", f'{what} is called "{new}"', _REMEDY, column=new)
        seen.add(new)
        result.append(new)
    return result
