from __future__ import annotations

import hashlib

import onnx

from raymm.bundle.records import from_text
from raymm.bundle.small_preset import preset


def test_the_preset_is_part_of_the_format():
    """Files are read with the very preset that they were written with: another needs a version."""
    found = hashlib.sha256(repr(preset()).encode()).hexdigest()
    assert found == "e01644581ec39dc1cac440b792218baa8262555b99c2123bafb8692274044aac"


def test_it_holds_records_and_graphs():
    for text, graph in preset():
        assert len(from_text(text.encode())) == 3
        assert onnx.ModelProto.FromString(graph).graph.node
