from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.bundle import parts
from raymm.bundle.parts import DEFLATED, LZMA, STORED, pack, unpack
from raymm.errors import BundleError

WHAT = ["text", "graph", "bytes"]


def back(part, what):
    method, properties, data = pack(part, what)
    assert unpack(memoryview(data), len(part), method, properties, "x") == part
    assert pack(part, what) == (method, properties, data)
    return method, len(data)


@given(st.binary(max_size=400), st.sampled_from(WHAT), st.integers(1, 30))
def test_parts_come_back(part, what, times):
    method, size = back(part * times, what)
    assert size <= len(part) * times
    assert (method == STORED) == (size == len(part) * times)


@pytest.mark.slow
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("length", [65_536, 65_537, 300_000])
def test_large_parts_come_back(what, length):
    part = np.random.default_rng(0).integers(0, 3, length).astype(np.uint8).tobytes()
    method, size = back(part, what)
    assert method == LZMA
    # log2(3) bits each, and what LZMA loses on bytes that repeat by chance.
    assert size < length * 1.585 / 8 * 1.25


def test_what_all_bundles_share_costs_little():
    text = b'{"categories":[],"example":null,"format":null,"kind":"text","maximum":null}'
    method, size = back(text, "text")
    assert method == DEFLATED
    assert size < 16


def test_what_cannot_shrink_is_not_tried():
    part = np.random.default_rng(0).bytes(100_000)
    assert back(part, "bytes") == (STORED, len(part))


@pytest.mark.slow
@pytest.mark.parametrize("method", [STORED, DEFLATED, LZMA, 3, 255])
@pytest.mark.parametrize("properties", [0, 93, 224, 225, 255])
@given(data=st.binary(max_size=60), size=st.integers(0, 2**32 - 1) | st.integers(0, 70))
def test_hostile_parts_are_an_error_or_of_their_size(method, properties, data, size):
    try:
        part = unpack(memoryview(data), size, method, properties, "x")
    except BundleError as error:
        part, message = None, str(error)
    if part is None:
        assert f"must unpack to {size} bytes" in message
    else:
        assert len(part) == size


def test_a_method_that_is_not_known_is_an_error():
    with pytest.raises(BundleError, match="method 3 is not known"):
        unpack(memoryview(b"abc"), 3, 3, 0, "trees")


def test_a_large_part_is_packed_once_and_the_oldest_are_forgotten(monkeypatch):
    packed = []
    real = parts._packed
    monkeypatch.setattr(
        parts, "_packed", lambda part, what: packed.append(what) or real(part, what)
    )
    monkeypatch.setattr(parts, "_known", OrderedDict())
    large = [np.random.default_rng(k).bytes(70_000) for k in range(2)]
    first = [pack(part, "graph") for part in large]
    assert [pack(part, "graph") for part in large] == first
    assert packed == ["graph"] * 2
    pack(large[0], "text")  # another way to pack is another matter
    assert packed == ["graph", "graph", "text"]
    monkeypatch.setattr(parts, "_REMEMBERED", 100_000)
    pack(large[1], "text")
    pack(large[0], "text")
    assert packed[3:] == ["text", "text"]
