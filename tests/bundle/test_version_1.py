from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle import version_1
from raymm.bundle.packed import MAGIC, Bundle
from raymm.errors import BundleError

FILE = (Path(__file__).parent / "version_1.raymm").read_bytes()
BUNDLE = Bundle.from_bytes(FILE)


def repack(parts: dict[str, bytes], changes: dict[str, dict] | None = None):
    """Write a file of these already packed parts, with changes to the manifest's entries."""
    entries = [
        {
            "name": name,
            "packed": len(part),
            "bytes": len(lzma.decompress(part)),
            "sha256": hashlib.sha256(lzma.decompress(part)).hexdigest(),
            **(changes or {}).get(name, {}),
        }
        for name, part in parts.items()
    ]
    manifest = json.dumps({"parts": entries}).encode()
    head = MAGIC + struct.pack(">II", 1, len(manifest))
    return head + manifest + b"".join(parts.values())


def parts_of(data: bytes) -> dict[str, bytes]:
    start = 16 + struct.unpack_from(">I", data, 12)[0]
    found = {}
    for entry in json.loads(data[16:start])["parts"]:
        found[entry["name"]] = data[start : start + entry["packed"]]
        start += entry["packed"]
    return found


PARTS = parts_of(FILE)


def test_the_documented_layout_is_enough_to_read_the_graph():
    assert lzma.decompress(PARTS["graph"]) == BUNDLE.graph
    assert Bundle.from_bytes(repack(PARTS)) == BUNDLE


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_is_an_error_or_changes_nothing(place, change):
    damaged = bytearray(FILE)
    damaged[place] ^= change
    with contextlib.suppress(BundleError):
        assert Bundle.from_bytes(bytes(damaged)) == BUNDLE


@given(st.integers(0, len(FILE) - 1))
@settings(max_examples=30, deadline=None)
def test_a_cut_file_is_an_error(length):
    with pytest.raises(BundleError, match="damaged"):
        Bundle.from_bytes(FILE[:length])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "rule"), [({}, "at most"), ({"schema": {"bytes": 100}}, "must unpack to")]
)
def test_a_bomb_is_refused_without_being_unpacked(declared, rule):
    bomb = lzma.compress(bytes(version_1.LARGEST_RECORD + 1), preset=0)
    data = repack({**PARTS, "schema": bomb}, declared)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=rule):
            Bundle.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < version_1.LARGEST_RECORD / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": {"bytes": -1}},
        {"schema": {"packed": "7"}},
        {"schema": {"bytes": True}},
        {"schema": {"name": "graph"}},
        {"schema": {"name": "other"}},
        {"schema": {"sha256": "0" * 64}},
        {"lineage": {"packed": 10**18}},
    ],
)
def test_a_manifest_that_lies_is_an_error(change):
    with pytest.raises(BundleError):
        Bundle.from_bytes(repack(PARTS, change))


@pytest.mark.parametrize("record", [b"[]", b"{}", b"nonsense", b'{"version": 99}', b"[" * 100_000])
def test_a_record_of_another_form_is_an_error(record):
    with pytest.raises(BundleError, match="schema cannot be read"):
        Bundle.from_bytes(repack({**PARTS, "schema": lzma.compress(record)}))


def test_an_unsafe_graph_is_refused():
    with pytest.raises(BundleError, match="graph"):
        Bundle.from_bytes(repack({**PARTS, "graph": lzma.compress(b"\xff\xff")}))
