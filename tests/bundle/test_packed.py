from __future__ import annotations

import contextlib
import hashlib
import json
import lzma
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column, ColumnStatistics, Lineage, Schema, Statistics
from raymm.bundle import packed
from raymm.bundle.packed import MAGIC, VERSION, Bundle
from raymm.errors import BundleError
from raymm.onnx_builder import FLOAT, GraphBuilder


def _graph() -> bytes:
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    return builder.model([(x, "prediction", FLOAT, ["n", 1])]).SerializeToString()


BUNDLE = Bundle(
    graph=_graph(),
    schema=Schema(
        columns=(Column(name="x", kind="number", minimum=-1.5, example=2),),
        target="ü",
        task="regression",
    ),
    statistics=Statistics(
        rows=3,
        columns=(
            ColumnStatistics(
                name="x", kind="number", rows=3, missing=1, distinct=2, quantiles=(0.5, 1.5)
            ),
        ),
    ),
    lineage=Lineage(
        run="r", data_sha256="d", source="s", seed=7, ledger="l",
        configuration={"a": [1, None]}, trial={"b": 0.1}, packages={"numpy": "2"},
    ),
)  # fmt: skip
FILE = BUNDLE.to_bytes()


def repack(parts: dict[str, bytes], changes: dict[str, dict] | None = None, version=VERSION):
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
    head = MAGIC + struct.pack(">II", version, len(manifest))
    return head + manifest + b"".join(parts.values())


def parts_of(data: bytes) -> dict[str, bytes]:
    start = 16 + struct.unpack_from(">I", data, 12)[0]
    found = {}
    for entry in json.loads(data[16:start])["parts"]:
        found[entry["name"]] = data[start : start + entry["packed"]]
        start += entry["packed"]
    return found


PARTS = parts_of(FILE)


def test_a_bundle_comes_back_as_it_was_and_writes_the_same_bytes():
    assert Bundle.from_bytes(FILE) == BUNDLE
    assert Bundle.from_bytes(FILE).to_bytes() == FILE
    assert BUNDLE.sha256 == hashlib.sha256(FILE).hexdigest()
    assert Bundle.from_bytes(FILE, sha256=BUNDLE.sha256) == BUNDLE


def test_the_documented_layout_is_enough_to_read_the_graph():
    assert lzma.decompress(PARTS["graph"]) == BUNDLE.graph
    assert Bundle.from_bytes(repack(PARTS)) == BUNDLE


def test_the_hash_is_checked_before_anything_is_parsed(monkeypatch):
    monkeypatch.setattr(packed, "_unpack", lambda data: pytest.fail("parsed"))
    with pytest.raises(BundleError, match="SHA-256 must be"):
        Bundle.from_bytes(b"anything", sha256="0" * 64)


def test_a_newer_version_asks_for_a_newer_raymm():
    with pytest.raises(BundleError, match="Use a newer raymm"):
        Bundle.from_bytes(repack(PARTS, version=VERSION + 1))


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_an_error_or_changes_nothing(place, change):
    damaged = bytearray(FILE)
    damaged[place] ^= change
    with contextlib.suppress(BundleError):
        assert Bundle.from_bytes(bytes(damaged)) == BUNDLE


@given(st.integers(0, len(FILE) - 1))
@settings(max_examples=100, deadline=None)
def test_a_cut_file_is_an_error(length):
    with pytest.raises(BundleError, match="damaged"):
        Bundle.from_bytes(FILE[:length])


@given(st.binary(max_size=300), st.sampled_from([b"", FILE[:16], FILE[:200], FILE]))
@settings(max_examples=100, deadline=None)
def test_other_bytes_are_an_error(tail, start):
    if start + tail != FILE:
        with pytest.raises(BundleError):
            Bundle.from_bytes(start + tail)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "rule"), [({}, "at most"), ({"schema": {"bytes": 100}}, "must unpack to")]
)
def test_a_bomb_is_refused_without_being_unpacked(declared, rule):
    bomb = lzma.compress(bytes(packed.LARGEST_RECORD + 1), preset=0)
    data = repack({**PARTS, "schema": bomb}, declared)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=rule):
            Bundle.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < packed.LARGEST_RECORD / 4
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
