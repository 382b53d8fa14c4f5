from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from raymm.bundle.bitwise_attributes import attribute, letters, parse, set_attributes
from raymm.errors import BundleError
from raymm.onnx_builder import add_attributes, make_node


def test_attributes_come_back():
    node = make_node("Any", ["x"], ["y"], f=0.1, i=-3, s="é", none=float("nan"), big=-np.inf)
    held = {
        "fs": np.array([0.1, np.nan, 1e-6], np.float32),
        "is": np.array([1, -(2**62)]),
        "ss": np.array([b"a", b""]),
    }
    add_attributes(node, held)
    told = json.loads(json.dumps({one.name: attribute(one) for one in node.attribute}))
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    set_attributes(made, told)
    assert made.SerializeToString(deterministic=True) == node.SerializeToString(deterministic=True)


def test_tensors_and_graphs_are_not_told():
    for value in (onnx.numpy_helper.from_array(np.zeros(3)), onnx.GraphProto()):
        with pytest.raises(ValueError, match="numbers or words"):
            attribute(onnx.helper.make_attribute("a", value))
    with pytest.raises(ValueError, match="utf-8"):
        attribute(onnx.helper.make_attribute("a", b"\xff"))


@pytest.mark.parametrize(
    "given", [[], {"a": 1}, {"a": []}, {"a": [1]}, {"a": [2, "x"]}, {"a": [9, 1]}, {"a": ["1", 1]}]
)
def test_others_are_an_error(given):
    with pytest.raises(BundleError, match="attribute"):
        set_attributes(onnx.NodeProto(), given)


def test_messages_come_back_from_letters():
    info = onnx.helper.make_tensor_value_info("x", 1, ["n", 1])
    made = onnx.ValueInfoProto()
    parse(made, letters(info))
    assert made == info
    for wrong in ("\x0a\xff", "ü€"):
        with pytest.raises(BundleError, match="no part of a graph"):
            parse(made, wrong)
