"""Reads the parts of bundle files of version 1.

The manifest is JSON: {"parts": [{"name", "bytes", "packed", "sha256"}, …]}, sorted keys. The parts
are one .xz stream each, in the manifest's order: ``graph`` (a serialised ONNX model), ``schema``,
``statistics`` and ``lineage`` (JSON records). ``bytes`` and ``packed`` are a part's size before
and after compression; ``sha256`` is that of the part before compression.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Mapping
from typing import Any

from raymm.bundle.parts import DAMAGED
from raymm.errors import BundleError

LARGEST_GRAPH = 1 << 30
LARGEST_RECORD = 64 << 20
_LIMITS = {
    "graph": LARGEST_GRAPH,
    "schema": LARGEST_RECORD,
    "statistics": LARGEST_RECORD,
    "lineage": LARGEST_RECORD,
}
_GROWTH, _GROWN = 512, 16 << 20
"""How many times as many bytes as it is packed in a part may have, and how many in any case."""
_MEMORY = 128 << 20
"""What the decoder may take for its dictionary; the preset in use needed 9 MB."""


def unpack(manifest: memoryview, rest: memoryview) -> tuple[bytes, list[Any]]:
    """Return the graph and the three records, each part checked against its size and hash.

    Raises
    ------
    BundleError
        When the manifest or a part is damaged, or larger than the limits of this module.
    """
    parts: dict[str, bytes] = {}
    start = 0
    for name, entry in _described(bytes(manifest)).items():
        end = start + entry["packed"]
        if end > len(rest):
            raise _damaged(f"it ends within the part {name}")
        parts[name] = _decompress(rest[start:end], name, entry)
        start = end
    if start != len(rest):
        raise _damaged(f"{len(rest) - start} bytes follow its last part")
    records = []
    for name in ("schema", "statistics", "lineage"):
        try:
            records.append(json.loads(parts[name]))
        except (ValueError, RecursionError) as error:
            raise _damaged(f"its {name} cannot be read: {error}") from error
    return parts["graph"], records


def _described(data: bytes) -> dict[str, Mapping[str, Any]]:
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
        limit = min(_LIMITS[name], max(_GROWN, _GROWTH * entry["packed"]))
        if entry["bytes"] > limit:
            raise BundleError(
                f"the bundle's {name} must have at most {limit} bytes, but its file "
                f"declares {entry['bytes']}. Compress the model, or raise the limit in "
                "raymm.bundle.version_1."
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


def _damaged(reason: str) -> BundleError:
    return BundleError(f"the bundle file is damaged: {reason}. {DAMAGED}")
