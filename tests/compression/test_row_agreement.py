from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from raymm.compression.agreement import require_agreement
from raymm.compression.quantize_rows import QuantizeRows
from raymm.compression.row_agreement import rows_apart
from raymm.errors import ParityError


@pytest.fixture(scope="module")
def small(dataset, trained):
    data = dataset("binary")
    bundle, _ = trained(data, "neighbors", rounds=1)
    return QuantizeRows().apply(bundle, {"bits": 6}, None), data.rows(data.test)


def test_rows_and_what_they_weigh_are_held_against_the_reference(small):
    bundle, tensors = small
    found = list(rows_apart(bundle, onnx.ModelProto.FromString(bundle.graph), tensors))
    assert [apart.shape for apart, _ in found] == [(300, 300), (300, 2)]
    assert all((apart <= bound).all() for apart, bound in found)
    assert require_agreement(bundle, tensors) > 0


def test_lengths_of_other_rows_than_those_compared_with_are_found(small):
    bundle, tensors = small
    model = onnx.ModelProto.FromString(bundle.graph)
    same = [node for node in model.graph.node if node.op_type == "Mul"]
    (square,) = [node for node in same if node.output[0].startswith("rows")][:1]
    assert square.input[0] == square.input[1]
    square.op_type = "Add"
    wrong = replace(bundle, graph=model.SerializeToString())
    with pytest.raises(ParityError, match="rows must add up"):
        require_agreement(wrong, tensors)


def test_rows_beyond_float32_are_left_out(small):
    bundle, tensors = small
    model = onnx.ModelProto.FromString(bundle.graph)
    some = {name: np.full(3, np.nan, np.float32) for name in tensors}
    assert all(np.isfinite(apart).all() for apart, _ in rows_apart(bundle, model, some))
