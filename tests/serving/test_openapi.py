import json

import jsonschema
import pytest

from raymm.artifacts import Column
from raymm.serving import openapi, protocol


def test_requests_that_fit_the_schema_are_accepted(schema, record):
    rules = openapi.request_schema(schema, 10)
    body = {"records": [record, protocol.example(schema)]}
    jsonschema.validate(body, rules)
    protocol.RecordReader(schema).tensors(body["records"])
    for wrong in ({"age": "x"}, {"age": None}, {"note": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"records": [record | wrong]}, rules)


def test_answers_fit_the_schema(make_client, make_served, record, post):
    for task in ("binary", "regression"):
        served = make_served(task=task)
        _, answer = post(make_client(served), {"records": [record]})
        jsonschema.validate(answer, openapi.answer_schema(served.schema))


def test_document(make_served):
    made = openapi.document([make_served()], secured=True, max_rows=5)
    assert json.loads(protocol.encode(made)) == made
    assert made["security"] == [{"token": []}]
    assert made["paths"]["/v2/health/live"]["get"]["security"] == []
    assert "security" not in openapi.document([], secured=False, max_rows=5)


def test_columns_tell_what_was_seen():
    age = Column(name="age", kind="number", minimum=1, maximum=99, nullable=False, example=41)
    told = openapi.column_schema(age)
    assert told == {"type": ["number"], "description": "number; seen from 1 to 99",
                    "examples": [41]}  # fmt: skip
    city = Column(name="city", kind="category", categories=tuple(map(str, range(30))))
    assert "and 10 more; may be null" in openapi.column_schema(city)["description"]
    day = Column(name="day", kind="datetime", minimum=0, maximum=86400)
    assert "from 1970-01-01T00:00:00+00:00" in openapi.column_schema(day)["description"]
