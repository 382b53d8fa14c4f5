"""Writes the predictions of a version as CSV or as an Arrow stream, for requests of many rows.

The column ``prediction`` is followed by one ``probability_CLASS`` a class, as in the file that
``raymm predict`` writes. Probabilities are float32 in Arrow; in CSV they are written as JSON
writes them, so that all three read back as the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as arrow_csv

from raymm.artifacts import Schema
from raymm.errors import ServingError
from raymm.serving.media import ARROW, CSV


def write_table(
    media: bytes, schema: Schema, predictions: npt.NDArray[Any], about: dict[str, str]
) -> bytes:
    """Write an answer.

    Parameters
    ----------
    media : bytes
        `raymm.serving.media.CSV` or `ARROW`.
    schema : Schema
    predictions : float32, shape (n, classes) or (n,)
        Probabilities or values.
    about : mapping of str to str
        The model's name, the version and the prediction's name: metadata of an Arrow table.

    Raises
    ------
    ServingError
        When a prediction is NaN or infinite.
    """
    assert media in (CSV, ARROW)
    if not np.isfinite(predictions).all():
        raise ServingError(
            "the model's prediction is not a finite number. Roll back to another version."
        )
    numbers = predictions.astype(np.float64) if media == CSV else predictions
    columns = {"prediction": _labels(schema, predictions) if schema.classes else numbers}
    for place, label in enumerate(schema.classes):
        columns[f"probability_{label}"] = np.ascontiguousarray(numbers[:, place])
    table = pa.table(columns).replace_schema_metadata(about)
    sink = pa.BufferOutputStream()
    if media == CSV:
        arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(batch_size=len(table) or 1))
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())


def _labels(schema: Schema, predictions: npt.NDArray[Any]) -> Any:
    """Return the classes as text: those that `raymm.bundle.run.Runner.labels` tells one by one."""
    weights = np.asarray(schema.decision, np.float32)
    weighed = predictions * weights if len(weights) else predictions
    codes = pa.array(weighed.argmax(axis=1), pa.int32())
    classes = pa.array(schema.classes, pa.string())
    return pa.DictionaryArray.from_arrays(codes, classes).cast(pa.string())
