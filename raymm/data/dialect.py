"""Finds out how delimited text is written: delimiter, quoting, header and lines above it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from raymm.data.delimited import Dialect, first_rows
from raymm.data.findings import Findings
from raymm.data.header import header, is_data
from raymm.data.wide import Mark
from raymm.features.columns import number

DELIMITERS = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "vertical bar",
    "\x01": "the control character \\x01",
    "\x1f": "the control character \\x1f",
    "^": "^",
    "~": "~",
}
_RARE = ":!&*@"
"""Marks that part cells where none of the usual ones stands anywhere."""
_SAMPLE = 64 * 1024
_MOST = 4 * 2**20
_LINES = 20
_ROWS = 200
_PREAMBLE = 30
"""The most lines above a header."""

_OUTER = re.compile(r"(?:^|(?<=[,;\t|]))'|'(?=[,;\t|\r\n]|$)", re.MULTILINE)
"""Single quotes at a cell's rim."""
_ESCAPED = re.compile(r'\\"(?![,;\t|\r\n]|$)', re.MULTILINE)
"""A quote after a backslash, other than one that closes a cell such as a folder's name."""
_DOUBLED = re.compile(r'(?<!\\)""(?![,;\t|\r\n]|$)', re.MULTILINE)
"""Two quotes within a cell."""
_SPACED = re.compile(r'[,;|] +"')
_TIGHT = re.compile(r'[,;|]"')
_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?[ \t]*(\r\n|\r|\n)", re.IGNORECASE)
_LINE = re.compile(r"[^\r\n]*(\r\n|\r|\n|$)")
_NUMERAL = re.compile(
    r"[-+(]?[$€£¥₹]?\s?[-+]?(\d{1,3}([.' \u00a0\u202f]\d{3})+,\d+|\d+,\d+|\d{1,3}(,\d{3})+(\.\d+)?)"
    r"([eE][-+]?\d+)?\s?[-%€$£)]?$"
)
"""A number with commas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a text file is laid out.

    Attributes
    ----------
    names : list of str
        The header as written, or ``column_1``, … where there is none.
    headless : bool
        Whether the first row is data.
    above : int
        Lines before the first row (the header, where there is one).
    columns : bool
        Whether cells are parted by runs of blanks, which `spaced` turns into tabs.
    """

    dialect: Dialect
    names: list[str]
    headless: bool
    above: int = 0
    columns: bool = False


def sample_of(text: str) -> str:
    """Return the beginning of a text: 64 Ki characters, or more until there are 20 lines."""
    size = _SAMPLE
    while size < len(text) and size < _MOST and text.count("\n", 0, size) < _LINES:
        size *= 2
    if len(text) <= size:
        return text
    return text[:size].rpartition("\n")[0] or text[:size]


def layout(sample: str, found: Findings, mark: Mark | None = None) -> Layout:
    """Return how a text is laid out, from its beginning.

    ``sample`` is what `sample_of` returns and holds more than blanks; ``mark`` is what parts its
    cells, where that is known.
    """
    above, body, comments, forced = _top(sample)
    forced = mark.read if mark and mark.read else forced
    blank = _blank_separated(body) if not forced else ""
    if blank:
        found.note("cells are separated by blanks")
        dialect, skipped = Dialect(delimiter="\t", quote='"' if '"' in body else ""), 0
        body = blank
    else:
        dialect, skipped = _sniffed(body, forced)
        written = mark.written if mark and mark.written else dialect.delimiter
        if written != ",":
            word = DELIMITERS.get(written, repr(written))
            found.note(f"cells are separated by {word}")
    if skipped:
        found.note(f"{skipped} line{'s' * (skipped > 1)} above the header passed over")
    rows = first_rows(dialect, after(body, skipped)) or [[""]]
    names, headless = header(rows, comments, dialect, found)
    return Layout(
        dialect=dialect,
        names=names,
        headless=headless,
        above=above + skipped,
        columns=bool(blank),
    )


def spaced(text: str) -> str:
    """Return a text with each run of blanks within a line as one tab, none at a line's rim.

    Quoted cells stay as they are.
    """
    if '"' not in text:
        # The rims come last: a pattern of a run and a line's end looks at each run's blanks over
        # and over, in proportion to the square of its length.
        return re.sub(r"^\t|\t$", "", re.sub(r"[ \t]+", "\t", text), flags=re.MULTILINE)

    def parted(match: re.Match[str]) -> str:
        first, last = match.span()
        rim = text[first - 1 : first] in ("", "\n") or text[last : last + 1] in ("", "\n")
        return match.group(1) or ("" if rim else "\t")

    return re.sub(r'("[^"]*")|[ \t]+', parted, text)


def after(text: str, lines: int) -> str:
    """Return a text without its first lines."""
    place = 0
    for _ in range(lines):
        match = _LINE.match(text, place)
        place = match.end() if match else place
    return text[place:]


def _top(sample: str) -> tuple[int, str, list[str], str]:
    """Return the lines to pass over, what follows, the comments and a delimiter named there."""
    above, place, forced = 0, 0, ""
    comments: list[str] = []
    separator = _SEPARATOR.match(sample)
    if separator:
        forced, above, place = separator.group(1), 1, separator.end()
    while place < len(sample):
        match = _LINE.match(sample, place)
        line = match.group().strip() if match else ""
        if match is None or (line and not line.startswith(("#", "%%", "//"))):
            break
        if line:
            comments.append(line)
        place, above = match.end(), above + 1
    if place >= len(sample) and not separator:  # nothing but comments: they are the table
        return 0, sample, [], ""
    return above, sample[place:], comments, forced


def _sniffed(body: str, forced: str) -> tuple[Dialect, int]:
    """Return the dialect under which most rows have one length, and lines above the header."""
    single = len(_OUTER.findall(body)) > 0.9 * max(4, body.count("'"))
    quote = "'" if '"' not in body and single else '"'
    escape = "\\" if _ESCAPED.search(body) and not _DOUBLED.search(body) else None
    blanks = bool(_SPACED.search(body)) and not _TIGHT.search(body)
    plain = Dialect(delimiter=forced or ",", quote=quote, escape=escape, blanks=blanks)
    if forced:
        return plain, 0
    best, best_score = plain, (0.0, 0)
    read: list[tuple[Dialect, list[list[str]]]] = []
    for delimiter in DELIMITERS:
        if delimiter not in body:
            continue
        dialect = replace(plain, delimiter=delimiter)
        rows = first_rows(dialect, body)
        read.append((dialect, rows))
        if not rows or len(rows[0]) < 2:
            continue
        fit = _fit(rows)
        if (fit, len(rows[0])) > best_score:
            best, best_score = dialect, (fit, len(rows[0]))
    if not read:
        return _rare(plain, body), 0
    if best_score[0] >= 0.5:
        return _beside_commas(read, best, best_score[0]), 0
    return _below_title(read, body) or (best, 0)


def _rare(plain: Dialect, body: str) -> Dialect:
    """Return the dialect of a rare mark that makes three cells or more in every line, all filled.

    Where there is none the text has one column.
    """
    best, most = plain, 2
    for mark in _RARE:
        dialect = replace(plain, delimiter=mark)
        rows = first_rows(dialect, body) if mark in body else []
        if len(rows) < 2 or len(rows[0]) <= most or {len(row) for row in rows} != {len(rows[0])}:
            continue
        if all(cell.strip() for row in rows for cell in row):
            best, most = dialect, len(rows[0])
    return best


def _beside_commas(
    read: list[tuple[Dialect, list[list[str]]]], best: Dialect, fit: float
) -> Dialect:
    """Return another dialect than commas' where it fits as well and commas stand within numbers.

    ``10:00;23,5;1013,25`` without a header has three cells either way.
    """
    if best.delimiter != ",":
        return best
    for dialect, rows in read:
        if dialect.delimiter == "," or not rows or len(rows[0]) < 2 or _fit(rows) < fit:
            continue
        marked = [cell.strip() for row in rows for cell in row if "," in cell]
        if marked and all(map(_NUMERAL.match, marked)):
            return dialect
    return best


def _fit(rows: list[list[str]]) -> float:
    return round(sum(len(row) == len(rows[0]) for row in rows) / len(rows), 1)


def _below_title(
    read: list[tuple[Dialect, list[list[str]]]], body: str
) -> tuple[Dialect, int] | None:
    """Return the dialect of a table that begins below a title of a few lines, and these lines.

    The header is the first row of the most frequent length; where delimiters compete, the one
    whose header comes first wins, as the words of a header hold no decimal commas.
    """
    best: tuple[Dialect, int] | None = None
    best_score = (0.0, 0, 0)
    for dialect, rows in read:
        lengths = Counter(len(row) for row in rows if len(row) > 1)
        if not lengths:
            continue
        width = max(lengths, key=lambda size: (lengths[size], size))
        first = next(i for i, row in enumerate(rows) if len(row) == width)
        fit = lengths[width] / max(1, len(rows) - first)
        score = (round(fit, 1), -first, width)
        shorter = all(sum(map(bool, row)) < width for row in rows[:first])
        one_short = first == 1 and len(rows[0]) == width - 1
        one_short = one_short and (width > 2 or is_data(rows[1:]))
        fits = fit >= 0.5 and 0 < first <= _PREAMBLE and shorter and not one_short
        if fits and (best is None or score > best_score):
            best, best_score = (dialect, _line_of(dialect, body, first)), score
    return best


def _line_of(dialect: Dialect, body: str, row: int) -> int:
    """Return how many lines stand before a row; rows of no cells are not counted."""
    reader = dialect.reader(body)
    before = 0
    for cells in reader:
        if cells:
            if row == 0:
                return before
            row -= 1
        before = int(getattr(reader, "line_num", before))
    return before


def _blank_separated(body: str) -> str:
    """Return the body with tabs for runs of blanks where that makes a table, else "".

    No line may hold a usual delimiter, all must have one number of words, and there must be a
    column of numbers, which sentences do not make.
    """
    lines = [line for line in re.split(r"\r\n|\r|\n", body) if line.strip()][:_ROWS]
    if len(lines) < 2 or any(mark in line for line in lines for mark in ",;\t|\x01"):
        return ""
    parted = spaced("\n".join(lines))
    rows = [line.split("\t") for line in parted.split("\n")]
    width = len(rows[-1])
    if width < 2 or any(len(row) != width for row in rows):
        return ""
    numeric = any(all(number(row[j]) is not None for row in rows[1:]) for j in range(width))
    return parted if numeric else ""
