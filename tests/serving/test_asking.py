"""What a request asks is read once, and any version answers it."""

from __future__ import annotations

import json

import pytest

from raymm.errors import InputError, TooLarge
from raymm.sections import ServingConfig
from raymm.serving import asking
from raymm.serving.media import ARROW, CSV, JSON

CONFIG = ServingConfig()


def _inputs(**changed):
    values = {"age": 41.0, "income": 1.5, "member": True, "city": "x", "since": 1, "note": "x"}
    kinds = {float: "FP32", bool: "BOOL", str: "BYTES", int: "INT64"}
    return [
        {"name": key, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for key, value in (values | changed).items()
    ]


def _infer(served, **document):
    body = json.dumps({"inputs": _inputs(), **document}).encode()
    return asking.tensors(served, body, "made", {b"content-type": JSON}, CONFIG)


def test_a_request_is_read_once_and_answered_by_any_version(make_served, record):
    served, other = make_served(), make_served(number=2, shift=1.0)
    body = json.dumps({"records": [record]}).encode()
    asked = asking.records(served, body, "made", {}, CONFIG)
    assert asked.identity == "made"
    who, content, media, tensors, predictions, identity, read = asked.answer(served)
    assert (who, media, identity, read) == (served, JSON, "made", asked.read)
    assert predictions.shape == (1, 2)
    assert json.loads(content)["version"] == 1
    assert json.loads(asked.answer(other)[1])["version"] == 2
    # What was predicted elsewhere is written alike.
    assert asked.answered(served, tensors, predictions)[1] == content


def test_a_request_names_its_prediction(make_served, record):
    served = make_served()
    body = json.dumps({"records": [record], "id": "mine"}).encode()
    assert asking.records(served, body, "made", {}, CONFIG).identity == "mine"
    csv = (",".join(record) + "\n" + ",".join(map(str, record.values())) + "\n").encode()
    headers = {b"content-type": CSV, b"x-raymm-prediction": b"mine"}
    assert asking.records(served, csv, "made", headers, CONFIG).identity == "mine"
    assert _infer(served, id="mine").identity == "mine"
    assert _infer(served).identity == "made"


def test_a_name_beside_json_stands_in_the_body_the_header_or_alike_in_both(make_served, record):
    served = make_served()

    def named(header, **given):
        body = json.dumps({"records": [record], **given}).encode()
        headers = {b"content-type": JSON, b"x-raymm-prediction": header}
        return asking.records(served, body, "made", headers, CONFIG).identity

    assert named(b"mine") == named(b"mine", id="mine") == named(b"mine", id=None) == "mine"
    with pytest.raises(InputError, match='"mine", as the header x-raymm-pred') as error:
        named(b"mine", id="other")
    assert (error.value.field, error.value.observed) == ("id", "'other' (text)")
    for header, given in ((b"", {}), (b"a b", {}), (b"\xff", {}), (b"mine", {"id": 7})):
        with pytest.raises(InputError, match="id must be 1 to 64"):
            named(header, **given)


def test_an_empty_name_is_refused_but_for_the_protocol_where_it_stands_for_none(
    make_served, record
):
    served = make_served()
    body = json.dumps({"records": [record], "id": ""}).encode()
    with pytest.raises(InputError, match="id must be 1 to 64"):
        asking.records(served, body, "made", {}, CONFIG)
    csv = (",".join(record) + "\n" + ",".join(map(str, record.values())) + "\n").encode()
    headers = {b"content-type": CSV, b"x-raymm-prediction": b""}
    with pytest.raises(InputError, match="id must be 1 to 64"):
        asking.records(served, csv, "made", headers, CONFIG)
    null = json.dumps({"records": [record], "id": None}).encode()
    assert asking.records(served, null, "made", {}, CONFIG).identity == "made"
    assert _infer(served, id="").identity == "made"
    for wrong in (0, False, [], "a b"):
        with pytest.raises(InputError, match="id must be"):
            _infer(served, id=wrong)


@pytest.mark.parametrize("media", [JSON, CSV, ARROW])
def test_an_answer_comes_in_the_type_that_is_asked_for(make_served, record, media):
    served = make_served()
    body = json.dumps({"records": [record]}).encode()
    asked = asking.records(served, body, "made", {b"accept": media}, CONFIG)
    content, given = asked.write(served, served.runner.predict(asked.read(served)))
    assert given == media
    assert content.startswith({JSON: b'{"model"', CSV: b'"prediction"', ARROW: b"\xff\xff"}[media])


def test_wrong_rows_are_found_before_anything_is_predicted(make_served, record):
    served = make_served()
    body = json.dumps({"records": [record | {"age": "x"}]}).encode()
    with pytest.raises(InputError, match="age"):
        asking.records(served, body, "made", {}, CONFIG).read(served)
    body = json.dumps({"inputs": _inputs(age="x")}).encode()
    with pytest.raises(InputError, match="age"):
        asking.tensors(served, body, "made", {}, CONFIG).read(served)
    few = ServingConfig(max_rows=1)
    body = json.dumps({"records": [record] * 2}).encode()
    with pytest.raises(TooLarge, match="max_rows"):
        asking.records(served, body, "made", {}, few)


def test_outputs_are_those_that_are_asked_for(make_served):
    served = make_served()
    everything = json.loads(_infer(served).answer(served)[1])["outputs"]
    assert len(everything) > 1
    name = everything[0]["name"]
    told = json.loads(_infer(served, outputs=[{"name": name}]).answer(served)[1])["outputs"]
    assert told == everything[:1]
    for wrong in ("x", [{"name": "x"}], [1]):
        with pytest.raises(InputError, match="outputs"):
            _infer(served, outputs=wrong).answer(served)
