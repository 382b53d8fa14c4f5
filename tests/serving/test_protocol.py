import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raymm.artifacts import Schema
from raymm.errors import InputError, ServingError, TooLarge
from raymm.serving import protocol
from raymm.serving.protocol import AnswerWriter, RecordReader, document, encode

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@pytest.mark.slow
@given(PLAIN)
def test_documents_come_back(value):
    assert document(encode(value)) == value


@pytest.mark.parametrize(
    ("body", "observed"),
    [
        (b"", "Expecting value"),
        (b"{", "line 1"),
        (b'{"a": NaN}', "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[" * 200_000, "nested"),
        (b"9" * 5000, "digits"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"a": 1} x', "Extra data"),
    ],
)
def test_unsound_json_is_refused(body, observed):
    with pytest.raises(InputError) as caught:
        document(body)
    assert caught.value.field == "body"
    assert observed in caught.value.observed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        (None, "body"),
        ({}, "body"),
        ({"records": [{}], "more": 1}, "body"),
        ({"records": [{}], "id": "a", "more": 1}, "body"),
        ({"record": [{}]}, "body"),
        ({"records": []}, "records"),
        ({"records": {}}, "records"),
        ({"records": "text"}, "records"),
    ],
)
def test_outline(schema, body, field):
    with pytest.raises(InputError) as caught:
        RecordReader(schema).records(body, 10)
    assert caught.value.field == field


def test_rows_are_bounded(schema):
    rows = [{}] * 11
    assert RecordReader(schema).records({"records": rows[:10]}, 10) == rows[:10]
    with pytest.raises(TooLarge, match=r"10 rows at most.* 11"):
        RecordReader(schema).records({"records": rows}, 10)


@pytest.mark.parametrize(
    ("change", "field", "observed", "allowed"),
    [
        ({"age": "abc"}, "records[1].age", "'abc' (text)", "a number"),
        ({"age": None}, "records[1].age", "null", "no missing value"),
        ({"agee": 1}, "records[1].agee", "unknown", 'did you mean "age"?'),
        ({"since": "31/31/2020"}, "records[1].since", "31/31", "%d/%m/%Y"),
    ],
)
def test_wrong_fields_are_named(schema, record, change, field, observed, allowed):
    with pytest.raises(InputError) as caught:
        RecordReader(schema).tensors([record, record | change])
    assert caught.value.field == field
    assert observed in caught.value.observed
    assert allowed in caught.value.allowed


def test_columns_left_out(schema, record):
    """Null says that a value is missing; a column that is not there is a mistake."""
    reader = RecordReader(schema)
    tensors = reader.tensors([{**dict.fromkeys(record), "age": 1}])
    assert np.isnan(tensors["income"][0])
    assert (tensors["city"][0], tensors["age"][0]) == ("", 1)
    for row in ({"age": 1}, {}):
        with pytest.raises(InputError) as caught:
            reader.tensors([record, row])
        assert caught.value.observed == "nothing"
        assert caught.value.field.startswith("records[1].")


def test_target_and_ignored_columns_are_passed_over(schema, record):
    reader = RecordReader(schema)
    tensors = reader.tensors([record | {"left": "yes", "row_id": 7}])
    assert list(tensors) == [column.name for column in schema.features]


def test_records_must_be_objects(schema):
    with pytest.raises(InputError) as caught:
        RecordReader(schema).tensors([{"age": 1}, [1]])
    assert caught.value.field == "records[1]"


def test_example_is_accepted(schema):
    from dataclasses import replace

    RecordReader(schema).tensors([protocol.example(schema)])
    bare = [replace(c, example=None, nullable=False) for c in schema.columns]
    strict = replace(schema, columns=tuple(bare))
    RecordReader(strict).tensors([protocol.example(strict)])


FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.slow
@given(st.lists(st.tuples(FLOAT, FLOAT), min_size=1, max_size=3), st.data())
def test_answers_of_classes_are_those_of_json(rows, data):
    classes = tuple(data.draw(st.lists(st.text(max_size=4), min_size=2, max_size=2, unique=True)))
    schema = Schema(columns=(), target="y", task="binary", classes=classes)
    labels = data.draw(st.lists(st.sampled_from(classes), min_size=len(rows), max_size=len(rows)))
    about = {"model": data.draw(st.text()), "version": 7}
    predictions = np.array(rows, dtype=np.float32)
    likely = [dict(zip(classes, row, strict=True)) for row in predictions.tolist()]
    told = about | {"id": "a.1", "predictions": labels, "probabilities": likely}
    assert AnswerWriter(schema, about).write(labels, predictions, "a.1") == encode(told)


@given(st.lists(FLOAT, min_size=1, max_size=4))
def test_answers_of_values_are_those_of_json(values):
    schema = Schema(columns=(), target="y", task="regression", classes=())
    predictions = np.array(values, dtype=np.float32)
    told = {"version": 1, "id": "a.1", "predictions": predictions.tolist()}
    written = AnswerWriter(schema, {"version": 1}).write(list(predictions), predictions, "a.1")
    assert written == encode(told)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_an_answer_that_is_not_finite_is_refused(task, odd):
    classes = ("no", "yes") if task == "binary" else ()
    schema = Schema(columns=(), target="y", task=task, classes=classes)
    rows = [[0.5, 0.5], [odd, -odd]] if classes else [0.5, odd, -odd]
    labels = ["no", "no"] if classes else rows
    with pytest.raises(ServingError, match="finite"):
        AnswerWriter(schema, {}).write(labels, np.array(rows, dtype=np.float32), "a.1")
    with pytest.raises(ServingError, match="finite"):
        encode({"predictions": [float(odd)]})
