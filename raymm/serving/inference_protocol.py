"""The Open Inference Protocol, version 2: named tensors in JSON, as KServe and MLServer speak it.

Source: inference_rest.md of https://github.com/kserve/open-inference-protocol.

Numbers are FP32 tensors (any number type is accepted), booleans BOOL (or FP32 0 and 1), dates
INT64 seconds since 1970 UTC, categories and text BYTES; each of shape [n, 1] or [n]. A null in
the data is a missing value. Every column that the model reads is an input; inputs that the schema
knows and the model does not read are passed over, as in `raymm.serving.protocol`. The outputs are
"prediction" and, for classes, "probabilities".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raymm.artifacts import Column, Kind, Schema
from raymm.errors import InputError
from raymm.features.columns import digits
from raymm.serving.columns import Misfit, reader, shown
from raymm.serving.protocol import check_rows, nearest
from raymm.serving.raw_tensors import Raw

_WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_DATATYPES: Mapping[Kind, tuple[str, ...]] = {
    "number": ("FP32", "FP64", "FP16", *_WHOLE),
    "boolean": ("BOOL", "FP32", "FP64", *_WHOLE),
    "datetime": ("INT64",),
    "category": ("BYTES",),
    "text": ("BYTES",),
}


def datatypes(column: Column) -> tuple[str, ...]:
    """Return the datatypes that a column is taken in; the first is its own."""
    return _DATATYPES[column.kind]


def metadata(name: str, version: int, schema: Schema) -> dict[str, Any]:
    """Return the model's metadata: each input and output with its datatype and shape."""
    outputs = [{"name": "prediction", "datatype": _predicted(schema), "shape": [-1, 1]}]
    if schema.classes:
        shape = [-1, len(schema.classes)]
        outputs.append({"name": "probabilities", "datatype": "FP32", "shape": shape})
    return {
        "name": name,
        "versions": [str(version)],
        "platform": "onnx_onnxruntime",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.kind][0], "shape": [-1, 1]}
            for column in schema.features
        ],
        "outputs": outputs,
    }


def _predicted(schema: Schema) -> str:
    return "BYTES" if schema.classes else "FP32"


def tensors(schema: Schema, body: Any, max_rows: int) -> dict[str, npt.NDArray[Any]]:
    """Turn the inputs of an inference request into tensors of shape (n,).

    Raises
    ------
    InputError
        For the first input whose name, datatype, shape or data is wrong.
    TooLarge
        When there are more than ``max_rows`` rows.
    """
    given = _read(schema, _inputs(body))
    rows = _rows(next(iter(given.values()))) if given else 0
    check_rows(rows, max_rows)
    made = {}
    for column in schema.features:
        if column.name not in given:
            raise InputError(
                field=f"inputs.{column.name}", observed="nothing", allowed="one of the inputs"
            )
        values = _values(column, given[column.name], rows)
        try:
            made[column.name] = reader(column)(values)
        except Misfit as misfit:
            raise InputError(
                field=f"inputs.{column.name}.data[{misfit.row}]",
                observed=shown(misfit.value),
                allowed=misfit.allowed,
            ) from None
    return made


def _read(
    schema: Schema, given: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Any]]:
    """Return the inputs that the model reads; raises InputError for one the schema lacks."""
    names = {column.name: None for column in schema.features}
    if given.keys() <= names.keys():
        return given
    known = {column.name for column in schema.columns} | {schema.target}
    for name in given:
        if name not in known:
            raise InputError(
                field=f"inputs.{name[:60]}",
                observed="an unknown input",
                allowed=f"an input of the model{nearest(name, names)}",
            )
    return {name: tensor for name, tensor in given.items() if name in names}


def require_object(body: Any) -> None:
    """Raise InputError where a request is no JSON object."""
    if type(body) is not dict:
        raise InputError(field="body", observed=shown(body), allowed='an object {"inputs": [...]}')


def _inputs(body: Any) -> dict[str, Mapping[str, Any]]:
    """Check the request's outline and return its inputs by name."""
    require_object(body)
    inputs = body.get("inputs")
    if type(inputs) is not list or not inputs:
        observed = "nothing" if inputs is None else shown(inputs)
        raise InputError(field="inputs", observed=observed, allowed="a list of one or more tensors")
    identity = body.get("id", "")
    if type(identity) is not str:
        raise InputError(field="id", observed=shown(identity), allowed="text")
    given: dict[str, Mapping[str, Any]] = {}
    for position, tensor in enumerate(inputs):
        field = f"inputs[{position}]"
        if type(tensor) is not dict:
            raise InputError(
                field=field, observed=shown(tensor), allowed="an object with name, shape, data"
            )
        name = tensor.get("name")
        if type(name) is not str or name in given:
            observed = shown(name) + (" twice" if type(name) is str else "")
            raise InputError(field=f"{field}.name", observed=observed, allowed="a name, used once")
        given[name] = tensor
    return given


def _rows(tensor: Mapping[str, Any]) -> int:
    """Return the number of rows that a tensor's shape, [n] or [n, 1], says."""
    shape = tensor.get("shape")
    sound = type(shape) is list and len(shape) in (1, 2) and all(type(n) is int for n in shape)
    if not sound or shape is None or shape[0] < 1 or shape[1:] not in ([], [1]):
        raise InputError(
            field=f"inputs.{tensor['name'][:60]}.shape",
            observed="nothing" if shape is None else str(shape)[:60],
            allowed="[n, 1] or [n] with n at least 1",
        )
    return int(shape[0])


def _values(column: Column, tensor: Mapping[str, Any], rows: int) -> Sequence[Any]:
    """Return a tensor's n values after checking its datatype and shape."""
    field = f"inputs.{column.name}"
    datatypes = _DATATYPES[column.kind]
    datatype = tensor.get("datatype")
    if datatype not in datatypes:
        allowed = " or ".join(datatypes) + _unit(column)
        raise InputError(field=f"{field}.datatype", observed=shown(datatype), allowed=allowed)
    if _rows(tensor) != rows:
        raise InputError(
            field=f"{field}.shape",
            observed=f"{_rows(tensor)} rows",
            allowed=f"the {rows} rows of the first input that is read",
        )
    data = tensor.get("data")
    if isinstance(data, Raw):  # of as many values as rows, which are few enough
        data = data.values()
    if type(data) is list and data and all(type(item) is list for item in data):
        wide = next((item for item in data if len(item) != 1), None)
        if wide is not None:
            raise InputError(field=f"{field}.data", observed=shown(wide), allowed="rows of 1 value")
        data = [item[0] for item in data]
    if type(data) is not list or len(data) != rows:
        observed = "nothing" if data is None else shown(data)
        raise InputError(
            field=f"{field}.data", observed=observed, allowed=f"a list of {rows} values"
        )
    return [_truth(value) for value in data] if column.kind == "boolean" else data


def _unit(column: Column) -> str:
    """Return what a date's numbers are, as `raymm.serving.columns` reads them; empty for others."""
    if column.kind != "datetime":
        return ""
    if column.format == "epoch ms":
        return ", in milliseconds since 1970 UTC"
    also = f", or as whole numbers in the format {column.format}" if digits(column.format) else ""
    return f", in seconds since 1970 UTC{also}"


def _truth(value: Any) -> Any:
    """Read the numbers 0 and 1 as truth values; the rest is left for the column's reader."""
    return bool(value) if type(value) in (int, float) and value in (0, 1) else value


def answer(
    schema: Schema, labels: Any, predictions: npt.NDArray[Any], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an inference response as plain JSON values.

    Parameters
    ----------
    labels : sequence of str or float, length n
    predictions : float32, shape (n, classes) or (n,)
    about : mapping
        ``model_name``, ``model_version`` and, where the request had one, ``id``.
    """
    rows = len(predictions)
    plain = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    outputs = [_output("prediction", _predicted(schema), [rows, 1], plain)]
    if schema.classes:
        flat = predictions.ravel().tolist()
        outputs.append(_output("probabilities", "FP32", list(predictions.shape), flat))
    return {**about, "outputs": outputs}


def _output(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> dict[str, Any]:
    assert math.prod(shape) == len(data)
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": data}
