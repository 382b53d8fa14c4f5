"""Parses delimited text whose delimiter, encoding, quoting and header are not known beforehand.

Files whose rows all have one length are parsed by pyarrow; only where a row has more or fewer
cells than the header does Python's own csv module go through the file, to tell the line numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from raymm.errors import DataError
from raymm.features.columns import number

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SAMPLE = 64 * 1024
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file",
    b"ORC": "an ORC file",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04\x95": "a pickle",
}

_OUTER = re.compile(r"(?:^|(?<=[,;\t|]))'|'(?=[,;\t|\r\n]|$)", re.MULTILINE)
"""Single quotes at a cell's rim."""
_ESCAPED = re.compile(r'\\"(?![,;\t|\r\n]|$)', re.MULTILINE)
"""A quote after a backslash, other than one that closes a cell such as a folder's name."""
_DOUBLED = re.compile(r'(?<!\\)""(?![,;\t|\r\n]|$)', re.MULTILINE)
"""Two quotes within a cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a text file is written; ``quote`` is empty where quotes mean nothing."""

    delimiter: str
    quote: str = '"'
    escape: str | None = None

    def reader(self, text: str) -> Iterator[list[str]]:
        """Return csv's reader over a text."""
        return csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            strict=False,
        )


def parse(data: bytes, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Parse a file's bytes.

    Returns
    -------
    frame : DataFrame, shape (n, columns)
        Columns of dtype ``str``; cells exactly as written; names as written, even if equal.
    notes : list of str
        What was found out.

    Raises
    ------
    DataError
        When the bytes are not text or hold no line.
    """
    notes: list[str] = []
    text = _decoded(data, name, notes)
    text = text.lstrip("\n\r")
    if not text.strip():
        raise DataError(f"{name} is empty. Give a file with a header and rows.")
    dialect = _sniffed(text)
    if dialect.delimiter != ",":
        notes.append(f"cells are separated by {DELIMITERS[dialect.delimiter]}")
    header = next(row for row in dialect.reader(text) if row)
    headless = _headless(header)
    if headless:
        notes.append("the first line is data, so columns are called column_1, column_2, …")
    names = [f"column_{i + 1}" for i in range(len(header))] if headless else header
    frame = _fast(text, dialect, len(names), headless)
    if frame is None:
        frame = _slow(text, dialect, len(names), headless, notes)
    frame.columns = pd.Index(names)
    return _without_trailing(frame, notes), notes


def _decoded(data: bytes, name: str, notes: list[str]) -> str:
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            raise DataError(
                f"{name} is {what}, not a CSV or Parquet file. Save the table as CSV or Parquet."
            )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        notes.append("the text is encoded as UTF-16")
        return data.decode("utf-16", errors="replace")
    head = data[:_SAMPLE]
    control = sum(head.count(bytes([code])) for code in (*range(9), *range(14, 32), 127))
    if b"\0" in head or control > 0.05 * len(head):
        raise DataError(
            f"{name} holds bytes that are not text. Give a CSV or Parquet file; UTF-16 text needs "
            "its byte order mark."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = "cp1252"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    notes.append(f"the text is not UTF-8; it was read as {encoding}")
    return text


def _sniffed(text: str) -> Dialect:
    """Return the dialect under which most lines have as many cells as the header."""
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample.rpartition("\n")[0] or sample
    single = len(_OUTER.findall(sample)) > 0.9 * max(4, sample.count("'"))
    quote = "'" if '"' not in sample and single else '"'
    escape = "\\" if _ESCAPED.search(sample) and not _DOUBLED.search(sample) else None
    best, best_score = Dialect(delimiter=",", quote=quote, escape=escape), (0.0, 0)
    for delimiter in DELIMITERS:
        dialect = Dialect(delimiter=delimiter, quote=quote, escape=escape)
        try:
            rows = [row for row in dialect.reader(sample) if row][:200]
        except csv.Error:
            continue
        if not rows or len(rows[0]) < 2:
            continue
        fit = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        if (round(fit, 1), len(rows[0])) > best_score:
            best, best_score = dialect, (round(fit, 1), len(rows[0]))
    return best


def _headless(header: list[str]) -> bool:
    """Whether the first line is data: it holds a number with a decimal point, or two numbers
    that are equal, which names would not be.
    """
    found = [cell.strip() for cell in header if number(cell.strip()) is not None]
    return any("." in cell for cell in found) or len(set(found)) < len(found)


def _fast(text: str, dialect: Dialect, width: int, headless: bool) -> pd.DataFrame | None:
    """Parse with pyarrow; None where a row's length differs from the header's."""
    import pyarrow as pa
    import pyarrow.csv

    names = [str(i) for i in range(width)]
    if not _balanced(text, dialect):
        return None
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(text.encode("utf-8", errors="replace")),
            read_options=pa.csv.ReadOptions(
                column_names=names, skip_rows_after_names=0 if headless else 1, block_size=2**26
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


def _slow(
    text: str, dialect: Dialect, width: int, headless: bool, notes: list[str]
) -> pd.DataFrame:
    csv.field_size_limit(2**31 - 1)
    rows, short, long = _rows(text, dialect, width, headless)
    if not _balanced(text, dialect):
        plain = _rows(text, Dialect(delimiter=dialect.delimiter, quote=""), width, headless)
        if len(plain[0]) - len(plain[1]) > len(rows) - len(short):
            notes.append("quotes are not paired, so they were taken as plain characters")
            rows, short, long = plain
    for lines, what in ((short, "fewer cells than the header; the rest is empty"), (long, _LONG)):
        if lines:
            shown = ", ".join(map(str, lines[:10])) + (", …" if len(lines) > 10 else "")
            notes.append(f"{len(lines)} rows have {what} (lines {shown})")
    return pd.DataFrame(rows, columns=range(width), dtype="str")


def _rows(
    text: str, dialect: Dialect, width: int, headless: bool
) -> tuple[list[list[str]], list[int], list[int]]:
    """Return the rows padded to one length, and the lines of rows too short and too long."""
    rows: list[list[str]] = []
    short: list[int] = []
    long: list[int] = []
    reader: Any = dialect.reader(text)
    header = not headless
    for row in reader:
        if not row:
            continue
        if header:
            header = False
            continue
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            long.append(reader.line_num)
            continue
        if len(row) < width:
            short.append(reader.line_num)
        rows.append(row[:width] + [""] * (width - len(row)))
    return rows, short, long


_LONG = "more cells than the header and were left out"


def _without_trailing(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Drop a last column without name and cells, which a delimiter at each line's end makes."""
    if len(frame.columns) > 1 and not str(frame.columns[-1]).strip():
        last = frame.iloc[:, -1]
        if bool((last.str.strip() == "").all()):
            notes.append("each line ends with a delimiter; the empty last column was left out")
            return frame.iloc[:, :-1]
    return frame
