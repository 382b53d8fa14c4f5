import functools
from dataclasses import replace

import pytest

from raymm.errors import InputError
from raymm.serving.inference_protocol import metadata, tensors

PATH = "/v2/models/churn/infer"


def _inputs(rows=1, **changes):
    """One input that is changed, and the others, missing."""
    age = {"name": "age", "shape": [rows, 1], "datatype": "FP32", "data": [41] * rows} | changes
    kinds = {"income": "FP32", "member": "BOOL", "city": "BYTES", "since": "INT64", "note": "BYTES"}
    count = len(age["data"]) if isinstance(age["data"], list) else rows
    others = [
        {"name": name, "shape": [count, 1], "datatype": kind, "data": [None] * count}
        for name, kind in kinds.items()
    ]
    return {"inputs": [age, *others]}


def test_metadata_describes_a_request_that_works(make_client, make_served, post):
    client = make_client()
    about = client.get("/v2/models/churn").json()
    data = {"FP32": 41, "BOOL": True, "INT64": 0, "BYTES": "Rome"}
    inputs = [
        {**told, "shape": [1, 1], "data": [data[told["datatype"]]]} for told in about["inputs"]
    ]
    status, answer = post(client, {"id": "a-1", "inputs": inputs}, PATH)
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a-1", "churn", "1")
    for output, told in zip(answer["outputs"], about["outputs"], strict=True):
        assert (output["name"], output["datatype"]) == (told["name"], told["datatype"])
        assert output["shape"][1:] == told["shape"][1:]


def test_agrees_with_records(make_client, record, post):
    client = make_client()
    _, by_record = post(client, {"records": [{**dict.fromkeys(record), "age": 41}] * 2})
    _, by_tensor = post(client, _inputs(rows=2), PATH)
    prediction, probabilities = by_tensor["outputs"]
    assert prediction["data"] == by_record["predictions"]
    assert probabilities["shape"] == [2, 2]
    flat = [row[name] for row in by_record["probabilities"] for name in ("no", "yes")]
    assert probabilities["data"] == flat


@pytest.mark.parametrize("data", [[[41], [41]], [41, 41]])
@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_shapes_of_one_column(schema, data, shape):
    body = _inputs(data=data, shape=shape)
    assert tensors(schema, body, 10)["age"].tolist() == [41, 41]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "body"),
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{}]}, "inputs[0].name"),
        ({"inputs": _inputs()["inputs"][:1] * 2}, "inputs[1].name"),
        ({"id": 1, **_inputs()}, "id"),
        (_inputs(name="agee"), "inputs.agee"),
        (_inputs(datatype="BYTES"), "inputs.age.datatype"),
        (_inputs(datatype=None), "inputs.age.datatype"),
        (_inputs(datatype=["FP32"]), "inputs.age.datatype"),
        (_inputs(shape=[1, 2]), "inputs.age.shape"),
        (_inputs(shape=[0, 1]), "inputs.age.shape"),
        (_inputs(shape=[-1, 1]), "inputs.age.shape"),
        (_inputs(shape=[True]), "inputs.age.shape"),
        (_inputs(shape=None), "inputs.age.shape"),
        (_inputs(shape=[2, 1]), "inputs.age.data"),
        (_inputs(data=[]), "inputs.age.data"),
        (_inputs(data=None), "inputs.age.data"),
        (_inputs(data=[[1, 2]]), "inputs.age.data"),
        (_inputs(data=["x"]), "inputs.age.data[0]"),
        (_inputs() | {"outputs": [{"name": "other"}]}, "outputs[0].name"),
        (_inputs() | {"outputs": 3}, "outputs"),
        ({"inputs": [{"name": "income", "shape": [1], "datatype": "FP32", "data": [1]}]},
         "inputs.age"),
    ],
)  # fmt: skip
def test_wrong_requests_name_the_field(make_client, post, body, field):
    status, answer = post(make_client(), body, PATH)
    assert (status, answer["field"]) == (422, field)


def test_inputs_that_the_model_does_not_read_are_passed_over(schema):
    whole = _inputs(rows=2)
    strange = [
        {"name": "row_id", "shape": [7], "datatype": "ANY", "data": "x"},
        {"name": "left", "shape": None},
    ]
    columns = tuple(
        replace(column, role="ignored") if column.name == "note" else column
        for column in schema.columns
    )
    fewer = replace(schema, columns=columns)
    made = tensors(fewer, {"inputs": [*strange, *whole["inputs"]]}, 10)
    assert list(made) == ["age", "income", "member", "city", "since"]
    assert made["age"].tolist() == [41, 41]
    with pytest.raises(InputError, match="an unknown input"):
        tensors(fewer, {"inputs": [*whole["inputs"], {"name": "notes"}]}, 10)
    with pytest.raises(InputError, match=r"inputs\.age must be one of the inputs"):
        tensors(fewer, {"inputs": strange}, 10)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ("%d/%m/%Y", "INT64, in seconds since 1970 UTC, but"),
        ("epoch ms", "INT64, in milliseconds since 1970 UTC, but"),
        ("%Y%m%d", "seconds since 1970 UTC, or as whole numbers in the format %Y%m%d, but"),
    ],
)
def test_what_a_dates_numbers_are_is_told(schema, form, told):
    columns = tuple(
        replace(column, format=form) if column.name == "since" else column
        for column in schema.columns
    )
    body = _inputs()
    next(one for one in body["inputs"] if one["name"] == "since")["datatype"] = "BYTES"
    with pytest.raises(InputError) as caught:
        tensors(replace(schema, columns=columns), body, 10)
    assert told in str(caught.value)


def test_rows_are_bounded(make_client, post):
    assert post(make_client(max_rows=5), _inputs(rows=6), PATH)[0] == 413
    # a shape that promises more rows than the data holds costs nothing
    assert post(make_client(), _inputs(shape=[10**12, 1]), PATH)[0] == 413


def test_versions_and_outputs(make_client, make_served, post):
    client = make_client(make_served(number=4))
    body = _inputs() | {"outputs": [{"name": "probabilities"}]}
    status, answer = post(client, body, "/v2/models/churn/versions/4/infer")
    assert (status, [o["name"] for o in answer["outputs"]]) == (200, ["probabilities"])
    assert post(client, body, "/v2/models/churn/versions/3/infer")[0] == 404
    assert client.get("/v2/models/churn/ready").json() == {"name": "churn", "ready": True}


def test_regression_has_one_output(make_served):
    schema = make_served(task="regression").schema
    assert [o["name"] for o in metadata("m", 1, schema)["outputs"]] == ["prediction"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/churn/infer", 422),
        ("/v2/models/other/infer", 404),
        ("/v2/models/churn/ready", 405),
        ("/v2/nothing", 404),
    ],
)
def test_errors_are_text_as_the_protocol_says(make_client, path, status):
    client = make_client()
    answer = client.post(path, json={})
    assert answer.status_code == status
    told = answer.json()
    assert type(told["error"]) is str
    described = client.get("/openapi.json").json()
    infer = described["paths"]["/v2/models/churn/infer"]["post"]["responses"]["default"]
    named = infer["content"]["application/json"]["schema"]["$ref"].removeprefix("#/")
    schema = functools.reduce(dict.__getitem__, named.split("/"), described)
    assert schema["properties"]["error"] == {"type": "string"}
    assert set(schema["required"]) <= set(told) <= set(schema["properties"])
