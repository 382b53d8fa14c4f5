"""The Open Inference Protocol over gRPC: the same answers as over HTTP."""

from __future__ import annotations

import asyncio
import struct
import threading

import numpy as np
import pytest

from raymm.serving.grpc_protocol import METHODS, message
from raymm.serving.grpc_service import Failed, Methods

KINDS = {
    "age": ("FP32", "fp32_contents", 41.0),
    "income": ("FP64", "fp64_contents", 1.5),
    "member": ("BOOL", "bool_contents", True),
    "city": ("BYTES", "bytes_contents", b"Rome"),
    "since": ("INT64", "int64_contents", 1_580_515_200),
    "note": ("BYTES", "bytes_contents", "hé".encode()),
}


def request(*, raw=False, rows=1, **changes):
    made = message("ModelInferRequest")(model_name="churn", id="mine")
    for name, (datatype, contents, value) in KINDS.items():
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[rows, 1])
        values = [changes.get(name, value)] * rows
        if not raw:
            getattr(tensor.contents, contents).extend(values)
        elif datatype == "BYTES":
            made.raw_input_contents.append(
                b"".join(struct.pack("<I", len(one)) + one for one in values)
            )
        else:
            dtype = {"FP32": "<f4", "FP64": "<f8", "BOOL": "?", "INT64": "<i8"}[datatype]
            made.raw_input_contents.append(np.array(values, dtype).tobytes())
    return made


@pytest.fixture
def call(make_client):
    def made(method, asked=None, *, metadata=(), max_bytes=2**20, full=False, **how):
        app = make_client(**how).app
        if full:
            app.state.service._room.held = app.state.service._room.places
        service = app.state.service
        methods = Methods(
            app,
            max_bytes=max_bytes,
            max_rows=service.config.max_rows,
            guard=app.state.guard,
            telemetry=service.telemetry,
        )
        data = b"" if asked is None else asked
        data = data if isinstance(data, bytes) else data.SerializeToString()
        answer = asyncio.run(methods.call(method, data, metadata))
        return message(f"{method}Response").FromString(answer.SerializeToString())

    return made


def test_server_and_model(call):
    assert call("ServerLive").live
    assert call("ServerReady").ready
    assert call("ServerMetadata").name == "raymm"
    named = message("ModelReadyRequest")
    assert call("ModelReady", named(name="churn")).ready
    assert call("ModelReady", named(name="churn", version="1")).ready
    assert not call("ModelReady", named(name="churn", version="2")).ready
    assert not call("ModelReady", named(name="other")).ready
    told = call("ModelMetadata", message("ModelMetadataRequest")(name="churn"))
    assert [one.datatype for one in told.inputs] == ["FP32", "FP32", "BOOL", "BYTES", "INT64",
                                                     "BYTES"]  # fmt: skip
    assert [(one.name, list(one.shape)) for one in told.outputs] == [
        ("prediction", [-1, 1]),
        ("probabilities", [-1, 2]),
    ]


def test_typed_and_raw_contents_give_the_same(call):
    typed, raw = call("ModelInfer", request(rows=3)), call("ModelInfer", request(raw=True, rows=3))
    assert (typed.model_name, typed.model_version, typed.id) == ("churn", "1", "mine")
    label, probabilities = typed.outputs
    assert list(label.contents.bytes_contents) == [b"yes"] * 3
    assert list(probabilities.shape) == [3, 2]
    assert probabilities.contents.fp32_contents[1] == pytest.approx(0.601, abs=0.001)
    assert raw.raw_output_contents[0] == (struct.pack("<I", 3) + b"yes") * 3
    assert np.frombuffer(raw.raw_output_contents[1], "<f4").tolist() == list(
        probabilities.contents.fp32_contents
    )
    assert not raw.outputs[0].contents.ByteSize()


@pytest.mark.parametrize("raw", [False, True])
def test_inputs_that_the_model_does_not_read_are_passed_over(call, raw):
    asked = request(raw=raw)
    asked.inputs.add(name="row_id", datatype="INT64", shape=[1, 1])
    if raw:
        asked.raw_input_contents.append(struct.pack("<q", 7))
    else:
        asked.inputs[-1].contents.int64_contents.append(7)
    assert call("ModelInfer", asked).outputs[0] == call("ModelInfer", request(raw=raw)).outputs[0]


def test_outputs_may_be_chosen_and_nan_is_missing(call):
    asked = request(income=float("nan"))
    asked.outputs.add(name="probabilities")
    (output,) = call("ModelInfer", asked).outputs
    assert output.name == "probabilities"
    with pytest.raises(Failed, match="age") as failed:
        call("ModelInfer", request(age=float("nan")))  # which may not be missing
    assert failed.value.code == "INVALID_ARGUMENT"


def other(**what):
    made = request()
    for key, value in what.items():
        setattr(made, key, value)
    return made


def broken(raw):
    made = request(raw=True)
    made.raw_input_contents[:] = raw(list(made.raw_input_contents))
    return made


def many(outputs=0, shape=0):
    made = request()
    for _ in range(outputs):
        made.outputs.add(name="prediction")
    made.inputs[0].shape.extend([1] * (shape - len(made.inputs[0].shape)))
    return made


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (other(model_name="nobody"), "NOT_FOUND", "nobody"),
        (other(model_name="a/b"), "NOT_FOUND", "a/b"),
        (other(model_version="7"), "NOT_FOUND", "7"),
        (request(age=float("inf")), "INVALID_ARGUMENT", "infinity"),
        (request(city=b"\xff"), "INVALID_ARGUMENT", "UTF-8"),
        (other(id="no spaces"), "INVALID_ARGUMENT", "id"),
        (broken(lambda raw: raw[:-1]), "INVALID_ARGUMENT", "one for each"),
        (broken(lambda raw: [raw[0][:3], *raw[1:]]), "INVALID_ARGUMENT", "multiple of 4"),
        (broken(lambda raw: [*raw[:3], raw[3][:-1], *raw[4:]]), "INVALID_ARGUMENT", "whole texts"),
        (broken(lambda raw: [*raw[:3], b"\xff\xff\xff\xff", *raw[4:]]), "INVALID_ARGUMENT", "text"),
        (broken(lambda raw: [raw[0] * 2, *raw[1:]]), "INVALID_ARGUMENT", "values"),
        (b"\xff", "INVALID_ARGUMENT", "no message"),
        (b"\xff" * 20_000, "INVALID_ARGUMENT", "no message"),
        (many(outputs=101), "INVALID_ARGUMENT", "100 outputs at most"),
        (many(shape=9), "INVALID_ARGUMENT", "8 dimensions at most"),
    ],
)
def test_wrong_requests_are_told_so(call, asked, code, told):
    with pytest.raises(Failed, match=told) as failed:
        call("ModelInfer", asked)
    assert failed.value.code == code


def test_tokens_and_limits_are_those_of_http(call):
    with pytest.raises(Failed, match="token") as failed:
        call("ModelInfer", request(), tokens={"a": "secret"})
    assert failed.value.code == "UNAUTHENTICATED"
    with pytest.raises(Failed, match="token"):  # before it is read
        call("ModelInfer", b"\xff", tokens={"a": "secret"})
    metadata = [("authorization", "Bearer secret")]
    assert call("ModelInfer", request(), tokens={"a": "secret"}, metadata=metadata).outputs
    with pytest.raises(Failed, match="at most"):
        call("ModelInfer", request(), max_bytes=10)
    with pytest.raises(Failed, match="rows"):
        call("ModelInfer", request(rows=3), max_rows=2)


def test_each_refusal_is_counted_once_by_whoever_refuses(make_client):
    app = make_client(tokens={"a": "secret"}, max_rows=2).app
    telemetry = app.state.service.telemetry
    guard = app.state.guard
    methods = Methods(app, max_bytes=2000, max_rows=2, guard=guard, telemetry=telemetry)
    known = [("authorization", "Bearer secret")]
    unnamed, unknown = request(), request()
    unnamed.model_name, unknown.model_name = "a/b", "evil"
    calls = [
        (request(), ()),
        (request(rows=400), known),
        (b"\xff", known),
        (unnamed, known),
        (unknown, known),
        (request(rows=3), known),
        (request(), known),
    ]
    for asked, metadata in calls[:-1]:
        data = asked if isinstance(asked, bytes) else asked.SerializeToString()
        with pytest.raises(Failed):
            asyncio.run(methods.call("ModelInfer", data, metadata))
    asyncio.run(methods.call("ModelInfer", calls[-1][0].SerializeToString(), known))
    told = [
        one for one in telemetry.text({}, {}).decode().splitlines() if "raymm_errors_total{" in one
    ]
    assert sorted(told) == [
        'raymm_errors_total{error="InputError",model="",status="422"} 1.0',
        'raymm_errors_total{error="NotFound",model="",status="404"} 2.0',
        'raymm_errors_total{error="TooLarge",model="",status="413"} 1.0',
        'raymm_errors_total{error="TooLarge",model="churn",status="413"} 1.0',
        'raymm_errors_total{error="Unauthorized",model="",status="401"} 1.0',
    ]


def test_many_rows_are_answered_as_few(call):
    few, lots = call("ModelInfer", request(rows=2)), call("ModelInfer", request(rows=900))
    assert [output.shape[0] for output in lots.outputs] == [900, 900]
    told = [output.contents.fp32_contents for answer in (few, lots) for output in answer.outputs]
    assert list(told[3]) == list(told[1]) * 450


def test_nothing_is_unpacked_for_whom_there_is_no_room_or_whose_shape_is_wrong(call, monkeypatch):
    from raymm.serving import grpc_service

    huge = request(raw=True)
    huge.inputs[0].shape[:] = [2**32, 2**32]  # which is nothing in 64 bits
    with monkeypatch.context() as patched:
        patched.setattr(grpc_service.np, "frombuffer", None)
        with pytest.raises(Failed, match="1 values"):
            call("ModelInfer", huge)
    monkeypatch.setattr(grpc_service, "document", None)
    with pytest.raises(Failed, match="no more are accepted") as failed:
        call("ModelInfer", request(), full=True)
    assert failed.value.code == "UNAVAILABLE"


def test_large_messages_are_measured_and_written_off_the_event_loop(call, monkeypatch):
    from raymm.serving import grpc_service

    class Watched:
        def __init__(self, made):
            self._made = made

        def __getattr__(self, name):
            if name in ("ByteSize", "SerializeToString"):
                assert threading.current_thread() is not threading.main_thread()
            return getattr(self._made, name)

    read, response = grpc_service.read_message, grpc_service.response
    watched = {
        "read_message": lambda *given: Watched(read(*given)),
        "response": lambda *given, **how: Watched(response(*given, **how)),
    }
    for name, made in watched.items():
        monkeypatch.setattr(grpc_service, name, made)
    assert call("ModelInfer", request(rows=900)).outputs[0].shape[0] == 900


@pytest.mark.parametrize("raw", [True, False])
def test_rows_are_bounded_before_values_are_read(call, monkeypatch, raw):
    from raymm.serving import grpc_service, raw_tensors

    monkeypatch.setattr(raw_tensors.Raw, "values", None)
    monkeypatch.setattr(grpc_service, "plain", None)
    with pytest.raises(Failed, match="2 rows at most"):
        call("ModelInfer", request(rows=3, raw=raw), max_rows=2)


def test_more_large_calls_than_the_thread_can_do_soon_are_turned_away(make_client):
    from raymm.serving.grpc_reading import LARGE, WAITING, at_ease

    app = make_client().app
    telemetry = app.state.service.telemetry
    methods = Methods(app, max_bytes=2**20, max_rows=1000, guard=None, telemetry=telemetry)
    large, small = (request(rows=rows).SerializeToString() for rows in (900, 1))
    assert len(small) < LARGE < len(large)

    async def scenario():
        free = threading.Event()
        busy = [asyncio.ensure_future(at_ease(LARGE, free.wait)) for _ in range(WAITING - 1)]
        await asyncio.sleep(0)
        begun = asyncio.ensure_future(methods.call("ModelInfer", large, ()))
        await asyncio.sleep(0)
        try:
            with pytest.raises(Failed, match="16 large messages wait") as failed:
                await asyncio.wait_for(methods.call("ModelInfer", large, ()), 5)
            assert failed.value.code == "UNAVAILABLE"
            assert await methods.call("ModelInfer", small, ())
        finally:
            free.set()
        await asyncio.gather(*busy)
        assert await begun
        assert await methods.call("ModelInfer", large, ())

    asyncio.run(scenario())


def test_tritons_own_client_works_unchanged(make_client):
    """The client of NVIDIA Triton, against a plain gRPC server on loopback."""
    pytest.importorskip("tritonclient")
    pytest.importorskip("rapidjson")  # which it needs for its part of gRPC
    import grpc
    import tritonclient.grpc as triton

    from raymm.serving.grpc_protocol import add_to_server
    from raymm.serving.grpc_service import Inference

    class Servicer(Inference):
        def __init__(self, app):
            self.app = type("Counted", (), {"app": app, "__call__": lambda _, *a: app(*a)})()

        def __getattribute__(self, name):
            found = super().__getattribute__(name)
            if name not in METHODS:
                return found

            async def method(request, context):
                return (await found(request, context)).SerializeToString()

            return method

    def ask(port):
        client = triton.InferenceServerClient(f"127.0.0.1:{port}")
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("churn")
        assert client.get_server_metadata().name == "raymm"
        headers = {"authorization": "Bearer secret"}
        told = client.get_model_metadata("churn", headers=headers)
        assert len(told.inputs) == len(KINDS)
        inputs = []
        for name, (datatype, _, value) in KINDS.items():
            dtype = triton.InferInput(name, [2, 1], datatype)
            kind = {"FP32": np.float32, "FP64": np.float64, "BOOL": bool, "INT64": np.int64}
            dtype.set_data_from_numpy(np.full((2, 1), value, kind.get(datatype, object)))
            inputs.append(dtype)
        found = client.infer("churn", inputs, request_id="mine", headers=headers)
        assert found.get_response().id == "mine"
        with pytest.raises(Exception, match="token"):
            client.infer("churn", inputs)
        client.close()
        return found.as_numpy("prediction"), found.as_numpy("probabilities")

    async def serve():
        server = grpc.aio.server()
        add_to_server(Servicer(make_client(tokens={"a": "secret"}).app), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await asyncio.to_thread(ask, port)
        finally:
            await server.stop(0)

    labels, probabilities = asyncio.run(serve())
    assert labels.tolist() == [[b"yes"]] * 2
    assert probabilities.shape == (2, 2)
    assert probabilities[0, 1] == pytest.approx(0.601, abs=0.001)
