"""Takes signs and marks of thousands away from numbers as people write them."""

from __future__ import annotations

import re
from collections.abc import Collection

SIGNS = "$€£¥₹%"
"""Currency and percent signs that the word ``signs`` in a number column's format takes away."""

_BLANKS = " \u00a0"
_FIRST = "0123456789.,"
_PARTED = " '\u00a0\u202f"
_POWER = "([eE][-+]?[0-9]+)?$"
GROUPS = {
    "decimal comma": f"^[-+]?[{_BLANKS}]?([1-9][0-9]{{0,2}}([.{_PARTED}][0-9]{{3}})+|[0-9]*)"
    f"(,[0-9]*)?{_POWER}",
    "thousands comma": f"^[-+]?[{_BLANKS}]?([1-9][0-9]{{0,2}}([,{_PARTED}][0-9]{{3}})+"
    f"|[1-9][0-9]?(,[0-9]{{2}})+,[0-9]{{3}}|[0-9]*)([.][0-9]*)?{_POWER}",
}
"""Patterns, for `re` and RE2, of the cells that each way of marking thousands and decimals reads.

Any other cell is read as it stands, so that 12.5 among decimal commas is not taken for 125.
"""

_DECIMAL = re.compile(GROUPS["decimal comma"])
_THOUSANDS = re.compile(GROUPS["thousands comma"])
_SPACED = str.maketrans("", "", _PARTED)


def plain_number(cell: str, marks: Collection[str]) -> str:
    """Return a cell without what the words of a number column's format speak of.

    ``signs`` takes currency and percent signs away, and reads brackets around a number, as in
    accounts, or a minus behind it, as SAP writes, as its minus.

    >>> plain_number("(1,234.50 €)", {"signs", "thousands comma"})
    '-1234.50'
    >>> plain_number("4.211,54-", {"signs", "decimal comma"})
    '-4211.54'
    >>> plain_number("1.234,5", {"decimal comma"}), plain_number("12.5", {"decimal comma"})
    ('1234.5', '12.5')
    """
    if "signs" in marks:
        cell = cell.strip(SIGNS + _BLANKS)
        if cell.startswith("(") and cell.endswith(")"):
            cell = "-" + cell[1:-1].strip(SIGNS + _BLANKS)
        if cell.endswith("-") and cell[0] in _FIRST:
            cell = "-" + cell[:-1].rstrip(SIGNS + _BLANKS)
        cell = "-" + cell[1:].lstrip(SIGNS + " ") if cell.startswith("-") else cell
    if "decimal comma" in marks and _DECIMAL.match(cell):
        return cell.translate(_SPACED).replace(".", "").replace(",", ".")
    if "thousands comma" in marks and _THOUSANDS.match(cell):
        return cell.translate(_SPACED).replace(",", "")
    return cell
