"""Reads the bodies of requests that hold many rows, column by column: CSV and Arrow."""

from __future__ import annotations

from raymm.serving.arrow_body import arrow_sheet
from raymm.serving.cells import reading
from raymm.serving.csv_body import csv_sheet
from raymm.serving.media import ARROW, CSV
from raymm.serving.sheets import Sheet


def sheet_of(
    media: bytes, body: bytes, *, known: frozenset[str], max_rows: int, max_bytes: int
) -> Sheet:
    """Read a body of the kind `CSV` or `ARROW` of `raymm.serving.media`.

    Parameters
    ----------
    known : frozenset of str
        Names that a schema knows.
    max_rows : int
    max_bytes : int
        Of the body unpacked, and of the text that one of its columns may come to.

    Raises
    ------
    InputError, TooLarge
        As `raymm.serving.csv_body.csv_sheet` and `raymm.serving.arrow_body.arrow_sheet` do.
    """
    assert media in (CSV, ARROW)
    read = csv_sheet if media == CSV else arrow_sheet
    with reading():
        return read(body, known=known, max_rows=max_rows, max_bytes=max_bytes)
