"""A pipeline as one ONNX graph from raw columns to predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx.helper

from raymm.artifacts import Kind, Schema
from raymm.bundle.blend import Blend
from raymm.bundle.pipeline import Pipeline
from raymm.features.pipeline import safe_names
from raymm.onnx_builder import FLOAT, INT64, STRING, GraphBuilder

PREDICTION = "prediction"
PROBABILITIES = "probabilities"
ELEMENT: Mapping[Kind, int] = {
    "number": FLOAT,
    "boolean": FLOAT,
    "category": STRING,
    "datetime": INT64,
    "text": STRING,
}
"""Element type of the graph's input for each kind of column."""


def input_names(schema: Schema) -> dict[str, str]:
    """Return the graph's input name of each feature column, in the schema's order.

    It is the column's own name where that is an identifier (and not an output's name), else one
    made of its letters and digits; the schema alone decides it.
    """
    columns = [column.name for column in schema.features]
    return dict(zip(columns, safe_names(columns, (PREDICTION, PROBABILITIES)), strict=True))


def described(graph: bytes, schema: Schema, *, name: str = "") -> bytes:
    """Return a graph whose ``metadata_props`` say what its inputs and outputs are.

    ``raymm.inputs`` and ``raymm.kinds`` tell, as JSON, the column of each input and its kind;
    ``raymm.outputs`` what each output is; ``raymm.classes`` the classes in the order of the
    probabilities, which a regression has none of; ``raymm.target`` and ``raymm.task`` are words, as
    is ``raymm.model``: ``name``, where it is given.
    """
    model = onnx.load_from_string(graph)
    names = input_names(schema)
    outputs = {PREDICTION: f"{schema.target}, shape (n, 1)"}
    if schema.classes:
        outputs = {
            PREDICTION: f"the class of {schema.target}, shape (n,)",
            PROBABILITIES: f"of the classes in their order, shape (n, {len(schema.classes)})",
        }
    tables = {
        "inputs": {names[one.name]: one.name for one in schema.features},
        "kinds": {names[one.name]: one.kind for one in schema.features},
        "outputs": outputs,
        **({"classes": list(schema.classes)} if schema.classes else {}),
    }
    words = {"target": schema.target, "task": schema.task, **({"model": name} if name else {})}
    told = {key: json.dumps(value, ensure_ascii=False) for key, value in tables.items()} | words
    known = {one.key: one.value for one in model.metadata_props}
    onnx.helper.set_model_props(model, known | {f"raymm.{key}": told[key] for key in sorted(told)})
    return bytes(model.SerializeToString(deterministic=True))


def to_graph(pipeline: Pipeline | Blend, decision: Sequence[float] = ()) -> bytes:
    """Write a pipeline, or several blended, as an ONNX model.

    Every feature column of the schema is an input of shape (n, 1), whether the model uses it or
    not: float for numbers and booleans, string for categories and text, int64 for dates; see
    `input_names`. Outputs: for classification ``prediction``, string (n,), and
    ``probabilities``, float (n, classes); for regression ``prediction``, float (n, 1).
    ``decision`` weighs the classes where the label is chosen; see `raymm.artifacts.Schema`.

    Returns
    -------
    bytes
        The same pipeline gives the same bytes.

    """
    blend = pipeline if isinstance(pipeline, Blend) else Blend(members=(pipeline,))
    schema = blend.schema
    builder = GraphBuilder()
    inputs = input_names(schema)
    for column in schema.features:
        builder.input(inputs[column.name], ELEMENT[column.kind])
    outputs = [PREDICTION] if blend.task == "regression" else [PREDICTION, PROBABILITIES]
    for name in outputs:
        builder.reserve(name)
    result = blend.to_onnx(builder, inputs)
    if blend.task == "regression":
        model = builder.model([(result, PREDICTION, FLOAT, ["n", 1])])
    else:
        weighed = result
        if decision:
            weighed = builder.node("Mul", [result, builder.constant([decision])])
        best = builder.node("ArgMax", [weighed], axis=1, keepdims=0)
        classes = builder.constant(np.array(schema.classes, dtype=object), object)
        label = builder.node("Gather", [classes, best], axis=0)
        model = builder.model(
            [
                (label, PREDICTION, STRING, ["n"]),
                (result, PROBABILITIES, FLOAT, ["n", len(schema.classes)]),
            ]
        )
    return bytes(model.SerializeToString(deterministic=True))
