"""How OpenAPI tells of predictions by the Open Inference Protocol (see `inference_protocol`)."""

from __future__ import annotations

import math
from typing import Any

from raymm.artifacts import NO_TIME, Schema
from raymm.serving.inference_protocol import datatypes, metadata
from raymm.serving.protocol import RecordReader, example

_BINARY = (
    "The JSON document, whose length the header Inference-Header-Content-Length tells, and behind "
    "it the data of those inputs that have parameters.binary_data_size instead of data, as the "
    "binary tensor data extension of NVIDIA Triton says. The answer is JSON."
)


def infer_body(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the request body of a prediction: JSON with an example that works, and bytes."""
    octets = {"type": "string", "format": "binary", "description": _BINARY}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": infer_schema(schema, max_rows)},
            "application/octet-stream": {"schema": octets},
        },
    }


def infer_parameters() -> list[dict[str, Any]]:
    """Return the headers of a prediction's request."""
    return [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "The length of the JSON document in bytes, where the body is "
            "application/octet-stream",
            "schema": {"type": "integer", "minimum": 0},
        }
    ]


def infer_schema(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the JSON schema of an inference request: an input a column, of as many rows each.

    Columns that the schema knows and the model does not read may be among them.
    """
    known = dict.fromkeys([*(one.name for one in schema.features), schema.target])
    known |= dict.fromkeys(one.name for one in schema.columns)
    taken = [datatype for column in schema.columns for datatype in datatypes(column)]
    rows = {"type": "integer", "minimum": 1, "maximum": max_rows}
    value = {"type": ["number", "boolean", "string", "null"]}
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(known)},
            "datatype": {"type": "string", "enum": list(dict.fromkeys(taken))},
            "shape": {
                "type": "array",
                "prefixItems": [rows, {"const": 1}],
                "minItems": 1,
                "maxItems": 2,
            },
            "data": {
                "type": "array",
                "items": {"anyOf": [value, {"type": "array", "items": value}]},
                "maxItems": max_rows,
                "description": "the column's values; null is missing",
            },
            "parameters": {"type": "object"},
        },
        "required": ["name", "datatype", "shape", "data"],
    }
    count = len(schema.features)
    inputs = {"type": "array", "items": tensor, "minItems": count, "maxItems": len(known)}
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "inputs": inputs},
        "required": ["inputs"],
        "example": {"inputs": _example(schema)},
    }


def inferred_schema(schema: Schema) -> dict[str, Any]:
    """Return the JSON schema of the answer: "prediction" and, for classes, "probabilities"."""
    text = {"type": "string"}
    names = [told["name"] for told in metadata("", 0, schema)["outputs"]]
    output = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": names},
            "datatype": {"type": "string", "enum": ["BYTES", "FP32"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array", "items": {"type": ["number", "string"]}},
        },
        "required": ["name", "datatype", "shape", "data"],
    }
    properties = {
        "model_name": text,
        "model_version": text,
        "id": text,
        "outputs": {"type": "array", "items": output},
    }
    required = ["model_name", "model_version", "outputs"]
    return {"type": "object", "properties": properties, "required": required}


def _example(schema: Schema) -> list[dict[str, Any]]:
    read = RecordReader(schema).tensors([example(schema)])
    return [
        {
            "name": column.name,
            "datatype": datatypes(column)[0],
            "shape": [1, 1],
            "data": [_plain(read[column.name][0].item(), column.kind)]
            if column.kind not in ("category", "text")
            else [read[column.name][0] or None],
        }
        for column in schema.features
    ]


def _plain(value: float | int, kind: str) -> float | int | bool | None:
    if value == NO_TIME or (isinstance(value, float) and math.isnan(value)):
        return None
    return bool(value) if kind == "boolean" else value
