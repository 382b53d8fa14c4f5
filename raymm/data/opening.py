"""Finds out how a large text file is written from its first bytes, as small files are read whole.

What a later byte contradicts is decided anew from the text around it.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, replace

import pandas as pd

from raymm.data.alphabets import alphabet
from raymm.data.decoding import (
    encoding_of,
    mostly_utf8,
    named_encoding,
    require_table,
    require_text,
    undecodable,
)
from raymm.data.dialect import Layout, layout, sample_of
from raymm.data.findings import Findings
from raymm.data.given import Given
from raymm.data.text import parse
from raymm.data.wide import Mark, mark_of
from raymm.errors import DataError

_SEEN = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The encoding that a file is read in, and Python's word for what to do with broken bytes.

    ``said`` is whether a person named it.
    """

    name: str
    errors: str = "strict"
    said: bool = False

    def other(self, around: bytes) -> Encoding | None:
        """Return what to read as instead, by the bytes around those that are not of the encoding.

        As for small files: UTF-8 with a few broken bytes keeps its other letters; else an old
        encoding is told by its letters, then Windows' Western alphabet is taken, then Latin-1,
        which takes any byte. None where nothing is left.
        """
        if self.said:
            return None
        if self.name == "utf-8":
            if mostly_utf8(around.decode("utf-8", errors="replace")):
                return Encoding(name="utf-8", errors="replace")
            return Encoding(name=alphabet(around))
        following = {"cp1252": "latin-1", "latin-1": ""}.get(self.name, "cp1252")
        return Encoding(name=following) if following else None

    def tell(self, name: str, broken: int, found: Findings) -> None:
        """Tell in which encoding a file was read, and how many characters of it were broken."""
        if self.said:
            found.note(f"the text was read as {self.name}, as data.encoding says")
        elif self.name.startswith(("utf-16", "utf-32")):
            found.note(f"the text is encoded as {self.name.upper()}")
        elif self.name != "utf-8":
            found.note(
                f"the text is not UTF-8; it was read as {self.name}; if letters look wrong, save "
                "it as UTF-8"
            )
        elif broken:
            found.repair(
                "encoding",
                f"{name}: {broken:,} broken characters in UTF-8 text were replaced",
                "Write the file again as UTF-8.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file's layout, its encoding, what parts its cells, and its first rows.

    The rows lack an empty last column that a delimiter at each line's end makes.
    """

    how: Layout
    encoding: Encoding
    mark: Mark
    sample: pd.DataFrame


def opened(
    head: bytes,
    name: str,
    found: Findings,
    *,
    whole: bool,
    said: Given,
    encoding: Encoding | None = None,
) -> Opened:
    """Return how a file is written, from its first bytes.

    Parameters
    ----------
    whole : bool
        Whether the file has no more bytes; else what stands behind the last line's end is not
        looked at.
    said : Given
        What a person says of the file.
    encoding : Encoding or None
        Where it is known already.

    Raises
    ------
    DataError
        When the file is no table of text, not of the encoding that a person named, or one that
        cannot be read in pieces.
    """
    require_text(head[:_SEEN], name, said.encoding)
    encoding, text = _text(head, encoding or _guessed(head[:_SEEN], said), whole, name)
    text = text.removeprefix("\ufeff")
    if not whole:
        text = text.rpartition("\n")[0] or text
    require_table(text[:1000], name)
    mark = mark_of(text, sample_of(text), said.delimiter, name)
    how = layout(sample_of(mark.narrowed(text)), found, mark)
    if how.columns or how.dialect.blanks:
        raise DataError(
            f"{name} parts its cells by runs of blanks, or has blanks before quotes, which is "
            "read only in smaller files. Write it with one comma or tab between cells."
        )
    frame, _ = parse(text.encode(errors="replace"), name, None, Given(delimiter=said.delimiter))
    how = replace(how, names=[mark.restored(word) for word in how.names])
    return Opened(how=how, encoding=encoding, mark=mark, sample=frame)


def _guessed(head: bytes, said: Given) -> Encoding:
    if said.encoding:
        return Encoding(name=named_encoding(said.encoding, head), said=True)
    name = encoding_of(head)
    if name.startswith("utf-8"):
        return Encoding(name="utf-8")
    return Encoding(name=name, errors="replace")


def _text(head: bytes, encoding: Encoding, whole: bool, name: str) -> tuple[Encoding, str]:
    while True:
        decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
        try:
            return encoding, decoder.decode(head, final=whole)
        except UnicodeDecodeError as error:
            other = encoding.other(head)
            if other is None:
                raise undecodable(name, encoding.name, error.start, head[error.start]) from error
            encoding = other
