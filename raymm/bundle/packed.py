r"""The bundle and its file.

A bundle file is, in this order::

    8 bytes     b"raymm\x00\r\n"     so that a transfer as text is noticed
    4 bytes     format version, big-endian
    4 bytes     length of the manifest, big-endian
    manifest    JSON: {"parts": [{"name", "bytes", "packed", "sha256"}, …]}, sorted keys
    parts       one .xz stream each, in the manifest's order, with nothing between or after them

``bytes`` and ``packed`` are a part's size before and after compression; ``sha256`` is that of the
part before compression. The parts of version 1 are ``graph`` (a serialised ONNX model),
``schema``, ``statistics`` and ``lineage`` (JSON records). A ZIP file was not chosen because
Python's reader cannot bound what one read of an LZMA member unpacks to.

To raise the version: write the new number, keep the old reader, and add a file that it wrote to
the tests.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from raymm.artifacts import Lineage, Schema, Statistics, as_record, from_record
from raymm.bundle.safety import require_safe
from raymm.errors import BundleError

VERSION = 1
MAGIC = b"raymm\x00\r\n"
LARGEST_GRAPH = 1 << 30
LARGEST_RECORD = 64 << 20
LARGEST_MANIFEST = 1 << 16
_LIMITS = {
    "graph": LARGEST_GRAPH,
    "schema": LARGEST_RECORD,
    "statistics": LARGEST_RECORD,
    "lineage": LARGEST_RECORD,
}
_LATER = ("decision", "recipe")
"""Fields that came later are written where they say something, so older files replay the same."""
_MEMORY = 128 << 20
"""What the decoder may take for its dictionary; the preset in use needs 9 MB."""
_HEAD = struct.Struct(">8sII")
_DAMAGED = "Copy the file again, or take another version from the registry."

Made = TypeVar("Made")


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

    def to_bytes(self) -> bytes:
        """Return the bundle file; equal bundles give equal bytes."""
        parts = {
            "graph": self.graph,
            "schema": _write(self.schema),
            "statistics": _write(self.statistics),
            "lineage": _write(self.lineage),
        }
        packed = {name: _compress(part) for name, part in parts.items()}
        described = [
            {
                "name": name,
                "bytes": len(part),
                "packed": len(packed[name]),
                "sha256": hashlib.sha256(part).hexdigest(),
            }
            for name, part in parts.items()
        ]
        manifest = json.dumps({"parts": described}, sort_keys=True).encode()
        head = _HEAD.pack(MAGIC, VERSION, len(manifest))
        return b"".join([head, manifest, *packed.values()])

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
                f"{hashlib.sha256(data).hexdigest()}. {_DAMAGED}"
            )
        parts = _unpack(data)
        require_safe(parts["graph"])
        return cls(
            graph=parts["graph"],
            schema=_read(Schema, parts["schema"]),
            statistics=_read(Statistics, parts["statistics"]),
            lineage=_read(Lineage, parts["lineage"]),
        )


def _write(value: Any) -> bytes:
    record = as_record(value)
    for key in _LATER:
        if key in record and not record[key]:
            del record[key]
    return json.dumps(record, sort_keys=True, allow_nan=False).encode()


def _read(kind: type[Made], data: bytes) -> Made:
    try:
        record = json.loads(data)
        if not isinstance(record, dict):
            raise ValueError("it is not a mapping")
        return from_record(kind, record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(f"its {kind.__name__.lower()} cannot be read: {error}") from error


def _compress(part: bytes) -> bytes:
    return lzma.compress(part, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=6)


def _damaged(reason: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: {reason}. {_DAMAGED}")


def _unpack(data: bytes) -> dict[str, bytes]:
    """Return the parts by name, each checked against its size and hash."""
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
    if version < 1 or length > LARGEST_MANIFEST or _HEAD.size + length > len(data):
        raise _damaged(f"its head names version {version} and a manifest of {length} bytes")
    described = _manifest(data[_HEAD.size : _HEAD.size + length])
    parts: dict[str, bytes] = {}
    start = _HEAD.size + length
    for name, entry in described.items():
        end = start + entry["packed"]
        if end > len(data):
            raise _damaged(f"it ends within the part {name}")
        parts[name] = _decompress(memoryview(data)[start:end], name, entry)
        start = end
    if start != len(data):
        raise _damaged(f"{len(data) - start} bytes follow its last part")
    return parts


def _manifest(data: bytes) -> dict[str, Mapping[str, Any]]:
    try:
        entries = json.loads(data)["parts"]
        described = {entry["name"]: entry for entry in entries}
        sizes_known = all(
            type(entry[key]) is int and entry[key] >= 0
            for entry in entries
            for key in ("bytes", "packed")
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(f"its manifest cannot be read: {error!r}") from error
    if len(described) != len(entries) or set(described) != set(_LIMITS) or not sizes_known:
        raise _damaged(f"its manifest must name {', '.join(_LIMITS)} and their sizes")
    for name, entry in described.items():
        if entry["bytes"] > _LIMITS[name]:
            raise BundleError(
                f"the bundle's {name} must have at most {_LIMITS[name]} bytes, but its file "
                f"declares {entry['bytes']}. Compress the model, or raise the limit in "
                "raymm.bundle.packed."
            )
    return described


def _decompress(packed: memoryview, name: str, entry: Mapping[str, Any]) -> bytes:
    """Unpack one part without ever holding more than its declared size."""
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)
    size = entry["bytes"]
    try:
        part = decoder.decompress(packed, max_length=size + 1)
    except lzma.LZMAError as error:
        raise _damaged(f"its part {name} cannot be unpacked: {error}") from error
    if len(part) == size and not decoder.eof:
        try:
            part += decoder.decompress(b"", max_length=1)
        except (lzma.LZMAError, EOFError) as error:
            raise _damaged(f"its part {name} cannot be unpacked: {error}") from error
    if len(part) != size or not decoder.eof or decoder.unused_data:
        raise _damaged(f"its part {name} must unpack to {size} bytes")
    if hashlib.sha256(part).hexdigest() != entry.get("sha256"):
        raise _damaged(f"the hash of its part {name} differs from the manifest's")
    return part
