"""How delimited text parts and quotes its cells, and its first rows read so."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How cells are parted and quoted.

    Attributes
    ----------
    quote : str
        Empty where quotes mean nothing.
    blanks : bool
        Whether blanks after a delimiter are no part of the cell, so that a quote may follow them.
    """

    delimiter: str
    quote: str = '"'
    escape: str | None = None
    blanks: bool = False

    def reader(self, text: str) -> Iterator[list[str]]:
        """Return csv's reader over a text."""
        csv.field_size_limit(2**31 - 1)
        return csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.blanks,
            strict=False,
        )


def first_rows(dialect: Dialect, body: str) -> list[list[str]]:
    """Return the first 200 rows that hold cells, or those before one that cannot be read."""
    rows: list[list[str]] = []
    try:
        for row in dialect.reader(body):
            if row:
                rows.append(row)
            if len(rows) >= _ROWS:
                break
    except csv.Error:
        return rows
    return rows
