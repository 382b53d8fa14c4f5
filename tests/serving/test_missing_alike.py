"""A word for missing means the same in training and in each body, as text and as a value."""

import datetime
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raymm.artifacts import NO_TIME, Column, Schema
from raymm.features.columns import encode
from raymm.serving import inference_protocol
from raymm.serving.bulk import sheet_of
from raymm.serving.columns import Misfit, moment_of, reader
from raymm.serving.media import ARROW, CSV
from raymm.serving.protocol import RecordReader
from raymm.serving.sheets import SheetReader

FEATURES = (
    Column(name="plain", kind="number", missing=("-999",)),
    Column(name="part", kind="number", missing=("-99.9", "n/a")),
    Column(name="comma", kind="number", missing=("-99,5",), format="decimal comma"),
    Column(name="flag", kind="boolean", missing=("9",), categories=("0", "1")),
    Column(name="code", kind="category", missing=("0",), categories=("1", "2")),
    Column(name="day", kind="datetime", missing=("19000101",), format="%Y%m%d"),
    Column(name="epoch", kind="datetime", missing=("0",), format="epoch"),
    Column(name="when", kind="datetime", missing=("9999-12-31",)),
)
SCHEMA = Schema(
    columns=(*FEATURES, Column(name="y", kind="number", role="target")),
    target="y",
    task="regression",
)
VALUES = {
    "plain": [-999, 5, None],
    "part": [-99.9, 1.5, None],
    "comma": [-99.5, 2.5, None],
    "flag": [9, 1, None],
    "code": [0, 2, None],
    "day": [19000101, 20240229, None],
    "epoch": [0, 86400, None],
    "when": ["9999-12-31T00:00:00", "2024-02-29T00:00:00", None],
}
"""In each column the value that means missing, one that is there, and none."""
WRITTEN = {
    **{name: ["" if v is None else str(v) for v in values] for name, values in VALUES.items()},
    "plain": [" -999.0 ", "5", ""],
    "comma": ["-99,50", "2,5", ""],
}
DAY = 1709164800
THERE = {
    **{"plain": 5.0, "part": 1.5, "comma": 2.5, "flag": 1.0, "code": "2"},
    **{"day": DAY, "epoch": 86400, "when": DAY},
}


def alike(read):
    for column in FEATURES:
        blank = {"category": "", "datetime": NO_TIME}.get(column.kind, np.nan)
        dtype = {"category": object, "datetime": np.int64}.get(column.kind, np.float32)
        expected = np.array([blank, THERE[column.name], blank], dtype=dtype)
        assert read[column.name].dtype == dtype
        np.testing.assert_array_equal(read[column.name], expected, column.name)


def typed(width):
    numbers = {
        name: pd.Series(VALUES[name], dtype=width) for name in ("plain", "part", "comma", "flag")
    }
    rest = {name: pd.Series(VALUES[name], dtype="Int64") for name in ("code", "day", "epoch")}
    when = pd.Series(VALUES["when"]).astype("datetime64[s]")
    return pd.DataFrame({**numbers, **rest, "when": when})


@pytest.mark.parametrize("width", ["float32", "float64", "object"])
def test_typed_columns_are_trained_on_as_the_words_say(width):
    alike(encode(typed(width), SCHEMA))


def test_text_is_trained_on_as_the_words_say():
    alike(encode(pd.DataFrame(WRITTEN), SCHEMA))


def test_records_are_read_as_in_training():
    rows = [{name: values[row] for name, values in VALUES.items()} for row in range(3)]
    read = RecordReader(SCHEMA)
    alike(read.tensors(read.records(json.loads(json.dumps({"records": rows})), 9)))


def table(media, body):
    read = SheetReader(SCHEMA)
    return read.tensors(sheet_of(media, body, known=read.known, max_rows=9, max_bytes=10**6))


def test_csv_is_read_as_in_training():
    text = pd.DataFrame(WRITTEN).to_csv(index=False)
    alike(table(CSV, text.encode()))


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_arrow_is_read_as_in_training(width):
    made = pa.Table.from_pandas(typed(width), preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    alike(table(ARROW, sink.getvalue()))


@pytest.mark.parametrize("single", [np.float32, np.float64])
def test_tensors_are_read_as_in_training(single):
    inputs = []
    for column in FEATURES:
        values = VALUES[column.name]
        if column.kind == "number":
            values = [None if value is None else float(single(value)) for value in values]
        if column.kind == "category":
            values = WRITTEN[column.name]
        datatype = inference_protocol._DATATYPES[column.kind][0]
        one = {"name": column.name, "datatype": datatype, "shape": [3], "data": values}
        inputs.append({**one, "datatype": "FP32"} if column.kind == "boolean" else one)
    alike(inference_protocol.tensors(SCHEMA, {"inputs": inputs}, 9))


@pytest.mark.parametrize("column", FEATURES, ids=lambda column: column.name)
def test_a_value_that_means_missing_is_refused_where_none_may_be(column):
    strict = Column(**{**{f: getattr(column, f) for f in column.__slots__}, "nullable": False})
    assert len(reader(strict)(VALUES[column.name][1:2])) == 1
    with pytest.raises(Misfit, match="no missing value"):
        reader(strict)(VALUES[column.name][:2])


@pytest.mark.parametrize("form", ["%Y%m%d", "%d%m%Y", "%y%m%d", "%Y%j", "epoch ms", None])
def test_the_number_that_a_date_is_told_by_is_read_as_that_date(form):
    column = Column(name="c", kind="datetime", format=form)
    for day in (datetime.date(2009, 1, 2), datetime.date(2024, 12, 31)):
        seconds = int(
            datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()
        )
        assert reader(column)([moment_of(seconds, column)]).tolist() == [seconds]
        assert reader(column)([seconds if form != "epoch ms" else seconds * 1000])[0] == seconds
