import json

import jsonschema
import pytest

from raymm.artifacts import Column
from raymm.serving import openapi, protocol
from raymm.serving.feedback import LabelReader


def test_requests_that_fit_the_schema_are_accepted(schema, record):
    rules = openapi.request_schema(schema, 10)
    body = {"records": [record, protocol.example(schema)]}
    jsonschema.validate(body, rules)
    protocol.RecordReader(schema).tensors(body["records"])
    jsonschema.validate(body | {"id": "my-own.7"}, rules)
    for name in ("", "a b", 7):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body | {"id": name}, rules)
    for wrong in ({"age": "x"}, {"age": None}, {"note": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"records": [record | wrong]}, rules)


def test_answers_fit_the_schema(make_client, make_served, record, post):
    for task in ("binary", "regression"):
        served = make_served(task=task)
        _, answer = post(make_client(served), {"records": [record]})
        jsonschema.validate(answer, openapi.answer_schema(served.schema))


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_explanations_are_asked_for_and_answered_as_described(
    make_client, make_served, record, post, task
):
    served = make_served(task=task)
    asked = {"records": [record]} | ({"class": "no"} if task == "binary" else {})
    rules = openapi.explain_schema(served.schema, 2)
    jsonschema.validate(asked, rules)
    for wrong in (asked | {"class": "maybe"}, {"records": [record] * 3}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, rules)
    _, answer = post(make_client(served), asked, "/v1/models/churn/explain")
    jsonschema.validate(answer, openapi.explained_schema(served.schema))


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_example_of_feedback_is_read(make_served, task):
    schema = make_served(task=task).schema
    rules = openapi.feedback_schema(schema, 2)
    example = rules["example"]
    jsonschema.validate(example, rules)
    assert LabelReader(schema).feedback(example, 2).ids == ("4f1c9a0be27d3358",)
    for wrong in ({"labels": []}, {"labels": [{"id": "a b", "label": "yes"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, rules)


def test_every_route_for_models_is_described(make_served, make_client):
    made = openapi.document([make_served()], secured=True, max_rows=5, max_explained=2)
    root = "/v1/models/churn"
    posted = {path for path in made["paths"] if "post" in made["paths"][path]}
    assert posted == {f"{root}/predict", f"{root}/explain", f"{root}/feedback",
                      "/v2/models/churn/infer"}  # fmt: skip
    client = make_client()
    told = client.get("/openapi.json").json()["paths"]
    assert told.keys() == made["paths"].keys()
    statuses = {
        path: client.request(method.upper(), path).status_code
        for path, methods in told.items()
        for method in methods
    }
    # neither a monitor nor a desk runs here, and an empty body is no JSON
    unwatched = {f"{root}/monitor", f"{root}/release"}
    assert {path for path, status in statuses.items() if status == 404} <= unwatched
    assert {statuses[path] for path in posted} == {422}
    records = made["paths"][f"{root}/explain"]["post"]["requestBody"]
    assert (
        records["content"]["application/json"]["schema"]["properties"]["records"]["maxItems"] == 2
    )


def test_document(make_served):
    made = openapi.document([make_served()], secured=True, max_rows=5, max_explained=2)
    assert json.loads(protocol.encode(made)) == made
    assert made["security"] == [{"token": []}]
    assert made["paths"]["/v2/health/live"]["get"]["security"] == []
    assert "security" not in openapi.document([], secured=False, max_rows=5, max_explained=2)


def test_columns_tell_what_was_seen():
    age = Column(name="age", kind="number", minimum=1, maximum=99, nullable=False, example=41)
    told = openapi.column_schema(age)
    assert told == {"type": ["number"], "description": "number; seen from 1 to 99",
                    "examples": [41]}  # fmt: skip
    city = Column(name="city", kind="category", categories=tuple(map(str, range(30))))
    assert "and 10 more; may be null" in openapi.column_schema(city)["description"]
    day = Column(name="day", kind="datetime", minimum=0, maximum=86400)
    assert "from 1970-01-01T00:00:00+00:00" in openapi.column_schema(day)["description"]
