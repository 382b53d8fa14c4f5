from dataclasses import replace

import jsonschema
import pytest

from raymm.serving import openapi
from raymm.serving.inference_openapi import infer_schema, inferred_schema
from raymm.serving.inference_protocol import tensors

PATH = "/v2/models/churn/infer"


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_example_is_answered_and_the_answer_is_as_described(
    make_client, make_served, post, task
):
    served = make_served(task=task)
    rules = infer_schema(served.schema, 10)
    jsonschema.validate(rules["example"], rules)
    status, answer = post(make_client(served), {"id": "a", **rules["example"]}, PATH)
    assert status == 200, answer
    jsonschema.validate(answer, inferred_schema(served.schema))
    _, records = post(
        make_client(served), openapi.request_schema(served.schema, 10)["example"],
        "/v1/models/churn/predict",
    )  # fmt: skip
    assert answer["outputs"][0]["data"] == records["predictions"]


def test_columns_that_the_model_does_not_read_may_be_sent(make_client, make_served, post):
    served = make_served()
    columns = [
        replace(one, role="ignored", reason="of no use") if one.name == "age" else one
        for one in served.schema.columns
    ]
    fewer = replace(served.schema, columns=tuple(columns))
    rules, body = infer_schema(fewer, 10), infer_schema(served.schema, 10)["example"]
    jsonschema.validate(body, rules)
    assert set(tensors(fewer, body, 10)) == {one.name for one in fewer.features}
    stranger = {**body["inputs"][0], "name": "nobody"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inputs": [*body["inputs"], stranger]}, rules)


def test_what_the_service_refuses_the_schema_refuses(make_served):
    schema = make_served().schema
    rules = infer_schema(schema, 2)
    first, *others = rules["example"]["inputs"]
    for change in (
        {"name": "nobody"}, {"datatype": "FP99"}, {"shape": [3, 1]}, {"shape": [1, 2]},
        {"shape": []}, {"data": [1, 2, 3]}, {"data": "1"},
    ):  # fmt: skip
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"inputs": [first | change, *others]}, rules)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"inputs": others}, rules)
    jsonschema.validate({"inputs": [first | {"data": [[41]]}, *others]}, rules)


def test_the_document_tells_of_json_and_of_bytes(make_served):
    made = openapi.document([make_served()], secured=True, max_rows=5, max_explained=2)
    infer = made["paths"][PATH]["post"]
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert infer["parameters"][0]["name"] == "Inference-Header-Content-Length"
    told = infer["requestBody"]["content"]["application/json"]["schema"]
    assert told["example"]["inputs"]
