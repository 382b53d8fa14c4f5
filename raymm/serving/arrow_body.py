"""Reads a body that is an Arrow IPC stream, after its own account of its sizes was checked.

A message says how many rows it holds, and a compressed buffer how long it is unpacked; Arrow makes
room for what they say. So the messages' heads are read first, of which Arrow has checked the
outline, and nothing is unpacked beyond the limits. What Arrow then reads is checked whole before
anybody looks at it: places in a dictionary, offsets of texts, UTF-8.

Source: Message.fbs of the Arrow columnar format, and the layout of a FlatBuffers table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from raymm.errors import InputError, TooLarge
from raymm.serving.protocol import check_rows
from raymm.serving.sheets import Sheet, require_names

BATCHES = 1000
"""Messages in a stream at most: each takes work of its own, however few its rows."""
_ALLOWED = "an Arrow IPC stream"
_ROW = "rows[{}]."
_VERSION = 4
"""Of a message's metadata (V5). Up to it, custom metadata could say that the buffers are packed."""


def arrow_sheet(body: bytes, *, known: frozenset[str], max_rows: int, max_bytes: int) -> Sheet:
    """Read a body.

    Parameters
    ----------
    body : bytes
        Of bounded size.
    known : frozenset of str
        Names that a schema knows.
    max_rows : int
    max_bytes : int
        Bytes of all buffers unpacked, and of the text that one column may come to.

    Raises
    ------
    InputError
        When the body is no such stream.
    TooLarge
        When it holds more than ``max_rows`` rows, ``max_bytes`` or `BATCHES` messages.
    """
    rows = _require_bounded(body, max_rows, max_bytes)
    if not rows:
        raise _wrong("no rows", "an Arrow IPC stream of one or more rows")
    try:
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with pa.ipc.open_stream(pa.py_buffer(body), options=options) as stream:
            schema = stream.schema
            require_names(schema.names, known, "schema")
            batches = list(stream)
        for batch in batches:
            batch.validate(full=True)
        table = pa.Table.from_batches(batches, schema)
    except InputError:
        raise
    except Exception as error:  # a type of some package's own raises what it likes
        raise _wrong(_told(error), _ALLOWED) from None
    return Sheet(
        rows=len(table),
        columns=dict(zip(table.column_names, table.columns, strict=True)),
        textual=False,
        head="schema",
        place=_ROW.format,
        most=max_bytes,
    )


def _require_bounded(body: bytes, max_rows: int, max_bytes: int) -> int:
    """Return how many rows the stream says that it holds; raises InputError and TooLarge."""
    rows = size = 0
    try:
        messages = pa.ipc.MessageReader.open_stream(pa.py_buffer(body))
        for count, message in enumerate(iter(partial(_next, messages), None)):
            if count > BATCHES:
                raise TooLarge(
                    f"an Arrow stream may hold {BATCHES} batches and dictionaries at most. "
                    "Put more rows into each."
                )
            if message.type == "schema":
                continue
            held, sizes = _account(message)
            rows += held
            check_rows(rows, max_rows)
            for one in sizes:
                size += one
                if size > max_bytes:
                    raise TooLarge(
                        f"an Arrow stream may hold {max_bytes} bytes at most when it is "
                        "unpacked. Send fewer rows, or raise serving.max_body_kb."
                    )
    except (InputError, TooLarge):
        raise
    except Exception as error:  # of Arrow's own kinds, of Python's, or of struct
        raise _wrong(_told(error), _ALLOWED) from None
    return rows


def _next(messages: Any) -> Any:
    try:
        return messages.read_next_message()
    except StopIteration:
        return None


def _account(message: Any) -> tuple[int, Iterator[int]]:
    """Return the rows of a message, none for a dictionary, and its buffers' sizes unpacked."""
    root = _Flat.root(message.metadata)
    if root.number(0, "<h") != _VERSION:
        raise _wrong("a batch in an old format", "batches of the metadata's version 5")
    if root.has(4):
        raise _wrong("a batch with metadata of its own", "batches without custom metadata")
    head = root.table(2)
    if message.type == "record batch":
        return _rows(head), _sizes(head, message.body)
    if message.type != "dictionary":
        raise _wrong(f"a message of the kind {message.type}", "a stream of record batches")
    if head.number(2, "?"):
        raise _wrong("a dictionary in parts", "a stream whose dictionaries are whole")
    return 0, _sizes(head.table(1), message.body)


def _rows(batch: _Flat) -> int:
    rows = int(batch.number(0, "<q"))
    if rows < 0:
        raise _wrong(f"a batch of {rows} rows", _ALLOWED)
    return rows


def _sizes(batch: _Flat, body: Any) -> Iterator[int]:
    """Yield the size of each buffer; of a compressed one, what its first eight bytes say."""
    packed = batch.has(3)
    for start, length in batch.pairs(2):
        if min(start, length) < 0 or body is None or start + length > body.size:
            if length == 0:
                continue
            raise _wrong("a buffer that lies outside of its message", _ALLOWED)
        size = length
        if packed and length:
            (size,) = struct.unpack_from("<q", body, start)
            if size < -1:
                raise _wrong("a compressed buffer of less than no bytes", _ALLOWED)
            size = length if size == -1 else size
        yield size


class _Flat:
    """A table of FlatBuffers: where its fields stand is told by a list of offsets.

    A field that is not there has its default, which is zero.
    """

    def __init__(self, data: Any, place: int) -> None:
        self._data = data
        self._place = place
        (back,) = struct.unpack_from("<i", data, place)
        self._fields = place - back
        (self._span,) = struct.unpack_from("<H", data, self._fields)

    @classmethod
    def root(cls, data: Any) -> _Flat:
        """Return the outermost table."""
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def _at(self, field: int) -> int:
        """Return where a field stands; 0 where it is not there."""
        slot = 4 + 2 * field
        if slot + 2 > self._span:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._fields + slot)
        return self._place + offset if offset else 0

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return bool(self._at(field))

    def number(self, field: int, form: str) -> Any:
        """Return a number, of the form that struct names."""
        place = self._at(field)
        return struct.unpack_from(form, self._data, place)[0] if place else 0

    def table(self, field: int) -> _Flat:
        """Return a table that a field leads to; raises struct.error where there is none."""
        place = self._at(field)
        if not place:
            raise struct.error("a field is missing")
        return _Flat(self._data, place + struct.unpack_from("<I", self._data, place)[0])

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield the pairs of 64-bit numbers of a list."""
        place = self._at(field)
        if not place:
            return
        start = place + struct.unpack_from("<I", self._data, place)[0]
        (count,) = struct.unpack_from("<I", self._data, start)
        if start + 4 + 16 * count > len(self._data):
            raise struct.error("a list is cut")
        yield from struct.iter_unpack(
            "<qq", memoryview(self._data)[start + 4 : start + 4 + 16 * count]
        )


def _told(error: Exception) -> str:
    """Return what is wrong, in the first words of Arrow's message."""
    return f"a damaged one ({str(error).splitlines()[0][:100]})" if str(error) else "a damaged one"


def _wrong(observed: str, allowed: str) -> InputError:
    return InputError(field="body", observed=observed, allowed=allowed)
