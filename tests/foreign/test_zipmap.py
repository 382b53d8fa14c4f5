"""What skl2onnx makes of a classifier by default is read as what it makes when asked not to."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from raymm.bundle.run import Runner
from raymm.foreign.bundling import bundle_of, dataset_of
from raymm.foreign.reading import read
from raymm.foreign.zipmap import plain
from tests.foreign.test_graphs import X, graph, shares, table


def zipped(path, classes):
    """Let a graph of shares end as skl2onnx ends them: labels, and a mapping for each row."""
    raw = graph(path, len(classes), end=("Softmax",))
    model = onnx.load(path)
    shared = model.graph.output[0].name
    words = {} if isinstance(classes[0], int) else {"classlabels_strings": list(classes)}
    model.graph.node.extend([
        helper.make_node("ArgMax", [shared], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", [shared], ["maps"], domain="ai.onnx.ml",
                         **(words or {"classlabels_int64s": list(classes)})),
    ])  # fmt: skip
    model.opset_import.extend([helper.make_opsetid("ai.onnx.ml", 1)])
    del model.graph.output[:]
    key = TensorProto.INT64 if not words else TensorProto.STRING
    value = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(key, value))
    model.graph.output.extend([
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_value_info("maps", kind),
    ])  # fmt: skip
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return raw


@pytest.mark.parametrize("classes", [(0, 1, 2), ("0", "1", "2"), (0, 1)])
def test_a_classifier_that_ends_in_a_mapping_is_taken_over(tmp_path, classes):
    raw = zipped(tmp_path / "m.onnx", classes)
    foreign = read(str(tmp_path / "m.onnx"))
    assert foreign.facts.classes == len(classes)
    assert foreign.facts.bytes == (tmp_path / "m.onnx").stat().st_size
    data, _ = dataset_of(foreign, table(raw), "y", seed=0)
    bundle, notes = bundle_of(foreign, data)
    assert notes == ()
    tensors = {name: X[:, place] for place, name in enumerate(("rows", "b", "c"))}
    assert np.abs(Runner(bundle).predict(tensors) - shares(raw)).max() < 1e-6


def test_other_bytes_stay_as_they_are(tmp_path):
    graph(tmp_path / "m.onnx", 3)
    for data in ((tmp_path / "m.onnx").read_bytes(), b"", b"no graph at all"):
        assert plain(data) == data


def test_a_mapping_in_the_middle_is_left_to_be_refused(tmp_path):
    zipped(tmp_path / "m.onnx", (0, 1, 2))
    model = onnx.load(tmp_path / "m.onnx")
    del model.graph.output[1]
    data = model.SerializeToString()
    assert plain(data) == data
