"""Parses delimited text whose delimiter, encoding, quoting and header are not known beforehand.

Files whose rows all have one length are parsed by pyarrow; only where a row has more or fewer
cells than the header does Python's own csv module go through the file, to tell the line numbers.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from raymm.data.decoding import decoded
from raymm.data.delimited import Dialect
from raymm.data.dialect import Layout, after, layout, sample_of, spaced
from raymm.data.findings import Findings, shown
from raymm.data.given import Given
from raymm.data.wide import mark_of, restored
from raymm.errors import DataError

_RAGGED = 0.5
"""The share of rows of another length than the header's from which a text is no table."""


def parse(
    data: bytes, name: str, found: Findings | None = None, given: Given | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Parse a file's bytes, of the encoding and delimiter that are ``given`` where they are.

    Returns
    -------
    frame : DataFrame, shape (n, columns)
        Columns of dtype ``str``; cells exactly as written; names as written, even if equal.
    notes : list of str
        What was found out; the same is told to ``found``, with the repairs.

    Raises
    ------
    DataError
        When the bytes are not text, or not of the encoding given; when they hold no line, or lines
        that make no table.
    """
    found, given = found or Findings(), given or Given()
    text = decoded(data, name, found, given.encoding)
    if not text.strip():
        raise DataError(f"{name} is empty. Give a file with a header and rows.")
    mark = mark_of(text, sample_of(text), given.delimiter, name)
    text = mark.narrowed(text)
    how = layout(sample_of(text), found, mark)
    text = after(text, how.above)
    if how.columns:
        text = spaced(text)
    frame = _fast(text, how)
    if frame is None:
        try:
            frame = _slow(text, how, name, found)
        except csv.Error as error:
            raise DataError(f"{name} cannot be read: {error}. Check its quotes.") from error
    frame.columns = pd.Index(how.names)
    return _without_trailing(restored(frame, mark), found), found.notes


def _fast(text: str, how: Layout) -> pd.DataFrame | None:
    """Parse with pyarrow; None where a row's length differs from the header's."""
    import pyarrow as pa
    import pyarrow.csv

    names = [str(i) for i in range(len(how.names))]
    dialect = how.dialect
    if dialect.blanks or not _balanced(text, dialect):
        return None
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(text.encode("utf-8", errors="replace")),
            read_options=pa.csv.ReadOptions(
                column_names=names,
                skip_rows_after_names=0 if how.headless else 1,
                block_size=2**26,
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                escape_char=dialect.escape or False,
                newlines_in_values=True,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException:
        return None
    frame: pd.DataFrame = table.to_pandas()
    return frame.astype("str")


def _balanced(text: str, dialect: Dialect) -> bool:
    """Whether quotes can be paired; an odd one would swallow the lines that follow it."""
    return not dialect.quote or bool(dialect.escape) or text.count(dialect.quote) % 2 == 0


@dataclass(slots=True)
class _Read:
    """Rows padded to one length, and the lines of those that had another."""

    rows: list[list[str]] = field(default_factory=list)
    short: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    comments: list[int] = field(default_factory=list)

    @property
    def whole(self) -> int:
        """Rows that have as many cells as the header."""
        return len(self.rows) - len(self.short)


def _slow(text: str, how: Layout, name: str, found: Findings) -> pd.DataFrame:
    read = _rows(text, how)
    if not _balanced(text, how.dialect):
        plain = _rows(text, replace(how, dialect=replace(how.dialect, quote="")))
        if plain.whole > read.whole:
            found.repair(
                "quotes",
                "quotes are not paired, so they were taken as plain characters",
                "Put cells that hold a delimiter or a line break in quotes, and double quotes "
                "within them.",
            )
            read = plain
    ragged = len(read.short) + len(read.long)
    if ragged > _RAGGED * (read.whole + ragged) and ragged > 2:
        raise DataError(
            f"{name} is no table: of {read.whole + ragged} rows, {ragged} do not have as many "
            f"cells as the header, which has {len(how.names)} (lines "
            f"{shown(sorted(read.short + read.long))}). Give a file with one delimiter throughout, "
            "quote cells that hold it, and put a header of the same length first."
        )
    remedy = "Quote cells that hold the delimiter, and write every cell of each row."
    if read.comments:
        found.note(f"{len(read.comments)} comment lines passed over (lines {shown(read.comments)})")
    if read.short:
        what = "fewer cells than the header; the rest is empty"
        told = f"{_rows_have(len(read.short))} {what} (lines {shown(read.short)})"
        found.repair("ragged rows", told, remedy)
    if read.long:
        what = "more cells than the header; left out"
        told = f"{_rows_have(len(read.long))} {what} (lines {shown(read.long)})"
        found.repair("ragged rows", told, remedy)
    return pd.DataFrame(read.rows, columns=range(len(how.names)), dtype="str")


def _rows_have(count: int) -> str:
    return "1 row has" if count == 1 else f"{count:,} rows have"


def _rows(text: str, how: Layout) -> _Read:
    """Return the rows padded to the header's length, with the lines of those that had another."""
    width = len(how.names)
    read = _Read()
    reader: Any = how.dialect.reader(text)
    header = not how.headless
    for row in reader:
        if not row:
            continue
        if header:
            header = False
            continue
        if len(row) == width:
            read.rows.append(row)
            continue
        line = reader.line_num + how.above
        if row[0].lstrip().startswith("#"):
            read.comments.append(line)
        elif len(row) > width and any(cell.strip() for cell in row[width:]):
            read.long.append(line)
        else:
            if len(row) < width:
                read.short.append(line)
            read.rows.append(row[:width] + [""] * (width - len(row)))
    return read


def _without_trailing(frame: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Drop a last column without name and cells, which a delimiter at each line's end makes."""
    if len(frame.columns) > 1 and not str(frame.columns[-1]).strip():
        last = frame.iloc[:, -1]
        if bool((last.str.strip() == "").all()):
            found.note("each line ends with a delimiter; the empty last column was left out")
            return frame.iloc[:, :-1]
    return frame
