"""Gives columns names that are not empty and stand once, and reads what names tell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from raymm.data.findings import Findings

_REMEDY = "Name the columns in the header, each by another name."

_KEY = re.compile(r"(^|[_\W])(id|ids|uuid|guid|key|index|idx|rowid|row|no|nr|pk|unnamed)([_\W]|$)")


def is_key(name: str) -> bool:
    """Return whether a column is named like one that tells rows or entities apart.

    >>> is_key("customerID"), is_key("order_no"), is_key("width")
    (True, True, False)
    """
    return _KEY.search(parted(name)) is not None


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
