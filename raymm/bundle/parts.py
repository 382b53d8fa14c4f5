"""How the parts of a bundle file are packed: as they are, by LZMA, or by what all bundles share."""

from __future__ import annotations

import hashlib
import lzma
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence

from raymm.bundle.records import PHRASES
from raymm.errors import BundleError

STORED, DEFLATED, LZMA, CODED = range(4)
"""The last is of two parts together; see `raymm.bundle.small`."""
DAMAGED = "Copy the file again, or take another version from the registry."
_SMALL = 1 << 16
"""Bytes up to which every way is tried."""
_SAMPLE = 1 << 16
_LARGEST_DICTIONARY = 1 << 23
_PROPERTIES: dict[str, Sequence[tuple[int, int, int]]] = {
    "text": ((3, 0, 0), (2, 0, 0), (4, 0, 0)),
    "graph": ((3, 0, 0), (0, 0, 2), (3, 0, 2)),
    "bytes": ((0, 0, 0), (3, 0, 0)),
}
"""LZMA's lc, lp and pb by what is packed; the first where it is large."""


_REMEMBERED = 64 * 2**20
"""Bytes of large parts whose packing is remembered: a run packs most of them several times."""
_known: OrderedDict[bytes, tuple[int, int, bytes]] = OrderedDict()
_lock = threading.Lock()


def pack(part: bytes, what: str) -> tuple[int, int, bytes]:
    """Return the shortest packing that was found: its method, LZMA's properties, and the bytes.

    Parameters
    ----------
    part : bytes
    what : str
        "text", "graph" or "bytes"; decides what is tried.
    """
    if len(part) <= _SMALL:
        return _packed(part, what)
    key = hashlib.sha256(what.encode() + b" " + part).digest()
    with _lock:
        known = _known.get(key)
    if known is None:
        known = _packed(part, what)
        with _lock:
            _known[key] = known
            while sum(len(one[2]) for one in _known.values()) > _REMEMBERED and len(_known) > 1:
                _known.popitem(last=False)
    return known


def _packed(part: bytes, what: str) -> tuple[int, int, bytes]:
    made = [(len(part), STORED, 0, part)]
    small = len(part) <= _SMALL
    if small and what != "bytes":
        coder = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, PHRASES)
        data = coder.compress(part) + coder.flush()
        made.append((len(data), DEFLATED, 0, data))
    for lc, lp, pb in _PROPERTIES[what] if small else _PROPERTIES[what][:1]:
        if what == "bytes" and not _shrinks(part):
            continue
        properties = (pb * 5 + lp) * 9 + lc
        filters = _filters(properties, len(part), lzma.PRESET_EXTREME if small else 0)
        data = lzma.compress(part, format=lzma.FORMAT_RAW, filters=filters)
        made.append((len(data), LZMA, properties, data))
    _, method, properties, data = min(made, key=lambda one: one[:3])
    return method, properties, data


def unpack(packed: memoryview, size: int, method: int, properties: int, name: str) -> bytes:
    """Return a part, without ever holding more than its declared size.

    Raises
    ------
    BundleError
        When the bytes unpack to another size or not at all, or the method is not known.
    """
    damaged = f"the bundle file is damaged: its part {name} must unpack to {size} bytes. {DAMAGED}"
    if method == STORED:
        if len(packed) != size:
            raise BundleError(damaged)
        return bytes(packed)
    if method not in (DEFLATED, LZMA):
        raise BundleError(f"{damaged} (method {method} is not known)")
    try:
        if method == DEFLATED:
            inflater = zlib.decompressobj(-15, PHRASES)
            part = inflater.decompress(packed, size + 1)
            done = inflater.eof and not inflater.unused_data and not inflater.unconsumed_tail
        else:
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(properties, size))
            part = decoder.decompress(packed, max_length=size + 1)
            if len(part) == size and not decoder.eof:
                part += decoder.decompress(b"", max_length=1)
            done = decoder.eof and not decoder.unused_data
    except (lzma.LZMAError, zlib.error, EOFError, ValueError) as error:
        raise BundleError(f"{damaged} ({error})") from error
    if len(part) != size or not done:
        raise BundleError(damaged)
    return part


def _filters(properties: int, size: int, preset: int = 0) -> list[dict[str, int]]:
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    dictionary = min(max(1 << 12, 1 << max(size - 1, 1).bit_length()), _LARGEST_DICTIONARY)
    return [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 6 | preset,
            "lc": lc,
            "lp": lp,
            "pb": pb,
            "dict_size": dictionary,
        }
    ]


def _shrinks(part: bytes) -> bool:
    """Return whether some of it can be packed; the low bytes of most float32 numbers cannot."""
    middle = max(0, (len(part) - _SAMPLE) // 2)
    sample = part[middle : middle + _SAMPLE]
    return len(zlib.compress(sample, 1)) < 0.99 * len(sample)
