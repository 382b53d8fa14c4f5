"""Delimiters of several characters, such as ``::`` and ``||``, read as one that cells do not hold.

The readers below take delimiters of one byte. What parts cells is replaced in the whole text by a
control character that it does not hold, and put back within quoted cells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from raymm.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_WIDE = ("|~|", "~|~", "^|^", "|@|", "|;|", "#|#", "::", "||", "~~", "@@", ";;", "^^", "$$", "##")
_USUAL = ",;\t|^~\x01\x1f"
_UNITS = "\x1f\x1e\x1d\x1c\x02\x03\x04\x05\x06"
_LINES = 200
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What parts cells: as it is written, and the character it is read as.

    Both are empty where it is one of the usual marks, still to be found out.
    """

    written: str = ""
    read: str = ""

    @property
    def wide(self) -> bool:
        """Whether it is written in another way than it is read."""
        return self.written != self.read

    def narrowed(self, text: str) -> str:
        """Return a text with what parts cells as it is read."""
        return text.replace(self.written, self.read) if self.wide else text

    def restored(self, cell: str) -> str:
        """Return a cell as it was written."""
        return cell.replace(self.read, self.written) if self.wide else cell


def mark_of(text: str, sample: str, given: str | None, name: str) -> Mark:
    """Return what parts the cells of a text.

    Parameters
    ----------
    text : str
        As much of a file as there is.
    sample : str
        Its beginning.
    given : str or None
        The delimiter where a person named it.

    Raises
    ------
    DataError
        When no character is left to read a delimiter as.
    """
    written = given or wide(sample)
    if len(written.encode()) <= 1:
        return Mark(written=written, read=written)
    read = next((unit for unit in _UNITS if unit not in text), None)
    if read is None:
        raise DataError(
            f"{name} holds every control character that its delimiter {written!r} could be read "
            "as. Write it with one comma or tab between cells."
        )
    return Mark(written=written, read=read)


def wide(sample: str) -> str:
    r"""Return the delimiter of several characters that makes a table of a text, or "".

    Every line must hold it equally often, and its characters nowhere else where one of them is a
    usual delimiter (``a||b|c`` has an empty cell). A usual delimiter that makes as many cells of
    every line wins.

    >>> wide("1::x::5\n2::y::3\n"), wide("a,b\nstd::x,1\n")
    ('::', '')
    """
    if not any(mark in sample for mark in _WIDE):
        return ""
    lines = [line for line in _QUOTED.sub('""', sample).splitlines() if line.strip()][:_LINES]
    if len(lines) < 2:
        return ""
    usual = max(_even(lines, mark) for mark in _USUAL)
    best, most = "", 0
    for mark in _WIDE:
        count = _even(lines, mark)
        own = {sign for sign in mark if sign in _USUAL}
        alone = all(line.count(sign) == count * mark.count(sign) for sign in own for line in lines)
        rival = 0 if own and alone else usual
        if count > max(most, rival) and alone:
            best, most = mark, count
    return best


def _even(lines: list[str], mark: str) -> int:
    """Return how often each line holds a mark, 0 where they differ."""
    count = lines[0].count(mark)
    return count if all(line.count(mark) == count for line in lines) else 0


def restored(frame: pd.DataFrame, mark: Mark) -> pd.DataFrame:
    """Return a frame of text whose cells and names are as they were written."""
    if not mark.wide:
        return frame
    frame.columns = pd.Index([mark.restored(str(name)) for name in frame.columns])
    columns: list[Any] = [
        column.str.replace(mark.read, mark.written, regex=False)
        if column.str.contains(mark.read, regex=False).any()
        else column
        for _, column in frame.items()
    ]
    return pd.concat(columns, axis=1) if columns else frame


def in_batch(batch: pa.RecordBatch, mark: Mark) -> pa.RecordBatch:
    """Return rows of text whose cells are as they were written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not mark.wide:
        return batch
    columns = [
        pc.replace_substring(column, pattern=mark.read, replacement=mark.written)
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(batch.schema.names))


class Narrower:
    """Takes a text in pieces and gives it with what parts cells as it is read."""

    def __init__(self, mark: Mark) -> None:
        self._mark, self._tail = mark, ""

    def feed(self, piece: str, *, final: bool) -> str:
        """Return what is sure of the text so far and was not yet given.

        Raises
        ------
        DataError
            When the text holds the character that its delimiter is read as.
        """
        mark = self._mark
        if not mark.wide:
            return piece
        if mark.read in piece:
            raise DataError(
                f"the text holds the control character {mark.read!r}, which its delimiter "
                f"{mark.written!r} is read as. Write it with one comma or tab between cells."
            )
        text = mark.narrowed(self._tail + piece)
        sizes = range(len(mark.written) - 1, 0, -1)
        size = next((size for size in sizes if text.endswith(mark.written[:size])), 0)
        size = 0 if final else size
        self._tail = text[len(text) - size :]
        return text[: len(text) - size]
