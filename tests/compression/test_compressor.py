from __future__ import annotations

import pytest

from raymm.compression.compressor import Compressor
from raymm.plugins import compressors


def test_a_technique_needs_both_methods():
    class Half(Compressor):
        def recipes(self, bundle):
            return ()

    with pytest.raises(TypeError, match="apply"):
        Half()


def test_rows_may_move_far_unless_a_technique_says_otherwise():
    assert [
        name
        for name in compressors.names()
        if compressors.get(name)().bounded_moves({"bits": 16, "size": 0.9, "keep": 0.9})
    ] == ["quantize", "quantize_network"]


def test_techniques_are_found_by_name():
    assert "truncate" in compressors.names()
