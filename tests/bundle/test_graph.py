from __future__ import annotations

import dataclasses
import json

import numpy as np
import onnx
import onnxruntime
import pytest

from raymm.artifacts import Column, Schema
from raymm.bundle.graph import (
    ELEMENT,
    PREDICTION,
    PROBABILITIES,
    described,
    input_names,
    to_graph,
)
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


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_described_graph_says_what_its_inputs_and_outputs_are(task, make_pipeline):
    dataset, pipeline = make_pipeline(task)
    schema, graph = dataset.schema, to_graph(pipeline)
    made = described(graph, schema, name="m@3")
    assert made == described(made, schema, name="m@3")
    model = onnx.load_from_string(made)
    assert model.graph == onnx.load_from_string(graph).graph
    told = {one.key: one.value for one in model.metadata_props}
    read = {key: json.loads(told[f"raymm.{key}"]) for key in ("inputs", "kinds", "outputs")}
    assert read["inputs"] == {name: column for column, name in input_names(schema).items()}
    assert list(read["inputs"]) == [one.name for one in model.graph.input]
    kinds = {one.name: one.kind for one in schema.features}
    assert {read["inputs"][name]: kind for name, kind in read["kinds"].items()} == kinds
    assert list(read["outputs"]) == [one.name for one in model.graph.output]
    words = {key: told[f"raymm.{key}"] for key in ("model", "target", "task")}
    assert words == {"model": "m@3", "target": schema.target, "task": schema.task}
    assert ("raymm.classes" in told) == (task != "regression")
    if task != "regression":
        assert json.loads(told["raymm.classes"]) == list(schema.classes)
    onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
