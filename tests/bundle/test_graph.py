from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.artifacts import Column, Schema
from raymm.bundle.graph import ELEMENT, PREDICTION, PROBABILITIES, input_names, to_graph
from raymm.bundle.pipeline import fit


@pytest.fixture(scope="module")
def make_pipeline(make_dataset):
    def make(task):
        dataset = make_dataset(task, rows=200)
        config = {"family": "tiny_for_tests"}
        return dataset, fit(dataset, dataset.train, config, rounds=1, seed=0, threads=1)

    return make


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_any_tool_can_run_the_graph_by_its_names_and_types(task, make_pipeline):
    dataset, pipeline = make_pipeline(task)
    graph = to_graph(pipeline)
    assert graph == to_graph(pipeline)
    model = onnx.load_from_string(graph)
    names = input_names(dataset.schema)
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    assert kinds == {names[c.name]: ELEMENT[c.kind] for c in dataset.schema.features}
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = dataset.rows(dataset.test)
    outputs = [value.name for value in session.get_outputs()]
    found = session.run(None, {names[name]: v[:, None] for name, v in rows.items()})
    expected = pipeline.predict(rows)
    if task == "regression":
        assert outputs == [PREDICTION]
        np.testing.assert_allclose(found[0][:, 0], expected, rtol=1e-4)
    else:
        assert outputs == [PREDICTION, PROBABILITIES]
        np.testing.assert_allclose(found[1], expected, atol=1e-5)
        classes = np.array(dataset.schema.classes)
        assert found[0].tolist() == classes[expected.argmax(axis=1)].tolist()


def test_a_column_that_no_feature_uses_is_still_an_input(make_pipeline):
    dataset, pipeline = make_pipeline("binary")
    assert "constant" not in pipeline.features.columns
    inputs = [value.name for value in onnx.load_from_string(to_graph(pipeline)).graph.input]
    assert input_names(dataset.schema)["constant"] in inputs


def test_identifiers_keep_their_name_and_others_get_a_legal_one_of_their_own():
    names = ["age", "a b", "a-b", "", "ü", "prediction", "probabilities", "1st", "a_b"]
    schema = Schema(
        columns=tuple(Column(name=name, kind="number") for name in names), target="y", task="binary"
    )
    found = input_names(schema)
    assert list(found) == names
    assert found["age"] == "age"
    assert len(set(found.values())) == len(names)
    assert not {PREDICTION, PROBABILITIES} & set(found.values())
    assert all(name.isidentifier() and name.isascii() for name in found.values())
    renamed = dataclasses.replace(schema, target="z")
    assert input_names(renamed) == found
