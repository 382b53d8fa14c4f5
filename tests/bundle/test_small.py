from __future__ import annotations

import contextlib
import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raymm.bundle import packed, small
from raymm.bundle.bitwise import Coder
from raymm.bundle.packed import Bundle
from raymm.bundle.parts import CODED
from raymm.bundle.records import to_text
from raymm.errors import BundleError

BUNDLE = Bundle.from_bytes((Path(__file__).parent / "version_3.raymm").read_bytes())
TEXT = to_text(BUNDLE._records())


@pytest.fixture(scope="module")
def told():
    graph = packed.fold(BUNDLE.graph, planes=False).skeleton
    return graph, small.pack(TEXT, graph, proven=True)


def test_records_and_graph_come_back_and_take_a_third(told):
    graph, (records, data) = told
    reader = small.reader()
    assert reader.read_records(records, len(TEXT)) == TEXT
    assert reader.read_graph(data, len(graph)) == graph
    apart = [len(packed._one(TEXT, packed.RECORDS)[3]), len(packed._one(graph, packed.SKELETON)[3])]
    assert len(records) + len(data) < 0.5 * sum(apart)
    assert small.pack(TEXT, graph, proven=False) == (records, data)


def test_a_small_bundle_is_written_so_and_a_larger_one_is_not(monkeypatch):
    file = BUNDLE.to_bytes()
    entries = list(
        struct.iter_unpack(">BBBII", file[48 : 16 + struct.unpack_from(">I", file, 12)[0]])
    )
    assert [entry[1] == CODED for entry in entries] == [True, True, *[False] * (len(entries) - 2)]
    assert Bundle.from_bytes(file) == BUNDLE
    monkeypatch.setattr(small, "SMALL", 10)
    plain = BUNDLE.to_bytes()
    assert len(plain) > len(file)
    assert Bundle.from_bytes(plain) == BUNDLE
    monkeypatch.setattr(small, "LARGEST", 10)
    assert small.pack(TEXT, b"", proven=True) is None


@pytest.mark.parametrize(
    "text",
    [
        b"~{}\n{}\n{}",
        b'={"a":[1,{"b":"\\u00fc"}]}\n[]\n"x"',
        b'=1.5\n0.1\n{"":-0.0}',
        b"~[~1e-05,~-2.5e+20,1e-05]\n~1e-40\n~0.1",
        b'={"a~5":"~1.5e3"}\n[]\n0.1',
    ],
)
def test_any_three_texts_come_back(text):
    data = small.reader().write_records(text)
    assert small.reader().read_records(data, len(text)) == text
    assert small.pack(text, b"\xff", proven=True) is None  # of no graph


def test_texts_of_other_lines_are_not_told():
    for text in (b"~{}", b"~{}\n{}", b"~{}\n{}\nnonsense", b"~[\n{}\n{}"):
        assert small.pack(text, BUNDLE.graph, proven=True) is None


def test_what_declares_another_size_is_an_error(told):
    graph, (records, data) = told
    for size in (len(TEXT) - 1, len(TEXT) + 1, small.LARGEST + 1):
        with pytest.raises(BundleError, match="damaged"):
            small.reader().read_records(records, size)
    for size in (len(graph) - 1, len(graph) + 1, 0, small.LARGEST + 1):
        reader = small.reader()
        reader.read_records(records, len(TEXT))
        with pytest.raises(BundleError, match="damaged"):
            reader.read_graph(data, size)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_hostile_bytes_are_an_error_or_of_the_declared_size(told, data):
    graph, (records, part) = told
    changed = [bytearray(records), bytearray(part)]
    which = changed[data.draw(st.integers(0, 1))]
    which[data.draw(st.integers(0, len(which) - 1))] ^= data.draw(st.integers(1, 255))
    reader = small.reader()
    with contextlib.suppress(BundleError):
        assert len(reader.read_records(bytes(changed[0]), len(TEXT))) == len(TEXT)
        assert len(reader.read_graph(bytes(changed[1]), len(graph))) == len(graph)


@given(
    st.sampled_from([0, 1]),
    st.integers(0, 200),
    st.binary(max_size=40),
    st.sampled_from([-1, 0, 100, small.LARGEST]),
)
@settings(max_examples=40, deadline=None)
def test_a_hostile_file_whose_hash_fits_is_an_error_or_a_bundle(which, place, bytes_, size):
    file = BUNDLE.to_bytes()
    start = 16 + struct.unpack_from(">I", file, 12)[0]
    entries = [[*one] for one in struct.iter_unpack(">BBBII", file[48:start])]
    parts = []
    for entry in entries:
        parts.append(file[start : start + entry[4]])
        start += entry[4]
    parts[which] = parts[which][:place] + bytes_
    entries[which][3:] = entries[which][3] if size < 0 else size, len(parts[which])
    rest = b"".join([*(struct.pack(">BBBII", *one) for one in entries), *parts])
    with contextlib.suppress(BundleError):
        Bundle.from_bytes(file[:16] + hashlib.sha256(rest).digest() + rest)


def test_parts_are_told_together_or_not_at_all(told):
    records = told[1][0]
    with pytest.raises(BundleError, match="method 3 is not known"):
        packed.unpack(memoryview(records), len(TEXT), CODED, 0, "records")


def test_the_page_names_every_context(monkeypatch):
    """A reader can be written from it: by what is asked first, and by how many contexts."""
    page = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text(encoding="utf-8")
    page = page[page.index("### Contexts") : page.index("## Version 3")]
    asked, bit = set(), Coder.bit

    def noted(self, contexts, told=None):
        asked.update(map(_label, contexts))
        return bit(self, contexts, told)

    monkeypatch.setattr(Coder, "bit", noted)
    for name in ("version_3.raymm", "version_4.raymm"):
        bundle = Bundle.from_bytes((Path(__file__).parent / name).read_bytes())
        made = small.Small()
        made.write_records(to_text(bundle._records()))
        made.write_graph(packed.fold(bundle.graph, planes=False).skeleton)
    assert {"hit", "letter", "same node", "how", "numbers", "exponent"} <= asked
    assert {one for one in asked if f"`{one}`" not in page} == set()


def _label(context):
    while isinstance(context, tuple):
        context = context[0]
    return context
