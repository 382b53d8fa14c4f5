"""The records and the graph of a small bundle, told together by what bundles have in common.

Of a bundle of a few thousand bytes most is what every bundle says, or what it says twice: names of
columns, settings left as they are, the same nodes for each column. Both parts are told answer by
answer (`raymm.bundle.bitwise`), by a model that has seen `raymm.bundle.small_preset` before, and
the graph by one that has seen the records. A bundle of a linear model on four columns takes 800
bytes so instead of 3,500, and 0.1 s to write and to read; those that take more than `SMALL` packed
otherwise are not tried.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from functools import cache

from raymm.bundle.bitwise import Coder, damaged
from raymm.bundle.bitwise_graph import Graphs
from raymm.bundle.bitwise_text import Texts, parsed
from raymm.bundle.records import PLAIN, SHORT
from raymm.bundle.small_preset import preset
from raymm.errors import BundleError

SMALL = 8192
"""Bytes of a bundle's parts, packed otherwise, up to which it is tried."""
LARGEST = 1 << 15
"""Bytes of the records' text and of the graph's skeleton, unpacked, at most."""
_ANSWERS, _MORE = 8, 4096
"""Answers a byte, and more, at most: what a file declares bounds what it may take to read."""
_LONGER = 8
"""How many times as long as it is a part may be while it is told: as text, and with its keys."""
_FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
_REMEMBERED = 4


class Small:
    """Codes the records of a bundle and then its graph; told them it writes, else it reads."""

    def __init__(self, like: Small | None = None) -> None:
        self._coder: Coder = Coder(like=None if like is None else like._coder)
        self._texts: Texts = Texts(self._coder, None if like is None else like._texts)
        graphs = None if like is None else like._graphs
        self._graphs: Graphs = Graphs(self._coder, self._texts, graphs)
        self._words: list[str] = [] if like is None else like._words

    def learn(self, text: str, graph: bytes) -> None:
        """Remember a bundle's records and graph, but for the letters of its words."""
        self._coder.trains = True
        self._told(text)
        if graph:
            self._graphs.code(graph, self._words, most=_LONGER * LARGEST + _MORE)
        self._coder.trains = False

    def write_records(self, text: bytes) -> bytes:
        """Return what a text of records is told by; see `raymm.bundle.records.to_text`.

        Raises
        ------
        ValueError, BundleError, RecursionError
            When the text cannot be told.
        """
        self._coder.go_on(most=_answers(len(text)))
        self._told(text.decode())
        return self._coder.finish()

    def read_records(self, data: bytes, size: int) -> bytes:
        """Return the text again, of so many bytes.

        Raises
        ------
        BundleError
            When the bytes are none that `write_records` returned.
        """
        _require_size(size)
        self._coder.go_on(data, most=_answers(size))
        try:
            first = SHORT if self._coder.bit(["first"]) else PLAIN
            lines = [self._texts.text(path, None, most=_LONGER * size + _MORE) for path in _PATHS]
            self._coder.finish()
        except (*_FAULTS, RecursionError) as error:
            raise damaged(f"cannot be read: {error}") from error
        text = first + "\n".join(lines).encode()
        if len(text) != size:
            raise damaged(f"must unpack to {size} bytes")
        self._words = _words(lines[0])
        return text

    def write_graph(self, graph: bytes) -> bytes:
        """Return what a serialised model is told by; errors as in `write_records`."""
        self._coder.go_on(most=_answers(len(graph)))
        self._graphs.code(graph, self._words, most=_LONGER * len(graph) + _MORE)
        return self._coder.finish()

    def read_graph(self, data: bytes, size: int) -> bytes:
        """Return the model again, of so many bytes; errors as in `read_records`."""
        _require_size(size)
        self._coder.go_on(data, most=_answers(size))
        try:
            graph = self._graphs.code(None, self._words, most=_LONGER * size + _MORE)
            self._coder.finish()
        except (*_FAULTS, RecursionError) as error:
            raise damaged(f"cannot be read: {error}") from error
        if len(graph) != size:
            raise damaged(f"must unpack to {size} bytes")
        return graph

    def _told(self, text: str) -> None:
        lines = text[1:].split("\n")
        if len(lines) != len(_PATHS):
            raise ValueError("records must have three lines")
        short = text[0] == SHORT.decode()
        self._coder.bit(["first"], int(short))
        for path, line in zip(_PATHS, lines, strict=True):
            self._texts.text(path, parsed(line, tildes=short), most=_LONGER * len(line) + _MORE)
        self._words = _words(lines[0])


_PATHS = ("schema", "statistics", "lineage")


@cache
def _experienced() -> Small:
    """Return one that has seen the preset."""
    made = Small()
    for text, graph in preset():
        made.learn(text, graph)
    return made


def reader() -> Small:
    """Return what reads the records of a bundle and then its graph."""
    return Small(_experienced())


_known: OrderedDict[bytes, tuple[bytes, Small] | None] = OrderedDict()
_lock = threading.Lock()


def pack(text: bytes, graph: bytes, *, proven: bool) -> tuple[bytes, bytes] | None:
    """Return what records and a graph are told by; None where they are too large or not told.

    With ``proven`` both are read again and compared. Records are remembered, as the forms of a
    bundle have the same.
    """
    if max(len(text), len(graph)) > LARGEST:
        return None
    with _lock:
        tried, known = text in _known, _known.get(text)
    if not tried:
        known = _records(text)
        with _lock:
            _known[text] = known
            while len(_known) > _REMEMBERED:
                _known.popitem(last=False)
    if known is None:
        return None
    try:
        records, state = known
        data = Small(state).write_graph(graph)
        if proven:
            again = reader()
            again.read_records(records, len(text))
            if again.read_graph(data, len(graph)) != graph:
                return None
    except (*_FAULTS, BundleError, RecursionError):
        return None
    return records, data


def _records(text: bytes) -> tuple[bytes, Small] | None:
    """Return what records are told by, read again and compared, and what was seen by then."""
    made = reader()
    try:
        data = made.write_records(text)
        return (data, made) if reader().read_records(data, len(text)) == text else None
    except (*_FAULTS, BundleError, RecursionError):
        return None


def _answers(size: int) -> int:
    return _ANSWERS * size + _MORE


def _require_size(size: int) -> None:
    if size > LARGEST:
        raise damaged(f"must have at most {LARGEST} bytes")


def _words(schema: str) -> list[str]:
    """Return the words of a schema that its graph is likely to hold, in their order."""
    try:
        read = json.loads(re.sub(r"~(?=-?\d)", "", schema))
        names = [one["name"] for one in read["columns"] if one["role"] == "feature"]
        found = [*names, *read["classes"]]
        found += [word for one in read["columns"] for word in one["categories"]]
    except (*_FAULTS, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)]
