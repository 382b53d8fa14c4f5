"""Turns bytes into text whose encoding is not known beforehand, and knows what is no text."""

from __future__ import annotations

import re

from raymm.data.alphabets import alphabet
from raymm.data.findings import Findings, shown
from raymm.errors import DataError

_HEAD = 64 * 1024
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"BM": "a picture",
    b"RIFF": "a sound, picture or film",
    b"SQLite format 3": "an SQLite database",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"{\\rtf": "a text document (RTF)",
    b"HEADER RECORD*******": "a SAS file",
    b"$FL2": "an SPSS file",
}
_PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|[}\]c(])")
_MARKUP = re.compile(r"\s*<(\?xml|!doctype|html|head|body|table|svg|[a-z]+[ >])", re.IGNORECASE)
_ARFF = re.compile(r"\s*(%[^\n]*\n\s*)*@relation\b", re.IGNORECASE)
_SEPARATORS = (0x01, 0x1E, 0x1F)


def decoded(data: bytes, name: str, found: Findings, encoding: str | None = None) -> str:
    """Return a file's bytes as text, telling its encoding where it is not plain UTF-8.

    UTF-8 and UTF-16, with and without a byte order mark, and UTF-32 with one are found out; what
    is none of these is in an old encoding that its letters tell (`raymm.data.alphabets`), else
    taken for Windows' Western alphabet (cp1252), or Latin-1 where that has gaps. A few broken
    bytes in a text that is otherwise UTF-8 are replaced and told.

    Parameters
    ----------
    encoding : str or None
        Python's name of it, where a person named it.

    Raises
    ------
    DataError
        When the bytes are no text, or not of the encoding that was named.
    """
    require_text(data[:_HEAD], name, encoding)
    known = encoding is not None
    encoding = named_encoding(encoding, data[:_HEAD]) if encoding else encoding_of(data[:_HEAD])
    if known:
        text = _strictly(data, encoding, name, found)
    elif encoding.startswith("utf-8"):
        text = _utf8(data, found)
    else:
        found.note(f"the text is encoded as {encoding.upper()}")
        text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if "\0" in text:
        text = _without_nul(text, name, found)
    require_table(text[:_HEAD], name)
    return text


def encoding_of(head: bytes) -> str:
    """Return the encoding that a byte order mark or the pattern of zero bytes tells; UTF-8 else.

    Source: the byte order marks are those of the Unicode Standard, section 23.8.
    """
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) > 0.3 * max(1, len(head) // 2) and min(even, odd) * 20 < max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8-sig" if head.startswith(b"\xef\xbb\xbf") else "utf-8"


def named_encoding(encoding: str, head: bytes) -> str:
    r"""Return an encoding that a person named, with the order of its bytes where it has one.

    >>> named_encoding("utf-16", b"a\0"), named_encoding("cp1251", b"a")
    ('utf-16-le', 'cp1251')
    """
    if encoding not in ("utf-16", "utf-32"):
        return encoding
    found = encoding_of(head)
    return found if found.startswith(encoding) else f"{encoding}-le"


def undecodable(name: str, encoding: str, place: int, byte: int) -> DataError:
    """Return the error of a file that is not of the encoding that a person named."""
    return DataError(
        f"{name} is not written in {encoding}: it cannot hold 0x{byte:02x}, which is byte "
        f"{place:,} (the first being 0). Name another in data.encoding, or leave it out to have "
        "it found out."
    )


def require_text(head: bytes, name: str, encoding: str | None = None) -> None:
    """Raise DataError when a file begins like something other than text.

    ``encoding`` is the one that a person named.
    """
    what = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), None)
    if what == "a picture" and head.startswith(b"BM") and b"\0" not in head[:32]:
        what = None  # a column whose name begins with BM
    if what == "an ORC file" and b"\0" not in head[:64]:
        what = None
    if head[257:262] == b"ustar":
        what = "a tar archive"
    if _PICKLE.match(head):
        what = "a pickle, which could run code and is never opened"
    if what is not None:
        raise DataError(
            f"{name} is {what}, not a CSV or Parquet file. Save the table as CSV or Parquet."
        )
    if (encoding or encoding_of(head)).startswith(("utf-16", "utf-32")):
        return
    codes = (*range(9), *range(14, 32), 127)
    control = sum(head.count(bytes([code])) for code in codes if code not in _SEPARATORS)
    if control > 0.05 * len(head) or head.count(0) > 0.01 * len(head) + 1:
        raise DataError(
            f"{name} holds bytes that are not text ({control} of its first {len(head):,}). Give a "
            "CSV or Parquet file."
        )


def require_table(head: str, name: str) -> None:
    """Raise DataError when text is of a kind that is not delimited."""
    what = "a web page or XML" if _MARKUP.match(head) else ""
    what = "an ARFF file" if _ARFF.match(head) else what
    what = "an empty Git LFS pointer" if head.startswith("version https://git-lfs") else what
    if what:
        raise DataError(f"{name} is {what}, not a table in CSV. Save the table as CSV or Parquet.")


def mostly_utf8(mended: str) -> bool:
    """Whether nine letters of ten outside ASCII are right in UTF-8 whose broken ones are U+FFFD."""
    foreign = len(mended) - len(mended.encode("ascii", errors="ignore"))
    return mended.count("\ufffd") * 10 <= foreign


def _utf8(data: bytes, found: Findings) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        found.note("the text is UTF-8 with a byte order mark")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        mended = data.decode("utf-8-sig", errors="replace")
    if mostly_utf8(mended):
        broken, lines = mended.count("\ufffd"), _lines(mended, "\ufffd")
        found.repair(
            "encoding",
            f"{broken} broken characters in UTF-8 text were replaced (lines {shown(lines)})",
            "Write the file again as UTF-8.",
        )
        return mended
    for encoding in dict.fromkeys((alphabet(data), "cp1252", "latin-1")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        break
    found.note(
        f"the text is not UTF-8; it was read as {encoding}; if letters look wrong, save it as UTF-8"
    )
    return text


def _strictly(data: bytes, encoding: str, name: str, found: Findings) -> str:
    found.note(f"the text was read as {encoding}, as data.encoding says")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise undecodable(name, encoding, error.start, data[error.start]) from error


def _without_nul(text: str, name: str, found: Findings) -> str:
    count = text.count("\0")
    lines = _lines(text, "\0")
    if count > 0.01 * len(text):
        raise DataError(
            f"{name} holds {count:,} NUL bytes, first in line {lines[0]}: it is no text, or was "
            "damaged. Write it again as CSV in UTF-8."
        )
    found.repair(
        "NUL characters",
        f"{count} NUL characters were left out (lines {shown(lines)})",
        "Write the file again; NUL bytes often stand where a file was cut off or damaged.",
    )
    return text.replace("\0", "")


def _lines(text: str, character: str) -> list[int]:
    """Return the numbers of the first lines that hold a character, at most eleven."""
    lines: list[int] = []
    place = text.find(character)
    line, last = 1, 0
    while place >= 0 and len(lines) < 11:
        line += text.count("\n", last, place)
        lines.append(line)
        end = text.find("\n", place)
        last, place = place, text.find(character, end) if end >= 0 else -1
    return lines
