"""Tensors whose data follows the JSON document."""

from __future__ import annotations

import json
import struct
import threading
import time
import tracemalloc

import numpy as np
import pytest
import uvicorn

from raymm.errors import InputError
from raymm.serving.raw_tensors import document_of

INFER = "/v2/models/churn/infer"
HEADER = "Inference-Header-Content-Length"
WAYS = {
    "age": ("FP32", "<f4", 41.0),
    "income": ("FP64", "<f8", 1.5),
    "member": ("BOOL", "?", True),
    "city": ("BYTES", None, "Rome"),
    "since": ("INT64", "<i8", 1_580_515_200),
    "note": ("BYTES", None, "hé"),
}


def packed(dtype, values):
    if dtype is not None:
        return np.array(values, dtype).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def asked(rows=2):
    """Return the same request with its data in JSON, and as (document, what follows)."""
    plain, raw, tail = [], [], b""
    for name, (datatype, dtype, value) in WAYS.items():
        tensor = {"name": name, "datatype": datatype, "shape": [rows, 1]}
        data = packed(dtype, [value] * rows)
        plain.append(tensor | {"data": [value] * rows})
        raw.append(tensor | {"parameters": {"binary_data_size": len(data)}})
        tail += data
    return {"id": "mine", "inputs": plain}, {"id": "mine", "inputs": raw}, tail


def sent(client, document, tail, length=None, media="application/octet-stream"):
    head = json.dumps(document).encode()
    headers = {HEADER: str(len(head) if length is None else length), "content-type": media}
    return client.post(INFER, content=head + tail, headers=headers)


@pytest.mark.parametrize("media", ["application/octet-stream", "application/json", ""])
def test_raw_data_is_answered_as_json_is(make_client, media):
    client = make_client()
    plain, document, tail = asked()
    answer = sent(client, document, tail, media=media)
    assert answer.status_code == 200
    assert answer.json() == client.post(INFER, json=plain).json()


def test_some_tensors_may_have_their_data_in_the_document(make_client):
    plain, document, tail = asked()
    mixed = {"id": "mine", "inputs": [plain["inputs"][0], *document["inputs"][1:]]}
    assert sent(make_client(), mixed, tail[8:]).status_code == 200


@pytest.mark.parametrize(
    ("change", "tail", "length", "field"),
    [
        ({}, b"more", None, "body"),
        ({}, b"", 10_000, HEADER),
        ({}, b"", -1, HEADER),
        ({"parameters": {"binary_data_size": 9}}, b"", None, "inputs[0].data"),
        ({"parameters": {"binary_data_size": -1}}, b"", None, "inputs[0].parameters"),
        ({"parameters": {"binary_data_size": 10**9}}, b"", None, "inputs[0].parameters"),
        ({"parameters": {"binary_data_size": True}}, b"", None, "inputs[0].parameters"),
        ({"datatype": "FP12"}, b"", None, "inputs[0].datatype"),
        ({"datatype": 3}, b"", None, "inputs[0].datatype"),
        ({"datatype": "BYTES"}, b"", None, "inputs[0].data"),
        ({"shape": [1] * 500}, b"", None, "inputs[0].shape"),
        ({"shape": [2, "1"]}, b"", None, "inputs[0].shape"),
        ({"shape": [2**40, 2**40]}, b"", None, "inputs[0].data"),
        ({"shape": "2"}, b"", None, "inputs[0].shape"),
    ],
)
def test_what_does_not_fit_is_told(make_client, change, tail, length, field):
    _, document, data = asked()
    document["inputs"][0] |= change
    answer = sent(make_client(), document, data + tail, length)
    assert answer.status_code == 422
    assert answer.json()["field"].startswith(field)


def test_without_the_header_it_is_json():
    assert document_of(b"[1]", {}) == [1]
    with pytest.raises(InputError):
        document_of(b"[1]x", {})


@pytest.mark.slow
@pytest.mark.parametrize("datatype", ["FP16", "BOOL", "BYTES"])
def test_rows_are_bounded_before_values_are_read(make_client, datatype):
    tail = bytes(400_000)
    rows = len(tail) // {"FP16": 2, "BOOL": 1, "BYTES": 4}[datatype]
    tensor = {"name": "age", "datatype": datatype, "shape": [rows]}
    document = {"inputs": [tensor | {"parameters": {"binary_data_size": len(tail)}}]}
    head = json.dumps(document).encode()
    tracemalloc.start()
    try:
        made = document_of(head + tail, {HEADER.lower().encode(): b"%d" % len(head)})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(tail)  # the body, and the tensor's part of it
    assert made["inputs"][0]["data"].count == rows
    assert sent(make_client(), document, tail).status_code == 413


def test_tritons_own_client_works_unchanged(make_client):
    """The client of NVIDIA Triton, which sends raw data by itself, against a server on loopback."""
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    app = make_client(tokens={"a": "secret"}).app
    made = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="critical")
    server = uvicorn.Server(made)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    client = triton.InferenceServerClient(
        f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    )
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("churn")
        assert client.get_server_metadata()["name"] == "raymm"
        secret = {"authorization": "Bearer secret"}  # the client adds to what it is given
        told = client.get_model_metadata("churn", headers=dict(secret))
        assert len(told["inputs"]) == len(WAYS)
        for binary in (True, False):
            inputs = []
            for name, (datatype, dtype, value) in WAYS.items():
                inputs.append(triton.InferInput(name, [2, 1], datatype))
                values = np.full((2, 1), value, dtype or object)
                inputs[-1].set_data_from_numpy(values, binary_data=binary)
            for outputs in (None, [triton.InferRequestedOutput("probabilities")]):
                found = client.infer("churn", inputs, outputs=outputs, headers=dict(secret))
                assert found.as_numpy("probabilities").shape == (2, 2)
                assert found.as_numpy("probabilities")[0, 1] == pytest.approx(0.601, abs=0.001)
            found = client.infer("churn", inputs, request_id="mine", headers=dict(secret))
            assert found.get_response()["id"] == "mine"
            assert found.as_numpy("prediction").tolist() == [["yes"]] * 2
        with pytest.raises(triton.InferenceServerException) as refused:
            client.infer("churn", inputs)
        assert refused.value.status() == "401"
        assert "token" in str(refused.value)
    finally:
        client.close()
        server.should_exit = True
        thread.join(10)
