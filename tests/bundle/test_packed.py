from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import lzma
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.artifacts import Column, ColumnStatistics, Lineage, Schema, Statistics
from raymm.bundle import packed, small
from raymm.bundle.packed import MAGIC, VERSION, Bundle
from raymm.bundle.parts import DEFLATED, LZMA, STORED
from raymm.bundle.records import PHRASES
from raymm.bundle.run import Runner
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


def apart(bundle: Bundle) -> bytes:
    """Return its file with each part packed by itself, as those of larger bundles are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small, "SMALL", -1)
        return bundle.to_bytes()


FILE_APART = apart(BUNDLE)
HEAD, HASH, ENTRY = 16, 32, struct.Struct(">BBBII")


def parts_of(data: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """Return each part's kind, method, properties, size and packed bytes."""
    start = HEAD + struct.unpack_from(">I", data, 12)[0]
    found = []
    for kind, method, properties, size, packed_size in ENTRY.iter_unpack(data[HEAD + HASH : start]):
        found.append((kind, method, properties, size, data[start : start + packed_size]))
        start += packed_size
    return found


def repack(parts, version=VERSION) -> bytes:
    """Write a file of these parts; each may say more than its bytes do."""
    entries = b"".join(ENTRY.pack(*part[:4], len(part[4])) for part in parts)
    rest = entries + b"".join(part[4] for part in parts)
    head = MAGIC + struct.pack(">II", version, HASH + len(entries))
    return head + hashlib.sha256(rest).digest() + rest


PARTS = parts_of(FILE_APART)


@pytest.fixture(scope="module")
def version_1() -> bytes:
    return (Path(__file__).parent / "version_1.raymm").read_bytes()


@pytest.fixture(scope="module")
def trees_bundle(version_1) -> Bundle:
    return Bundle.from_bytes(version_1)


@pytest.fixture(scope="module")
def trees_files(trees_bundle) -> dict[str, bytes]:
    return {"apart": apart(trees_bundle), "together": trees_bundle.to_bytes()}


@pytest.fixture(scope="module")
def trees_file(trees_files) -> bytes:
    return trees_files["apart"]


def stored(kind: int, part: bytes) -> tuple[int, int, int, int, bytes]:
    return (kind, STORED, 0, len(part), part)


def with_records(text: bytes) -> bytes:
    return repack([stored(packed.RECORDS, text), *PARTS[1:]])


def test_a_bundle_comes_back_as_it_was_and_writes_the_same_bytes():
    assert Bundle.from_bytes(FILE) == BUNDLE
    assert Bundle.from_bytes(FILE).to_bytes() == FILE
    assert Bundle.from_bytes(FILE_APART) == BUNDLE
    assert BUNDLE.sha256 == hashlib.sha256(FILE).hexdigest()
    assert Bundle.from_bytes(FILE, sha256=BUNDLE.sha256) == BUNDLE


def test_the_documented_layout_is_enough_to_read_the_file():
    assert repack(PARTS) == FILE_APART
    (_, method, _, size, data), (_, _, _, _, graph) = PARTS
    assert method == DEFLATED
    text = zlib.decompressobj(-15, PHRASES).decompress(data)
    assert len(text) == size
    assert text[:1] == b"~"
    assert [json.loads(line)["version"] for line in text[1:].decode().split("\n")] == [1, 1, 1]
    whole = repack([PARTS[0], stored(packed.SKELETON, BUNDLE.graph)])
    assert Bundle.from_bytes(whole) == BUNDLE
    assert len(whole) > len(FILE_APART) > len(FILE) > len(graph)


def test_the_plain_size_is_that_of_the_graph_and_the_records_unpacked(trees_bundle):
    data = trees_bundle.to_bytes()
    records = parts_of(data)[0][3]
    assert trees_bundle.plain_bytes == records + len(trees_bundle.graph)
    assert trees_bundle.plain_bytes > 2 * len(data)


def test_a_bundle_of_trees_comes_back_and_is_small(trees_bundle):
    data = trees_bundle.to_bytes()
    kinds = [part[0] for part in parts_of(data)]
    assert kinds == [packed.RECORDS, packed.SKELETON, packed.TREES]
    assert Bundle.from_bytes(data) == trees_bundle
    assert len(parts_of(data)[2][4]) < 0.75 * len(lzma.compress(trees_bundle.graph))


def test_the_hash_is_checked_before_anything_is_parsed(monkeypatch):
    monkeypatch.setattr(packed, "_unpack", lambda data: pytest.fail("parsed"))
    with pytest.raises(BundleError, match="SHA-256 must be"):
        Bundle.from_bytes(b"anything", sha256="0" * 64)


def test_the_manifest_holds_a_hash_of_what_is_stored(monkeypatch):
    monkeypatch.setattr(packed, "unpack", lambda *_: pytest.fail("unpacked"))
    damaged = bytearray(FILE)
    damaged[-1] ^= 1
    with pytest.raises(BundleError, match="hash differs"):
        Bundle.from_bytes(bytes(damaged))


def test_a_newer_version_asks_for_a_newer_raymm():
    with pytest.raises(BundleError, match="Use a newer raymm"):
        Bundle.from_bytes(repack(PARTS, version=VERSION + 1))


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_changed_byte_is_an_error(place, change):
    damaged = bytearray(FILE)
    damaged[place] ^= change
    with pytest.raises(BundleError):
        Bundle.from_bytes(bytes(damaged))


@given(st.integers(0, len(FILE) - 1))
@settings(max_examples=100, deadline=None)
def test_a_cut_file_is_an_error(length):
    with pytest.raises(BundleError, match="damaged"):
        Bundle.from_bytes(FILE[:length])


@given(st.binary(max_size=300), st.sampled_from([b"", FILE[:16], FILE[:100], FILE]))
@settings(max_examples=100, deadline=None)
def test_other_bytes_are_an_error(tail, start):
    if start + tail != FILE:
        with pytest.raises(BundleError):
            Bundle.from_bytes(start + tail)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["apart", "together"])
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_hostile_parts_with_a_fitting_hash_are_an_error_or_a_bundle(trees_files, how, data):
    """The hash keeps out accidents only; whoever makes a file makes its hash too."""
    parts = parts_of(trees_files[how])
    number = data.draw(st.integers(0, len(parts) - 1))
    kind, method, properties, size, part = parts[number]
    changed = bytearray(part)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    parts[number] = (
        data.draw(st.just(kind) | st.integers(0, 5)),
        data.draw(st.just(method) | st.integers(0, 5)),
        data.draw(st.just(properties) | st.integers(0, 255)),
        data.draw(st.just(size) | st.integers(0, 2**32 - 1)),
        bytes(changed),
    )
    with contextlib.suppress(BundleError):
        Bundle.from_bytes(repack(parts))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "rule"), [(1 << 32 - 1, "at most"), (100, "must unpack to")])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("method", [DEFLATED, LZMA])
def test_a_bomb_is_refused_without_being_unpacked(trees_file, number, size, rule, method):
    zeros = bytes(64 << 20)
    bomb = zlib.compress(zeros, 9, -15)
    if method == LZMA:
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
        bomb = lzma.compress(zeros, format=lzma.FORMAT_RAW, filters=filters)
    parts = parts_of(trees_file)
    parts[number] = (parts[number][0], method, 93, size, bomb)
    data = repack(parts)
    del zeros
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=rule):
            Bundle.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "parts",
    [
        [],
        PARTS[:1],
        PARTS[1:],
        [PARTS[1], PARTS[0]],
        [PARTS[0], *PARTS],
        [*PARTS, PARTS[1]],
        [*PARTS, stored(packed.TREES, b"")],
        [*PARTS, *[stored(packed.PLANE, b"1234")] * 4],
        [*PARTS, *[stored(packed.PLANE, b"1234")] * 5],
        [*PARTS, stored(9, b"")],
    ],
)
def test_parts_that_do_not_belong_together_are_an_error(parts):
    with pytest.raises(BundleError):
        Bundle.from_bytes(repack(parts))


@pytest.mark.parametrize("record", [b"[]", b"{}", b"nonsense", b'{"version": 99}', b"[" * 100_000])
@pytest.mark.parametrize("first", [b"=", b"~", b""])
def test_records_of_another_form_are_an_error(first, record):
    with pytest.raises(BundleError, match=r"cannot be read|three records"):
        Bundle.from_bytes(with_records(first + b"\n".join([record] * 3)))


def test_an_unsafe_graph_is_refused():
    with pytest.raises(BundleError, match="graph"):
        Bundle.from_bytes(repack([PARTS[0], stored(packed.SKELETON, b"\xff\xff")]))


@pytest.mark.parametrize("version", [2, 3, 4])
def test_files_of_later_versions_still_load(version, trees_bundle):
    data = (Path(__file__).parent / f"version_{version}.raymm").read_bytes()
    assert struct.unpack_from(">I", data, 8)[0] == version
    assert Bundle.from_bytes(data) == trees_bundle


def test_a_file_of_version_1_still_loads(version_1):
    bundle = Bundle.from_bytes(version_1)
    assert bundle.schema.classes == ("a", "b", "c")
    data = bundle.to_bytes()
    assert Bundle.from_bytes(data) == bundle
    assert len(data) < 0.7 * len(version_1)
    # What raymm predicted with it when it was written.
    rows = {
        "f0": [0.1257302165031433, -0.13210485875606537, 0.6404226422309875],
        "f1": [-0.6635351777076721, -0.6134178638458252, -1.6051493883132935],
        "f2": [-0.3604401648044586, 0.5835341215133667, -1.4385226964950562],
        "f3": [-1.156830072402954, -1.3648796081542969, -0.23122593760490417],
    }
    predicted = Runner(bundle).predict({n: np.array(v, np.float32) for n, v in rows.items()})
    expected = [[0.32635933, 0.37505317], [0.40379342, 0.29046181], [0.2516343, 0.20009628]]
    assert np.allclose(predicted[:, :2], expected, atol=1e-6)


def test_a_small_file_unpacks_to_little():
    """150 kB of LZMA may hold a gigabyte of zeros."""
    size = packed.GROWN + 1
    kind, _, _, _, graph = PARTS[1]
    bomb = repack([PARTS[0], (kind, LZMA, 93, size, graph)])
    with pytest.raises(BundleError, match=f"at most {packed.GROWN} bytes, but its file declares"):
        Bundle.from_bytes(bomb)
    assert packed.grown(10**5) == packed.GROWTH * 10**5
    assert packed.grown(10**9) == packed.LARGEST_GRAPH


def test_a_graph_that_packs_beyond_that_is_stored(monkeypatch):
    builder = GraphBuilder()
    x = builder.input("x", FLOAT)
    zeros = builder.node("Add", [x, builder.constant(np.zeros((1, 60_000)))])
    first = builder.node("ReduceSum", [zeros, builder.constant([1], np.int64)], keepdims=1)
    graph = builder.model([(first, "prediction", FLOAT, ["n", 1])]).SerializeToString()
    bundle = dataclasses.replace(BUNDLE, graph=graph)
    assert len(bundle.to_bytes()) < 5_000
    monkeypatch.setattr(packed, "GROWTH", 8)
    monkeypatch.setattr(packed, "GROWN", 1000)
    data = bundle.to_bytes()
    assert len(data) > 200_000
    assert Bundle.from_bytes(data) == bundle


def wide(columns):
    """Return a bundle of a table of so many columns, as their statistics are."""
    one = ColumnStatistics(
        name="x",
        kind="number",
        rows=300,
        missing=1,
        distinct=200,
        mean=1.5,
        deviation=2.5,
        quantiles=(0.5,) * 9,
        edges=(0.25,) * 11,
        counts=(30,) * 12,
    )
    statistics = Statistics(rows=300, columns=(one,) * columns)
    column = Column(name="x", kind="number", minimum=-1.5, example=2)
    schema = dataclasses.replace(BUNDLE.schema, columns=(column,) * columns)
    return dataclasses.replace(BUNDLE, statistics=statistics, schema=schema)


@pytest.mark.long
def test_a_table_of_8_000_columns_is_written_and_read():
    bundle = wide(8_000)
    assert Bundle.from_bytes(bundle.to_bytes()) == bundle


def test_what_would_not_be_read_is_not_written(monkeypatch):
    bundle = wide(100)
    assert Bundle.from_bytes(bundle.to_bytes()) == bundle
    monkeypatch.setattr(packed, "LARGEST_VALUES", 3000)
    with pytest.raises(BundleError, match=r"at most 3,000 values.*data\.exclude"):
        bundle.to_bytes()
    monkeypatch.setattr(packed, "LARGEST_RECORDS", 1000)
    for how in ({}, {"proven": False}):
        with pytest.raises(BundleError, match="records must have at most 1000 bytes"):
            bundle.to_bytes(**how)
    monkeypatch.setattr(packed, "LARGEST_MANIFEST", 32 + 2 * 11)
    with pytest.raises(BundleError, match="at most 2 parts"):
        packed._require_values(b"", 3)
