"""Requests in CSV and Arrow, from the body to the answer."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest

from raymm.artifacts import Watcher
from raymm.serving.media import ARROW, CSV, JSON

PATH = "/v1/models/churn/predict"
MEDIA = {"json": JSON.decode(), "csv": CSV.decode(), "arrow": ARROW.decode()}


def bodies(records):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    sink = io.BytesIO()
    table = pa.Table.from_pylist(records)
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return {
        "json": json.dumps({"records": records}).encode(),
        "csv": out.getvalue().encode(),
        "arrow": sink.getvalue(),
    }


def numbers(answer):
    """The predictions of an answer and the probabilities of "yes"."""
    kind = answer.headers["content-type"]
    if kind == MEDIA["json"]:
        told = answer.json()
        return told["predictions"], [row["yes"] for row in told["probabilities"]]
    if kind == MEDIA["csv"]:
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        return [r["prediction"] for r in rows], [float(r["probability_yes"]) for r in rows]
    table = pa.ipc.open_stream(answer.content).read_all()
    return table["prediction"].to_pylist(), table["probability_yes"].to_pylist()


@pytest.fixture
def told():
    return []


@pytest.fixture
def client(make_client, told):
    class Telling(Watcher):
        def watch(self, version, statistics, **how): ...

        def tell(self, batch):
            told.append(batch)

        def report(self):
            return {}

    return make_client(watcher_for=lambda name: Telling(), max_rows=500)


def test_all_formats_lead_to_the_same_answer(client, record, told):
    ages = np.random.default_rng(0).normal(40, 20, 200)
    records = [record | {"age": float(age)} for age in ages]
    found = []
    for name, body in bodies(records).items():
        for asked in MEDIA.values():
            headers = {"content-type": MEDIA[name], "accept": asked}
            answer = client.post(PATH, content=body, headers=headers)
            assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, "1")
            assert answer.headers["content-type"] == asked
            found.append(numbers(answer))
            assert told[-1].rows == 200
            identity = answer.headers["x-raymm-prediction"]
            assert told[-1].ids[:2] == (f"{identity}-0", f"{identity}-1")
    assert len(found) == 9
    assert all(one == found[0] for one in found)
    for batch in told:
        assert batch.tensors["age"].tobytes() == told[0].tensors["age"].tobytes()
        assert batch.tensors["city"].tolist() == told[0].tensors["city"].tolist()


def test_a_client_names_its_prediction(client, record, told):
    for name, media in MEDIA.items():
        headers = {"content-type": media, "x-raymm-prediction": "mine"}
        answer = client.post(PATH, content=bodies([record])[name], headers=headers)
        assert answer.json()["id"] == "mine"
        assert told[-1].ids == ("mine",)
        headers["x-raymm-prediction"] = "not allowed"
        answer = client.post(PATH, content=bodies([record])[name], headers=headers)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "id")


@pytest.mark.parametrize(
    ("name", "body", "status", "field"),
    [
        ("csv", b"age,city\n1,x\n", 422, "line 1, income"),
        ("csv", b"age,town\n1,x\n", 422, "line 1, town"),
        ("csv", b"age\n" + b"1\n" * 501, 413, None),
        ("csv", b'"', 422, "line 1"),
        ("arrow", b"age\n1\n", 422, "body"),
        ("arrow", b"", 422, "body"),
    ],
)
def test_what_is_wrong_is_told(client, told, name, body, status, field):
    answer = client.post(PATH, content=body, headers={"content-type": MEDIA[name]})
    assert answer.status_code == status
    assert answer.json()["error"].get("field") == field
    assert told[-1].error == answer.json()["error"]["type"]


def test_a_wrong_cell_is_told_with_its_line(client, record):
    body = bodies([record, record | {"note": "two\nlines"}, record])["csv"]
    body = b"x".join(body.rsplit(b"41", 1))
    answer = client.post(PATH, content=body, headers={"content-type": "text/csv"})
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "type": "InputError",
        "message": "line 5, age must be a number, but got 'x' (text).",
        "field": "line 5, age",
        "observed": "'x' (text)",
        "allowed": "a number",
    }


def test_kinds_of_which_none_is_read(client):
    answer = client.post(PATH, content=b"x", headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 415
    assert "text/csv" in answer.json()["error"]["message"]
    tensors = client.post(
        "/v2/models/churn/infer", content=b"", headers={"content-type": "text/csv"}
    )
    assert tensors.status_code == 415


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_example_of_the_description_is_answered_as_described(make_client, make_served, task):
    client = make_client(make_served(task=task))
    operation = client.get("/openapi.json").json()["paths"][PATH]["post"]
    asked = operation["requestBody"]["content"]
    answered = operation["responses"]["200"]["content"]
    assert set(asked) == set(answered) == set(MEDIA.values())
    headers = {"content-type": "text/csv", "accept": "text/csv"}
    answer = client.post(PATH, content=asked["text/csv"]["example"].encode(), headers=headers)
    assert answer.status_code == 200
    texts = answer.text, answered["text/csv"]["example"]
    heads = [next(csv.reader(text.splitlines())) for text in texts]
    assert heads[0] == heads[1]
