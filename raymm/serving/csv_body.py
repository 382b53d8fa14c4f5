"""Reads a body in CSV: RFC 4180 in UTF-8, the first row naming the columns.

pyarrow cuts the text into cells, each column at once. It takes a quote that is never closed for
one that closes at the end, and joins what follows a closing quote to the cell, so where there are
quotes they are looked at before. Where something is wrong, and only then, Python's own reader
finds the line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from raymm.errors import InputError
from raymm.serving.protocol import check_rows
from raymm.serving.sheets import Sheet, most_columns, require_names

_ALLOWED = "CSV whose first row names the columns"
_MARKS = {";": "semicolons", "\t": "tabs", "|": "upright strokes"}
_LONGEST = 131_072
_WIDEST = 50_000
"""Commas in a line that is taken apart to say what is wrong."""
_LINE = re.compile(rb"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_QUOTE = ord('"')
_QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')
_CELL_END = re.compile(rb"[,\r\n]|\Z")
_BESIDE = np.zeros(256, np.bool_)
_BESIDE[list(b'",\r\n')] = True
"""What stands before a quote that opens, and after one that closes; two quotes mean one."""
_BLOCK = 65_536
"""Bytes that are looked at together: so many that they stay in the processor's cache."""


def csv_sheet(body: bytes, *, known: frozenset[str], max_rows: int, max_bytes: int) -> Sheet:
    """Read a body.

    Columns may come in any order; blanks around a name do not count where it is not known with
    them. Empty lines are passed over, and a byte order mark.

    Parameters
    ----------
    body : bytes
        Of bounded size.
    known : frozenset of str
        Names that a schema knows.
    max_rows : int
    max_bytes : int
        Bytes of text that one column may come to.

    Raises
    ------
    InputError
        When the body is no such table; told is the line.
    TooLarge
        When there are more than ``max_rows`` rows.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    _require_utf8(body)
    if not _is_plainly_quoted(body):
        _require_quotes(body)
    names = [name if name in known else name.strip() for name in _header(body, known)]
    _require_commas(names, known)
    require_names(names, known, "line 1")
    columns = _cells(body, len(names))
    rows = len(columns[0])
    check_rows(rows, max_rows)
    if not rows:
        raise _wrong("body", "no rows", "CSV with one or more rows after the columns' names")
    return Sheet(
        rows=rows,
        columns=dict(zip(names, columns, strict=True)),
        textual=True,
        head="line 1",
        place=partial(_place, body),
        most=max_bytes,
    )


def _require_commas(names: list[str], known: frozenset[str]) -> None:
    """Raise InputError where a single name is known names between other marks than commas."""
    (name, *more) = names
    if more or name in known:
        return
    for mark, told in _MARKS.items():
        if mark in name and not known.isdisjoint(part.strip() for part in name.split(mark)):
            raise _wrong("line 1", f"names between {told}", "CSV with commas between the cells")


def _require_utf8(body: bytes) -> None:
    if body.isascii():
        return
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + body.count(b"\n", 0, error.start)
        column = error.start - body.rfind(b"\n", 0, error.start)
        observed = f"bytes that are not UTF-8 at byte {column}"
        raise _wrong(f"line {line}", observed, "CSV in UTF-8") from None


def _is_plainly_quoted(body: bytes) -> bool:
    """Whether every quote opens a cell, closes one, or is one of two within."""
    if b'"' not in body:
        return True
    octets = np.frombuffer(body, np.uint8)
    odd = 0
    for start in range(0, len(body), _BLOCK):
        quotes = np.flatnonzero(octets[start : start + _BLOCK] == _QUOTE) + start
        before = octets.take(quotes[odd::2] - 1, mode="clip")  # at either end it is the quote
        after = octets.take(quotes[1 - odd :: 2] + 1, mode="clip")
        if not (_BESIDE[before].all() and _BESIDE[after].all()):
            return False
        odd = (odd + len(quotes)) % 2
    return not odd


def _require_quotes(body: bytes) -> None:
    """Check quote by quote; one amid a cell that does not begin with a quote is text.

    Raises
    ------
    InputError
        Where a quote is not closed, or text follows one that is.
    """
    place = body.find(b'"')
    while place >= 0:
        if place and body[place - 1] not in b",\r\n":
            end = _CELL_END.search(body, place)
            assert end is not None
            place = body.find(b'"', end.start())
            continue
        cell = _QUOTED.match(body, place)
        if cell is None:
            raise _wrong(_line(body, place), "a quote that is not closed", _ALLOWED)
        if not _CELL_END.match(body, cell.end()):
            allowed = "a comma or the line's end there; a quote within quotes is written twice"
            raise _wrong(_line(body, cell.end()), "text after a closing quote", allowed)
        place = body.find(b'"', cell.end())


def _line(body: bytes, place: int) -> str:
    returns = body.count(b"\r", 0, place) - body.count(b"\r\n", 0, place)
    lines = 1 + returns + body.count(b"\n", 0, place)
    return f"line {lines}"


def _records(body: bytes, widest: int = _WIDEST) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the number of the line where it begins.

    Raises InputError where a quote is not closed, a cell is longer than Python's reader takes, or
    a line has more than ``widest`` cells, which are not taken apart.
    """
    reader = csv.reader(_lines(body, widest))
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _wrong(f"line {line}", f"a row that cannot be read ({error})", _ALLOWED) from None


def _lines(body: bytes, widest: int) -> Iterator[str]:
    for number, match in enumerate(_LINE.finditer(body), 1):
        line = match.group()
        if line.count(b",") >= widest:
            raise _wrong(f"line {number}", f"more than {widest} cells", "a row of fewer")
        yield line.decode("utf-8")


def _header(body: bytes, known: frozenset[str]) -> list[str]:
    found = next(_records(body, most_columns(known)), None)
    if found is None:
        raise _wrong("body", "nothing", _ALLOWED)
    line, names = found
    if max(map(len, names)) > _LONGEST:  # Python's own limit, which other code may have raised
        raise _wrong(f"line {line}", "a row that cannot be read (a name is too long)", _ALLOWED)
    return names


def _cells(body: bytes, width: int) -> list[pa.ChunkedArray]:
    """Return the text of all cells, column by column; raises InputError."""
    names = [str(place) for place in range(width)]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(body),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(body) + 1, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,  # it was checked
            ),
        )
    except (pa.ArrowException, OSError):
        raise _ragged(body, width) from None
    return [column.slice(1) for column in table.columns]  # the first row is their names


def _ragged(body: bytes, width: int) -> InputError:
    for line, cells in _records(body):
        if len(cells) != width:
            found, wanted = (f"{n} cell{'s' * (n != 1)}" for n in (len(cells), width))
            return _wrong(f"line {line}", found, f"a row of {wanted}")
    return _wrong("body", "rows that cannot be read", _ALLOWED)


def _place(body: bytes, row: int) -> str:
    """Return where a row stands: the line on which it begins."""
    for number, (line, _) in enumerate(_records(body), -1):
        if number == row:
            return f"line {line}, "
    return f"row {row + 1}, "


def _wrong(field: str, observed: str, allowed: str) -> InputError:
    return InputError(field=field, observed=observed, allowed=allowed)
