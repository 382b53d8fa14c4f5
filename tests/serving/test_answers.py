import csv
import dataclasses
import io

import numpy as np
import pyarrow as pa
import pytest

from raymm.artifacts import Column, Schema
from raymm.errors import ServingError
from raymm.serving.answers import write_table
from raymm.serving.media import ARROW, CSV

SCHEMA = Schema(
    columns=(Column(name="x", kind="number"),),
    target="y",
    task="multiclass",
    classes=("a", 'b,"', "ü"),
)
VALUES = Schema(columns=SCHEMA.columns, target="y", task="regression")
ABOUT = {"model": "m", "version": "3", "id": "abc"}


def test_numbers_come_back_to_the_bit():
    rng = np.random.default_rng(0)
    predictions = rng.dirichlet([0.01] * 3, 200).astype(np.float32)
    labels = [SCHEMA.classes[place] for place in predictions.argmax(axis=1)]
    text = write_table(CSV, SCHEMA, predictions, ABOUT).decode()
    head, *rows = csv.reader(io.StringIO(text))
    assert head == ["prediction", "probability_a", 'probability_b,"', "probability_ü"]
    assert [row[0] for row in rows] == labels
    assert [[float(cell) for cell in row[1:]] for row in rows] == predictions.tolist()
    table = pa.ipc.open_stream(write_table(ARROW, SCHEMA, predictions, ABOUT)).read_all()
    assert table.column_names == head
    assert table["prediction"].to_pylist() == labels
    for place, name in enumerate(head[1:]):
        assert table[name].to_numpy().tobytes() == predictions[:, place].tobytes()
    assert table.schema.metadata == {b"model": b"m", b"version": b"3", b"id": b"abc"}


def test_labels_follow_the_decision_and_ties_go_to_the_earlier_class():
    schema = dataclasses.replace(SCHEMA, decision=(1.0, 3.0, 2.0))
    predictions = np.array([[0.6, 0.3, 0.1], [0.7, 0.1, 0.2], [0.2, 0.2, 0.6]], np.float32)
    for given, expected in ((schema, ['b,"', "a", "ü"]), (SCHEMA, ["a", "a", "ü"])):
        table = pa.ipc.open_stream(write_table(ARROW, given, predictions, ABOUT)).read_all()
        assert table["prediction"].to_pylist() == expected
    table = pa.ipc.open_stream(write_table(ARROW, SCHEMA, predictions[:, [1, 1, 0]], ABOUT))
    assert table.read_all()["prediction"].to_pylist() == ["ü", "ü", "a"]


def test_values():
    values = np.array([0.1, -3e38], np.float32)
    told = [float(value) for value in values]
    text = write_table(CSV, VALUES, values, ABOUT).decode()
    assert [float(line) for line in text.splitlines()[1:]] == told
    table = pa.ipc.open_stream(write_table(ARROW, VALUES, values, ABOUT)).read_all()
    assert table.column_names == ["prediction"]
    assert table["prediction"].to_pylist() == told


@pytest.mark.parametrize("media", [CSV, ARROW])
def test_what_is_not_finite_is_no_answer(media):
    with pytest.raises(ServingError, match="finite"):
        write_table(media, VALUES, np.array([np.nan], np.float32), ABOUT)
