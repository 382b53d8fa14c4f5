r"""The bundle and its file.

A bundle file is, in this order::

    8 bytes     b"raymm\x00\r\n"     so that a transfer as text is noticed
    4 bytes     format version, big-endian
    4 bytes     length of the manifest, big-endian
    manifest    the SHA-256 of what follows it, and what each part is
    parts       in the manifest's order, with nothing between or after them

``docs/bundle.md`` tells the rest byte by byte. Trees, tensors and records are each packed in the
way that suits them, which for trees is a third smaller than .xz of the graph. What a graph's parts
make together is compared with it before they are written; a graph that they do not make is stored
whole. A ZIP file was not chosen because Python's reader cannot bound what one read of an LZMA
member unpacks to.

Version 3 had no small bundles whose records and graph are told together (`raymm.bundle.small`), and
version 2 no trees that mixtures tell what to expect of (`raymm.bundle.mixing`); each part says how
it is packed, so the same code reads all three. Version 1 had a JSON manifest and one .xz stream
each for the graph and the three records; `raymm.bundle.version_1` reads it. To raise the version:
write the new number, keep the old reader, and add a file that it wrote to the tests.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from raymm.artifacts import Lineage, Schema, Statistics, as_record, from_record
from raymm.bundle import small, version_1
from raymm.bundle.folding import Folded, fold, unfold
from raymm.bundle.parts import CODED, DAMAGED, STORED, pack, unpack
from raymm.bundle.records import LARGEST_VALUES, from_text, to_text, values
from raymm.bundle.safety import require_safe
from raymm.errors import BundleError

VERSION = 4
MAGIC = b"raymm\x00\r\n"
LARGEST_GRAPH = 1 << 30
"""Bytes of all parts of the graph, unpacked."""
GROWTH, GROWN = 512, 16 << 20
"""How many times as many bytes as its file a graph may have, unpacked, and how many in any case: a
small file is not to take much memory before anybody has looked at what it unpacks to."""
LARGEST_RECORDS = 64 << 20
LARGEST_MANIFEST = 1 << 16
RECORDS, SKELETON, PLANE, TREES = range(4)
_NAMES = ("records", "graph", "tensors", "trees")
_KINDS = ("text", "graph", "bytes", "bytes")
"""How each kind of part is packed; see `raymm.bundle.parts.pack`."""
_LATER = ("decision", "recipe")
"""Fields that came later are written where they say something, so older files replay the same."""
_HEAD = struct.Struct(">8sII")
_ENTRY = struct.Struct(">BBBII")
"""Kind, method, LZMA's properties, bytes, packed bytes."""
_HASH = 32
_WORTH = 0.8
"""Share of its bytes that a bundle has at most where it is told answer by answer."""

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Part:
    """A part as it stands in a file."""

    kind: int
    method: int
    properties: int
    size: int
    data: bytes

    @property
    def entry(self) -> bytes:
        """What the manifest says of it."""
        return _ENTRY.pack(self.kind, self.method, self.properties, self.size, len(self.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A served model: its graph and what is known about it.

    Attributes
    ----------
    graph : bytes
        A serialised ONNX model with the inputs and outputs of `raymm.bundle.graph.to_graph`.
    statistics : Statistics
        Of the training data, as the reference for drift.
    """

    graph: bytes
    schema: Schema
    statistics: Statistics
    lineage: Lineage

    def to_bytes(self, *, proven: bool = True) -> bytes:
        """Return the bundle file; equal bundles give equal bytes.

        Without ``proven`` nobody has seen that it unpacks to the same graph: good for its size.

        Raises
        ------
        BundleError
            When it would be larger than `from_bytes` reads.
        """
        text = to_text(self._records())
        parts = _packed(text, fold(self.graph, proven=proven))
        taken = sum(len(one.data) for one in parts)
        if taken <= small.SMALL:
            told = _told(text, fold(self.graph, proven=proven, planes=False), proven=proven)
            if told and sum(len(one.data) for one in told) < _WORTH * taken:
                parts = told
        sizes = [one.size for one in parts]
        _require_sizes(sizes, [len(one.data) for one in parts])
        _require_values(text, len(parts))
        rest = b"".join([*(one.entry for one in parts), *(one.data for one in parts)])
        manifest = _HASH + len(parts) * _ENTRY.size
        return _HEAD.pack(MAGIC, VERSION, manifest) + hashlib.sha256(rest).digest() + rest

    @property
    def plain_bytes(self) -> int:
        """What the file would take with nothing packed: the graph and the records as they are."""
        return len(self.graph) + len(to_text(self._records()))

    def _records(self) -> list[Any]:
        return [_record(value) for value in (self.schema, self.statistics, self.lineage)]

    @property
    def sha256(self) -> str:
        """The hash of the bundle file, as 64 hexadecimal digits; packs the bundle to find it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes, *, sha256: str | None = None) -> Bundle:
        """Read a bundle file.

        Parameters
        ----------
        data : bytes
        sha256 : str, optional
            What the file's hash must be; checked before anything is parsed.

        Raises
        ------
        BundleError
            When the hash differs; the file is damaged, cut, larger than the limits of this
            module, or of a newer format; or the graph is refused by
            `raymm.bundle.safety.require_safe`.
        """
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256.lower():
            raise BundleError(
                f"the bundle's SHA-256 must be {sha256}, but it is "
                f"{hashlib.sha256(data).hexdigest()}. {DAMAGED}"
            )
        graph, records = _unpack(data)
        require_safe(graph)
        schema, statistics, lineage = records
        return cls(
            graph=graph,
            schema=_read(Schema, schema),
            statistics=_read(Statistics, statistics),
            lineage=_read(Lineage, lineage),
        )


def grown(packed: int) -> int:
    """Return how many bytes a graph may unpack to from so many packed ones."""
    return min(LARGEST_GRAPH, max(GROWN, GROWTH * packed))


def _record(value: Any) -> dict[str, Any]:
    record: dict[str, Any] = as_record(value)
    return {key: item for key, item in record.items() if key not in _LATER or item}


def _read(kind: type[Made], record: Any) -> Made:
    try:
        if not isinstance(record, dict):
            raise ValueError("it is not a mapping")
        return from_record(kind, record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(f"its {kind.__name__.lower()} cannot be read: {error}") from error


def _damaged(reason: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: {reason}. {DAMAGED}")


def _packed(text: bytes, folded: Folded) -> list[_Part]:
    """Return all parts, each packed by itself, or none where that would exceed the limits."""
    parts = [(RECORDS, text), (SKELETON, folded.skeleton)]
    parts += [(PLANE, plane) for plane in folded.planes]
    parts += [(TREES, trees) for trees in folded.trees]
    packed = [_Part(kind, *_one(part, kind)) for kind, part in parts]
    sizes = [one.size for one in packed]
    if any(size > limit for _, size, limit in _limits(sizes, [len(one.data) for one in packed])):
        return [_Part(kind, STORED, 0, len(part), part) for kind, part in parts]
    return packed


def _one(part: bytes, kind: int) -> tuple[int, int, int, bytes]:
    method, properties, data = pack(part, _KINDS[kind])
    return method, properties, len(part), data


def _told(text: bytes, folded: Folded, *, proven: bool) -> list[_Part] | None:
    """Return all parts with records and graph told together; None where these cannot be."""
    if folded.planes:
        return None
    told = small.pack(text, folded.skeleton, proven=proven)
    if told is None:
        return None
    return [
        _Part(RECORDS, CODED, 0, len(text), told[0]),
        _Part(SKELETON, CODED, 0, len(folded.skeleton), told[1]),
        *(_Part(TREES, *_one(trees, TREES)) for trees in folded.trees),
    ]


def _unpack(data: bytes) -> tuple[bytes, Sequence[Any]]:
    """Return the graph and the three records, each part checked against its size and hash."""
    if len(data) < _HEAD.size:
        raise _damaged(f"it must have at least {_HEAD.size} bytes, but has {len(data)}")
    magic, version, length = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise _damaged(f"it must begin with {MAGIC!r}, but begins with {magic!r}")
    if version > VERSION:
        raise BundleError(
            f"the bundle file has format version {version}, and this raymm reads versions up to "
            f"{VERSION}. Use a newer raymm."
        )
    start = _HEAD.size + length
    if version < 1 or length > LARGEST_MANIFEST or start > len(data):
        raise _damaged(f"its head names version {version} and a manifest of {length} bytes")
    manifest, rest = memoryview(data)[_HEAD.size : start], memoryview(data)[start:]
    if version == 1:
        return version_1.unpack(manifest, rest)
    if length < _HASH or hashlib.sha256(data[_HEAD.size + _HASH :]).digest() != manifest[:_HASH]:
        raise _damaged("its hash differs from the manifest's")
    return _put_together(list(_parts(manifest[_HASH:], rest)))


def _parts(manifest: memoryview, rest: memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the bytes of each part; sizes are bounded before any is unpacked."""
    if len(manifest) % _ENTRY.size:
        raise _damaged("its manifest must have whole entries")
    entries = list(_ENTRY.iter_unpack(manifest))
    kinds = [entry[0] for entry in entries]
    if kinds[:2] != [RECORDS, SKELETON] or not {*kinds[2:]} <= {PLANE, TREES}:
        raise _damaged("its manifest must name records, a graph, and what belongs to it")
    _require_sizes([entry[3] for entry in entries], [entry[4] for entry in entries])
    if sum(entry[4] for entry in entries) != len(rest):
        raise _damaged(f"its parts must have {len(rest)} bytes")
    start = 0
    coded = [entry[1] == CODED for entry in entries]
    reader = small.reader() if all(coded[:2]) and not any(coded[2:]) else None
    for kind, method, properties, size, packed in entries:
        part = rest[start : start + packed]
        if method == CODED and reader is not None:
            read = reader.read_records if kind == RECORDS else reader.read_graph
            yield kind, read(bytes(part), size)
        else:
            yield kind, unpack(part, size, method, properties, _NAMES[kind])
        start += packed


def _limits(sizes: Sequence[int], packed: Sequence[int]) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and limit of what is unpacked; the part of the records comes first."""
    records = min(LARGEST_RECORDS, max(GROWN, GROWTH * packed[0]))
    return ("records", sizes[0], records), ("graph", sum(sizes[1:]), grown(sum(packed)))


def _require_sizes(sizes: Sequence[int], packed: Sequence[int]) -> None:
    """Hold the parts' bytes to the limits of this module."""
    for name, size, limit in _limits(sizes, packed):
        if size > limit:
            raise BundleError(
                f"the bundle's {name} must have at most {limit} bytes, but its file declares "
                f"{size}. Compress the model, or raise the limit in raymm.bundle.packed."
            )


def _require_values(text: bytes, parts: int) -> None:
    """Hold the records' values and the number of parts to what `from_bytes` reads."""
    count = values(text)
    if count > LARGEST_VALUES:
        raise BundleError(
            f"the bundle's records must have at most {LARGEST_VALUES:,} values, but have "
            f"{count:,}: about 57 a column. Leave columns out with data.exclude."
        )
    most = (LARGEST_MANIFEST - _HASH) // _ENTRY.size
    if parts > most:
        raise BundleError(
            f"the bundle must have at most {most:,} parts, one a set of trees, but has {parts:,}. "
            "Mix fewer models: set search.ensemble lower."
        )


def _put_together(parts: Sequence[tuple[int, bytes]]) -> tuple[bytes, Sequence[Any]]:
    def of(kind: int) -> tuple[bytes, ...]:
        return tuple(part for other, part in parts if other == kind)

    try:
        records = from_text(of(RECORDS)[0])
    except (ValueError, RecursionError) as error:
        raise _damaged(f"its records cannot be read: {error}") from error
    if len(records) != 3:
        raise _damaged(f"it must have three records, but has {len(records)}")
    folded = Folded(skeleton=of(SKELETON)[0], trees=of(TREES), planes=of(PLANE))
    return unfold(folded), records
