"""Lets a stream of bytes in any encoding be read as UTF-8, and knows where it is not of that."""

from __future__ import annotations

import codecs
import io
from typing import Any

from raymm.data.wide import Mark, Narrower


class Transcoded(io.RawIOBase):
    """A stream of text that is given as UTF-8; it raises UnicodeDecodeError at what is no text.

    pyarrow looks at the cells it converts, not at the rows that it gives to a handler.

    Parameters
    ----------
    base : binary stream
        Of text in ``encoding``; byte order marks of UTF-16, UTF-32 and ``utf-8-sig`` are left out.
    mark : Mark or None
        What parts cells, where it is to be replaced.
    errors : str
        ``strict``, or ``replace`` to put U+FFFD in the place of what is not of the encoding.

    Attributes
    ----------
    place : int or None
        The first byte, counted from 0, that is not of the encoding; None while there is none.
    byte : int
        Its value.
    around : bytes
        The piece that holds it.
    broken : int
        Characters U+FFFD that were given.
    """

    def __init__(
        self,
        base: Any,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        mark: Mark | None = None,
    ) -> None:
        super().__init__()
        self._base = base
        mark = mark or Mark()
        self._plain = encoding == "utf-8" and errors == "strict" and not mark.wide
        self._narrower = Narrower(mark)
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._taken = 0
        self._left = memoryview(b"")
        self.place: int | None = None
        self.byte = 0
        self.around = b""
        self.broken = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer and return how many bytes there were."""
        while not self._left:
            data = self._base.read(len(buffer))
            text = self._decoded(data)
            if self._plain:
                self._left = memoryview(data)
            else:
                self.broken += text.count("\ufffd")
                text = self._narrower.feed(text, final=not data)
                self._left = memoryview(text.encode("utf-8", errors="replace"))
            if not data:
                break
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def _decoded(self, data: bytes) -> str:
        self._taken += len(data)
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            # What the decoder looked at ends where the bytes taken end.
            self.place = self._taken - len(error.object) + error.start
            self.around, self.byte = error.object, error.object[error.start]
            raise
