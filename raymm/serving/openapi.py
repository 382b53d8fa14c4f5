"""The service's OpenAPI document, made of each model's own schema.

Every column is described with its kind, its categories or the range seen in training, and an
example row that the model accepts as it stands.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from raymm.artifacts import Column, Schema
from raymm.serving.identity import PATTERN, ROW_PATTERN
from raymm.serving.inference_openapi import infer_body, infer_parameters, inferred_schema
from raymm.serving.overview_openapi import HISTORY, STATUS
from raymm.serving.protocol import example
from raymm.serving.sources import Served

_ROWS = "the columns' names in the first row, in any order; an empty cell is a missing value"
_RECEIVED = "How many were received; labels in …/status counts what became of them"
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_SHOWN = 20
"""Categories that are listed for a column; more are counted."""


def document(
    models: Iterable[Served], *, secured: bool, max_rows: int, max_explained: int
) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document as plain JSON values.

    Parameters
    ----------
    models : iterable of Served
        The versions that answer now.
    secured : bool
        Whether a token is needed.
    max_rows, max_explained : int
        Rows that a request for predictions, and for explanations, may hold.
    """
    paths: dict[str, Any] = {
        "/v1/models": {"get": _operation("List the models", "The models and their versions")},
        "/metrics": {"get": _operation("Figures for Prometheus", "Text")},
        "/v2/health/live": {"get": _operation("Whether the process answers", "Alive", open_=True)},
        "/v2/health/ready": {"get": _operation("Whether models are loaded", "Ready", open_=True)},
    }
    for served in models:
        paths |= _model_paths(served, max_rows, max_explained)
    for path, operations in paths.items():
        if path.startswith("/v2/"):
            for operation in operations.values():
                operation["responses"]["default"]["content"] = _json_of(_refers("InferenceError"))
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "raymm",
            "version": "1",
            "description": "Predictions of the models that raymm serves.",
        },
        "paths": paths,
        "components": {"schemas": _error_schemas()},
    }
    if secured:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _model_paths(served: Served, max_rows: int, max_explained: int) -> dict[str, Any]:
    root, schema = f"/v1/models/{served.name}", served.schema
    predict = _posted(
        _operation(f"Predict {schema.target} (version {served.number})", "One prediction a record"),
        request_schema(schema, max_rows),
        answer_schema(schema),
    )
    add_tables(predict, schema)
    name = {"description": "The prediction's name, for feedback", "schema": {"type": "string"}}
    predict["responses"]["200"]["headers"] = {"x-raymm-prediction": name}
    explain = _posted(
        _operation("What each column adds to a prediction", "One explanation a record"),
        explain_schema(schema, min(max_rows, max_explained)),
        explained_schema(schema),
    )
    _take_tables(explain, _ROWS, _example(schema))
    feedback = _posted(
        _operation("Tell true labels by the predictions' names", _RECEIVED),
        feedback_schema(schema, max_rows),
        {
            "type": "object",
            "properties": {
                "model": {"type": "string"},
                "received": {"type": "integer"},
                "predictions": {"type": "integer"},
            },
            "required": ["model", "received", "predictions"],
        },
    )
    infer = _told("Predict (Open Inference Protocol v2)", inferred_schema(schema))
    infer |= {"parameters": infer_parameters(), "requestBody": infer_body(schema, max_rows)}
    known = schema.classes[0] if schema.classes else 0.0
    labels = _csv([["id", "label"], ["4f1c9a0be27d3358", known]])
    _take_tables(feedback, "the columns id and label", labels)
    return {
        f"{root}/predict": {"post": predict},
        f"{root}/explain": {"post": explain},
        f"{root}/feedback": {"post": feedback},
        root: {"get": _operation("The model's schema, version and hash", "The model")},
        f"{root}/monitor": {"get": _operation("The monitor's report", "Drift and quality")},
        f"{root}/release": {"get": _operation("Which versions answer, and to whom", "Versions")},
        f"{root}/status": {"get": _told("Release, traffic, drift and quality", STATUS)},
        f"{root}/history": {"get": _told("Versions, changes, newest first", HISTORY)},
        f"/v2/models/{served.name}": {"get": _operation("Metadata (protocol v2)", "Tensors")},
        f"/v2/models/{served.name}/ready": {
            "get": _operation("Whether the model is loaded", "Ready", open_=True)
        },
        f"/v2/models/{served.name}/infer": {"post": infer},
    }


def _posted(
    operation: dict[str, Any], request: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    """Return an operation with the schemas of its request and of its answer."""
    operation["requestBody"] = {"required": True, "content": _json_of(request)}
    operation["responses"]["200"]["content"] = _json_of(answer)
    return operation


def _take_tables(operation: dict[str, Any], told: str, example: str) -> None:
    """Say that an operation takes CSV, described in a few words, and Arrow."""
    content = operation["requestBody"]["content"]
    content["text/csv"] = _text(told, example)
    content["application/vnd.apache.arrow.stream"] = _BINARY


def add_tables(operation: dict[str, Any], schema: Schema) -> None:
    """Add CSV and Arrow to an operation that takes rows and returns predictions.

    The answer has them where ``Accept`` asks for them.
    """
    _take_tables(operation, _ROWS, _example(schema))
    head = {"type": "string", "pattern": PATTERN}
    operation["parameters"] = [
        {
            "name": "x-raymm-prediction",
            "in": "header",
            "description": "A name of your own for feedback, as a JSON body's id",
            "schema": head,
        }
    ]
    answer = ["prediction", *(f"probability_{label}" for label in schema.classes)]
    answered = operation["responses"]["200"]["content"]
    answered["text/csv"] = _text(f"the columns {', '.join(answer)}", _csv([answer]))
    answered["application/vnd.apache.arrow.stream"] = _BINARY


def _text(description: str, example: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "description": description}, "example": example}


def _example(schema: Schema) -> str:
    given = example(schema)
    return _csv([list(given), list(given.values())])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _told(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an operation that only answers, with the schema of its answer."""
    operation = _operation(summary, summary)
    operation["responses"]["200"]["content"] = _json_of(answer)
    return operation


def _json_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(summary: str, answer: str, *, open_: bool = False) -> dict[str, Any]:
    error = _json_of(_refers("Error"))
    made: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": answer},
            "default": {"description": "What was wrong", "content": error},
        },
    }
    return made | {"security": []} if open_ else made


def _refers(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _error_schemas() -> dict[str, Any]:
    """Return the schemas of errors: ours, and that of the Open Inference Protocol."""
    text = {"type": "string"}
    fields = dict.fromkeys(("type", "message", "field", "observed", "allowed"), text)
    error = {"type": "object", "properties": fields, "required": ["type", "message"]}
    flat = dict.fromkeys(("error", "type", "field", "observed", "allowed"), text)
    return {
        "Error": {"type": "object", "properties": {"error": error}, "required": ["error"]},
        "InferenceError": {"type": "object", "properties": flat, "required": ["error"]},
    }


def request_schema(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the JSON schema of a prediction request, with an example that the model accepts."""
    record = {
        "type": "object",
        "properties": {column.name: column_schema(column) for column in schema.features},
        "required": [column.name for column in schema.features],
    }
    records = {"type": "array", "items": record, "minItems": 1, "maxItems": max_rows}
    named = {"type": "string", "pattern": PATTERN, "description": "A name of your own for feedback"}
    return {
        "type": "object",
        "properties": {"records": records, "id": named},
        "required": ["records"],
        "additionalProperties": False,
        "example": {"records": [example(schema)]},
    }


def explain_schema(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the JSON schema of a request for explanations."""
    made = request_schema(schema, max_rows)
    if schema.classes:
        made["properties"]["class"] = {"type": ["string", "null"], "enum": [*schema.classes, None]}
    return made


def feedback_schema(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the JSON schema of a request that tells labels."""
    kinds = ["string", "number", "boolean"] if schema.classes else ["number"]
    label: dict[str, Any] = {"type": kinds}
    if schema.classes:
        told = ", ".join(schema.classes[:_SHOWN])
        label["description"] = f"{schema.target}: {told}" + (
            ", …" if len(schema.classes) > _SHOWN else ""
        )
    named = {
        "type": "string",
        "pattern": ROW_PATTERN,
        "description": "the prediction's name, from its answer; ID-0, ID-1, … for several rows",
    }
    one = {
        "type": "object",
        "properties": {"id": named, "label": label},
        "required": ["id", "label"],
        "additionalProperties": False,
    }
    labels = {"type": "array", "items": one, "minItems": 1, "maxItems": max_rows}
    known = schema.classes[0] if schema.classes else 0.0
    return {
        "type": "object",
        "properties": {"labels": labels},
        "required": ["labels"],
        "additionalProperties": False,
        "example": {"labels": [{"id": "4f1c9a0be27d3358", "label": known}]},
    }


def explained_schema(schema: Schema) -> dict[str, Any]:
    """Return the JSON schema of the answer to a request for explanations."""
    number, text = {"type": "number"}, {"type": "string"}
    by_column = {"type": "object", "additionalProperties": number}
    row: dict[str, Any] = {
        "prediction": text if schema.classes else number,
        "base": number,
        "value": number,
        "contributions": by_column,
        "errors": by_column,
    }
    if schema.classes:
        row["class"] = {"type": "string", "enum": list(schema.classes)}
    one = {"type": "object", "properties": row, "required": list(row)}
    properties = {
        "model": text,
        "version": {"type": "integer"},
        "method": text,
        "output": text,
        "tolerance": number,
        "explanations": {"type": "array", "items": one},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def column_schema(column: Column) -> dict[str, Any]:
    """Return the JSON schema of one column: what it takes, and what was seen in training."""
    types: dict[str, list[str]] = {
        "number": ["number"],
        "boolean": ["boolean", "string", "number"],
        "datetime": ["string", "number"],
        "category": ["string", "number"],
        "text": ["string"],
    }
    told: list[str] = [column.kind]
    if column.categories:
        listed = ", ".join(column.categories[:_SHOWN])
        rest = len(column.categories) - _SHOWN
        told.append(f"seen: {listed}" + (f" and {rest} more" if rest > 0 else ""))
    if column.minimum is not None and column.maximum is not None:
        told.append(f"seen from {_figure(column, column.minimum)}")
        told[-1] += f" to {_figure(column, column.maximum)}"
    if column.nullable:
        told.append("may be null")
    made: dict[str, Any] = {
        "type": types[column.kind] + (["null"] if column.nullable else []),
        "description": "; ".join(told),
    }
    if column.example is not None:
        made["examples"] = [column.example]
    return made


def _figure(column: Column, value: float) -> str:
    if column.kind != "datetime":
        return f"{value:.6g}"
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)).isoformat()


def answer_schema(schema: Schema) -> dict[str, Any]:
    """Return the JSON schema of the answer to a prediction request."""
    label: dict[str, Any] = {"type": "number"}
    properties: dict[str, Any] = {"model": {"type": "string"}, "version": {"type": "integer"}}
    if schema.classes:
        label = {"type": "string", "enum": list(schema.classes)}
        share = {"type": "number", "minimum": 0, "maximum": 1}
        row = {"type": "object", "properties": dict.fromkeys(schema.classes, share)}
        properties["probabilities"] = {"type": "array", "items": row}
    properties["predictions"] = {"type": "array", "items": label}
    required = list(properties)
    properties["id"] = {"type": "string", "description": "The prediction's name, for feedback"}
    return {"type": "object", "properties": properties, "required": required}
