"""Reads a body in CSV: RFC 4180 in UTF-8, the first row naming the columns.

pyarrow cuts the text into cells, each column at once. It takes a quote that is never closed for
one that closes at the end, so a last row is added where there are quotes, which must come back as
it was. Where something is wrong, and only then, Python's own reader finds the line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv as arrow_csv

from raymm.errors import InputError
from raymm.serving.protocol import check_rows
from raymm.serving.sheets import Sheet, most_columns, require_names

_ALLOWED = "CSV whose first row names the columns"
_END = "."
_LONGEST = 131_072
_WIDEST = 50_000
"""Commas in a line that is taken apart to say what is wrong."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


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
    text = _decoded(body)
    names = [name if name in known else name.strip() for name in _header(text, known)]
    require_names(names, known, "line 1")
    columns = _cells(body, text, len(names))
    rows = len(columns[0])
    check_rows(rows, max_rows)
    if not rows:
        raise _wrong("body", "no rows", "CSV with one or more rows after the columns' names")
    return Sheet(
        rows=rows,
        columns=dict(zip(names, columns, strict=True)),
        textual=True,
        head="line 1",
        place=partial(_place, text),
        most=max_bytes,
    )


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + body.count(b"\n", 0, error.start)
        column = error.start - body.rfind(b"\n", 0, error.start)
        observed = f"bytes that are not UTF-8 at byte {column}"
        raise _wrong(f"line {line}", observed, "CSV in UTF-8") from None


def _records(text: str, widest: int = _WIDEST) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the number of the line where it begins.

    Raises InputError where a quote is not closed, a cell is longer than Python's reader takes, or
    a line has more than ``widest`` cells, which are not taken apart.
    """
    reader = csv.reader(_lines(text, widest))
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _wrong(f"line {line}", f"a row that cannot be read ({error})", _ALLOWED) from None


def _lines(text: str, widest: int) -> Iterator[str]:
    for number, match in enumerate(_LINE.finditer(text), 1):
        line = match.group()
        if line.count(",") >= widest:
            raise _wrong(f"line {number}", f"more than {widest} cells", "a row of fewer")
        yield line


def _header(text: str, known: frozenset[str]) -> list[str]:
    found = next(_records(text, most_columns(known)), None)
    if found is None:
        raise _wrong("body", "nothing", _ALLOWED)
    line, names = found
    if max(map(len, names)) > _LONGEST:  # Python's own limit, which other code may have raised
        raise _wrong(f"line {line}", "a row that cannot be read (a name is too long)", _ALLOWED)
    return names


def _cells(body: bytes, text: str, width: int) -> list[pa.ChunkedArray]:
    """Return the text of all cells, column by column; raises InputError."""
    quoted = b'"' in body
    if quoted:
        end = ",".join([_END] * width).encode()
        data = b"".join((body, b"" if body.endswith((b"\n", b"\r")) else b"\n", end, b"\n"))
    else:
        data = body
    names = [str(place) for place in range(width)]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=names
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
                check_utf8=False,  # it was decoded
            ),
        )
    except (pa.ArrowException, OSError):
        raise _ragged(text, width) from None
    last = len(table) - 1
    if quoted:
        if any(column[last].as_py() != _END for column in table.columns):
            raise _unclosed(text)
        last -= 1
    return [column.slice(1, last) for column in table.columns]  # the first row is their names


def _ragged(text: str, width: int) -> InputError:
    for line, cells in _records(text):
        if len(cells) != width:
            return _wrong(f"line {line}", f"{len(cells)} cells", f"a row of {width} cells")
    return _unclosed(text)


def _unclosed(text: str) -> InputError:
    line = 1
    for line, _ in _records(text):  # noqa: B007 - the last one's
        pass
    return _wrong(f"line {line}", "a quote that is not closed", _ALLOWED)


def _place(text: str, row: int) -> str:
    """Return where a row stands: the line on which it begins."""
    for number, (line, _) in enumerate(_records(text), -1):
        if number == row:
            return f"line {line}, "
    return f"row {row + 1}, "


def _wrong(field: str, observed: str, allowed: str) -> InputError:
    return InputError(field=field, observed=observed, allowed=allowed)
