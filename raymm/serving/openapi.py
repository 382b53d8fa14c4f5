"""The service's OpenAPI document, made of each model's own schema, and a page that shows it.

Every column is described with its kind, its categories or the range seen in training, and an
example row that the model accepts as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from raymm.artifacts import Column, Schema
from raymm.serving.protocol import example
from raymm.serving.sources import Served

_SHOWN = 20
"""Categories that are listed for a column; more are counted."""


def document(models: Iterable[Served], *, secured: bool, max_rows: int) -> dict[str, Any]:
    """Return an OpenAPI 3.1 document as plain JSON values.

    Parameters
    ----------
    models : iterable of Served
        The versions that answer now.
    secured : bool
        Whether a token is needed.
    max_rows : int
        Rows that a request may hold.
    """
    paths: dict[str, Any] = {
        "/v1/models": {"get": _operation("List the models", "The models and their versions")},
        "/metrics": {"get": _operation("Figures for Prometheus", "Text")},
        "/v2/health/live": {"get": _operation("Whether the process answers", "Alive", open_=True)},
        "/v2/health/ready": {"get": _operation("Whether models are loaded", "Ready", open_=True)},
    }
    for served in models:
        paths |= _model_paths(served, max_rows)
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "raymm",
            "version": "1",
            "description": "Predictions of the models that raymm serves.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": _error_schema()}},
    }
    if secured:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _model_paths(served: Served, max_rows: int) -> dict[str, Any]:
    root = f"/v1/models/{served.name}"
    predict = _operation(
        f"Predict {served.schema.target} (version {served.number})", "One prediction a record"
    )
    predict["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": request_schema(served.schema, max_rows)}},
    }
    predict["responses"]["200"]["content"] = {
        "application/json": {"schema": answer_schema(served.schema)}
    }
    return {
        f"{root}/predict": {"post": predict},
        root: {"get": _operation("The model's schema, version and hash", "The model")},
        f"{root}/monitor": {"get": _operation("The monitor's report", "Drift and quality")},
        f"/v2/models/{served.name}": {"get": _operation("Metadata (protocol v2)", "Tensors")},
        f"/v2/models/{served.name}/ready": {
            "get": _operation("Whether the model is loaded", "Ready", open_=True)
        },
        f"/v2/models/{served.name}/infer": {
            "post": _operation("Predict (Open Inference Protocol v2)", "Tensors")
        },
    }


def _operation(summary: str, answer: str, *, open_: bool = False) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    made: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": answer},
            "default": {"description": "What was wrong", "content": error},
        },
    }
    return made | {"security": []} if open_ else made


def _error_schema() -> dict[str, Any]:
    text = {"type": "string"}
    fields = dict.fromkeys(("type", "message", "field", "observed", "allowed"), text)
    error = {"type": "object", "properties": fields, "required": ["type", "message"]}
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def request_schema(schema: Schema, max_rows: int) -> dict[str, Any]:
    """Return the JSON schema of a prediction request, with an example that the model accepts."""
    record = {
        "type": "object",
        "properties": {column.name: column_schema(column) for column in schema.features},
        "required": [column.name for column in schema.features],
    }
    records = {"type": "array", "items": record, "minItems": 1, "maxItems": max_rows}
    return {
        "type": "object",
        "properties": {"records": records},
        "required": ["records"],
        "additionalProperties": False,
        "example": {"records": [example(schema)]},
    }


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
    return {"type": "object", "properties": properties, "required": list(properties)}


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>raymm</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #f4f4f4; padding: .8rem; overflow: auto } code { font-size: .9em }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .2rem .6rem;
text-align: left } h2 { font-size: 1.1rem; margin-top: 2rem }
</style>
<h1>raymm</h1>
<p>The full description is at <a href="openapi.json">openapi.json</a>.</p>
<form id="ask" hidden><label>Token <input type="password" id="token"></label>
<button>Show</button></form>
<main id="main"></main>
<script>
const main = document.getElementById("main"), ask = document.getElementById("ask");
function add(tag, text, to) {
  const made = document.createElement(tag); made.textContent = text;
  (to || main).append(made); return made;
}
async function show(token) {
  const headers = token ? {authorization: "Bearer " + token} : {};
  const answer = await fetch("openapi.json", {headers});
  ask.hidden = answer.status !== 401;
  if (!answer.ok) return;
  main.replaceChildren();
  const paths = (await answer.json()).paths;
  for (const [path, methods] of Object.entries(paths))
    for (const [method, operation] of Object.entries(methods)) {
      add("h2", method.toUpperCase() + " " + path); add("p", operation.summary);
      const body = operation.requestBody;
      if (!body) continue;
      const schema = body.content["application/json"].schema;
      const table = add("table", "");
      for (const [name, column] of Object.entries(schema.properties.records.items.properties)) {
        const row = add("tr", "", table); add("th", name, row); add("td", column.description, row);
      }
      add("pre", JSON.stringify(schema.example, null, 2));
    }
}
ask.addEventListener("submit", event => {
  event.preventDefault(); show(document.getElementById("token").value);
});
show();
</script></html>
"""
"""A page that reads ``openapi.json`` and loads nothing from elsewhere."""
