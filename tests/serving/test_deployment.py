"""On a real Ray with Serve: answers, a promotion under load, wrong input, removal."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from raymm.errors import ServingError
from raymm.registry.versions import Registry
from raymm.sections import ServingConfig
from raymm.serving import deployment
from raymm.serving.routing import falls_to_canary
from raymm.shelf import RegistryShelf

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _leave_no_serve(ray_cluster):
    yield
    from ray import serve

    serve.shutdown()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def port():
    return free_port()


class Models:
    """A registry that a test fills, and the shelf that replicas look at."""

    def __init__(self, folder):
        self.registry = Registry(str(folder))
        self.shelf = RegistryShelf(storage=str(folder))

    def add(self, data, *, name="churn", promote=True):
        number = self.registry.register(
            name, data, run=f"r{data[:99]!r}{len(data)}", blessed=True, summary={}, parts={}
        ).number
        if promote:
            self.registry.promote(name, number)
        return number


LOGGED = r"goes on serving|now \(change "
"""What a replica says of what it serves: an error, and a warning, which nothing else writes out."""


def _ask(connection, prefix, body, name="churn"):
    connection.request("POST", f"{prefix}/v1/models/{name}/predict", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()), answer.getheader("x-raymm-version")


def _load_test(port, body, stop, answers, sents):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stop.is_set():
        sent = time.perf_counter()
        try:
            answers.append(_ask(connection, "", body))
            sents.append((sent, *answers[-1][::2]))
        except (OSError, http.client.HTTPException) as error:
            answers.append((0, repr(error), None))
            connection.close()


def _standing(port, *, until, name="churn", prefix=""):
    """Ask how the replicas stand until that fits, and return it."""
    deadline = time.monotonic() + 90
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", f"{prefix}/v1/models/{name}/release")
        told = json.loads(connection.getresponse().read())
        if until(told):
            return told
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def _logged(name):
    """Return what stands in the logs of an application's replicas."""
    from ray._private.worker import _global_node

    logs = Path(_global_node.get_logs_dir_path()) / "serve"
    return "".join(one.read_text() for one in logs.glob(f"replica_{name}_model_*.log"))


def _grpc(port, canary):
    """Predict through the proxy's gRPC port, in the bytes of the protocol."""
    import grpc

    from raymm.serving.grpc_protocol import SERVICE, message
    from tests.serving.test_grpc_service import request

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:

        def call(method, asked):
            made = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=lambda one: one.SerializeToString(),
                response_deserializer=message(f"{method}Response").FromString,
            )
            return made(asked, timeout=30, wait_for_ready=True)

        assert call("ServerReady", message("ServerReadyRequest")()).ready
        answer = call("ModelInfer", request(raw=True))
        assert (answer.model_version, len(answer.raw_output_contents)) == ("2", 2)
        asked = request()
        asked.model_version = str(canary)
        assert call("ModelInfer", asked).model_version == str(canary)
        asked.model_name = "nobody"
        with pytest.raises(grpc.RpcError) as failed:
            call("ModelInfer", asked)
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
        assert "nobody" in failed.value.details()


def _triton(port, grpc_port):
    """Predict by NVIDIA Triton's own clients, unchanged, through both proxies of Serve."""
    if find_spec("tritonclient") is None:
        return
    from tritonclient import grpc, http

    from tests.serving.test_grpc_service import KINDS

    kinds = {"FP32": np.float32, "FP64": np.float64, "BOOL": bool, "INT64": np.int64}
    for library, at in ((http, port), (grpc, grpc_port)):
        client = library.InferenceServerClient(f"127.0.0.1:{at}")
        assert client.is_server_ready()
        assert client.is_model_ready("churn")
        inputs = []
        for name, (datatype, _, value) in KINDS.items():
            inputs.append(library.InferInput(name, [2, 1], datatype))
            inputs[-1].set_data_from_numpy(np.full((2, 1), value, kinds.get(datatype, object)))
        found = client.infer("churn", inputs)
        assert found.as_numpy("probabilities").shape == (2, 2)
        labels = found.as_numpy("prediction").ravel().tolist()  # words in JSON, bytes over gRPC
        assert labels in (["yes"] * 2, [b"yes"] * 2)
        client.close()


def _page(port, shadow):
    """Read the page and what it asks for."""

    def get(path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    assert get("/")[1].startswith(b"<!doctype html>")
    assert get("/assets/page.js")[0] == 200
    _standing(port, until=lambda told: told["counts"]["2"]["requests"] > 0)
    told = json.loads(get("/v1/models/churn/status")[1])
    roles = {one["number"]: one["role"] for one in told["versions"]}
    assert (roles, told["release"]["replicas"]) == ({2: "champion", shadow: "shadow"}, 1)
    assert sum(told["versions"][0]["within"]) == told["versions"][0]["requests"] > 0
    assert [one["number"] for one in told["release"]["refused"]] == [3]
    newest = json.loads(get("/v1/models/churn/history")[1])["changes"][0]
    assert (newest["number"], newest["action"]) == (shadow, "shadow")


def test_life_of_a_deployment(ray_cluster, port, make_bundle, record, tmp_path):
    body = json.dumps({"records": [record]})
    config = ServingConfig(port=port, poll=0.2, grpc_port=free_port(), insecure=True)
    models = Models(tmp_path)
    models.add(make_bundle(shift=0.0).to_bytes())
    models.add(make_bundle(shift=3.0).to_bytes(), name="other")
    app = deployment.application(("churn", "other"), models.shelf, None, config=config, tokens={})
    url = deployment.deploy(app, name="churn", config=config, timeout=120)
    assert url == f"http://127.0.0.1:{port}"
    assert deployment.status("churn")["state"] == "RUNNING"
    assert deployment.uses_haproxy() == deployment.status("churn")["haproxy"]

    stop, answers, sents = threading.Event(), [], []
    client = threading.Thread(target=_load_test, args=(port, body, stop, answers, sents))
    client.start()
    time.sleep(1)
    models.add(make_bundle(shift=1.0).to_bytes())
    _standing(port, until=lambda told: told["switched"] >= 2)
    declared = time.perf_counter()
    models.add(b"this is no bundle")
    told = _standing(port, until=lambda told: "3" in told["refused"] and told["switched"] >= 4)
    assert "cannot be loaded" in told["refused"]["3"]["reason"]
    assert {"goes on serving", "now (change "} <= set(re.findall(LOGGED, _logged("churn")))
    assert models.registry.champion("churn").number == 2  # the refusal was recorded, as a rollback
    assert models.registry.releases("churn").changes()[-1].who == "policy"
    time.sleep(0.3)
    stop.set()
    client.join()
    assert {status for status, _, _ in answers} == {200}
    versions = [int(header) for _, _, header in answers]
    assert versions == sorted(versions)
    assert {header for sent, _, header in sents if sent > declared} == {"2"}
    assert set(versions) == {1, 2}
    assert all(told["version"] == int(header) for _, told, header in answers)
    by_version = {told["version"]: told["probabilities"][0]["yes"] for _, told, _ in answers}
    assert by_version[1] == pytest.approx(0.601, abs=0.001)  # sigmoid(0.41)
    assert by_version[2] == pytest.approx(0.804, abs=0.001)  # sigmoid(1.41)

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    status, told, _ = _ask(connection, "", json.dumps({"records": [record | {"age": "x"}]}))
    assert (status, told["error"]["field"]) == (422, "records[0].age")
    large = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    large.putrequest("POST", "/v1/models/churn/predict")
    large.putheader("content-length", "2000000")
    large.endheaders(b"{")
    assert large.getresponse().status == 413  # before the body was sent

    releases = models.registry.releases("churn")
    canary = models.add(make_bundle(shift=2.0).to_bytes(), promote=False)
    releases.canary(canary, 0.5)
    _standing(port, until=lambda told: told["switched"] >= releases.current().sequence)
    names = [f"p{n}" for n in range(40)]
    found = [
        _ask(connection, "", json.dumps({"records": [record], "id": name}))[2] for name in names
    ]
    assert found == [str(canary) if falls_to_canary(name, 0.5, canary) else "2" for name in names]
    releases.shadow(canary)
    _standing(port, until=lambda told: told["switched"] >= releases.current().sequence)
    assert _ask(connection, "", body)[2] == "2"
    _standing(port, until=lambda told: told["shadowed"]["answered"] >= 1)
    assert _ask(connection, "", body, name="other")[1]["model"] == "other"
    _grpc(config.grpc_port, canary)
    _triton(port, config.grpc_port)
    _page(port, canary)

    other = deployment.application(
        ("none",), RegistryShelf(storage=str(tmp_path)), None, config=config, tokens={}
    )
    with pytest.raises(ServingError, match="other"):
        deployment.deploy(other, name="other", config=config, timeout=25)
    assert deployment.status("other")["state"] == "NOT_RUNNING"

    assert deployment.undeploy("churn")
    assert not deployment.undeploy("churn")
    assert deployment.status("churn")["state"] == "NOT_RUNNING"


def test_serve_takes_the_middleware_and_reads_its_header(ray_cluster):
    import os

    from ray.serve._private.constants import RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH
    from ray.serve._private.http_util import parse_disconnect_disabled_header

    from raymm.cluster import ENVIRONMENT
    from raymm.serving.ingress import UNWATCHED

    assert parse_disconnect_disabled_header(dict([UNWATCHED]))
    name = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
    assert os.environ[name] == ENVIRONMENT[name]
    assert ENVIRONMENT[name] == RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH


def test_predictions_go_past_serve_and_are_counted_by_it(ray_cluster, port):
    from fastapi import FastAPI
    from ray import serve

    def build():
        import traceback

        app = FastAPI()
        app.get("/v2/health/ready")(lambda: {})

        @app.post("/v1/models/{name}/predict")
        async def way(name: str) -> dict:
            from raymm.serving.lane import Lane

            frames = [frame for frame, _ in traceback.walk_stack(None)]
            lanes = [one for one in (f.f_locals.get("self") for f in frames) if type(one) is Lane]
            manager = lanes[0]._begin.__self__ if lanes else None
            return {
                "way": [frame.f_code.co_name for frame in frames],
                "ongoing": manager and manager.get_num_ongoing_requests(),
                "counted": manager and sum(map(len, manager._cached_latencies.values())),
            }

        return app

    class Replica:
        pass

    config = ServingConfig(port=port)
    made = serve.deployment(serve.ingress(build)(Replica), name="model").bind()
    deployment.deploy(made, name="stack", config=config, timeout=120)
    if not deployment.uses_haproxy():
        pytest.skip("no HAProxy here: replicas have no server of their own")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask():
        path = "/v1/models/stack/predict"
        connection.request("POST", path, "{}", {"x-request-id": "mine"})
        answer = connection.getresponse()
        return answer.getheader("x-request-id"), json.loads(answer.read())

    deadline = time.monotonic() + 60
    while (found := ask())[1]["ongoing"] is None:  # Serve's own proxy answers until HAProxy is told
        assert time.monotonic() < deadline, " ".join(found[1]["way"])
        time.sleep(0.1)
    name, told = found
    assert name == "mine"
    assert "_call_http_entrypoint" not in told["way"]
    assert told["ongoing"] == 1
    counted = [ask()[1]["counted"] for _ in range(50)]
    assert max(counted) > 1  # the figures are exported, and forgotten, every so often


def test_a_replica_does_not_start_behind_proxies_that_listen_wide(
    ray_cluster, make_bundle, tmp_path
):
    """As a Serve file may have them, whatever the application's own configuration says."""
    from ray import serve

    assert deployment.listens() is None
    models, port = Models(tmp_path), free_port()
    models.add(make_bundle().to_bytes())
    serve.start(http_options={"host": "0.0.0.0", "port": port})
    bound = deployment.listens()
    assert (bound.host, bound.port, bound.certified, bound.grpc_port) == (
        "0.0.0.0", port, False, None,
    )  # fmt: skip
    assert bound.haproxy == deployment.uses_haproxy()
    given = {"tokens": {"default": "secret"}, "config": ServingConfig(port=port)}
    app = deployment.application(("churn",), models.shelf, None, **given)
    target = serve.RunTarget(target=app, name="churn", route_prefix="/")
    serve.run_many([target], wait_for_applications_running=False)
    deadline = time.monotonic() + 60
    while "http_options.host" not in (told := deployment.status("churn"))["message"]:
        assert time.monotonic() < deadline, told
        time.sleep(0.2)
    assert "RUNNING" not in told["replicas"]
    assert "without TLS" in told["message"]


@pytest.fixture
def scaled(ray_cluster, port, tmp_path, monkeypatch):
    """Deploy a bundle on one replica or two, which come and go sooner than half a minute and ten.

    Returns what waits until so many are running, and may be told how long it is to stay so.
    """
    true = deployment.options
    soon = {"upscale_delay_s": 1.0, "downscale_delay_s": 3.0, "look_back_period_s": 3.0}

    def hurried(config):
        made = true(config)
        return made | {"autoscaling_config": made["autoscaling_config"] | soon}

    def running():
        return deployment.status("churn")["replicas"].get("RUNNING", 0)

    def wait_for(count, *, stays=0.0):
        deadline = time.monotonic() + 120
        while running() != count:
            assert time.monotonic() < deadline, deployment.status("churn")
            time.sleep(0.2)
        end = time.monotonic() + stays
        while time.monotonic() < end:
            assert sum(deployment.status("churn")["replicas"].values()) == count
            time.sleep(0.2)

    def deploy(bundle, **settings):
        config = ServingConfig(port=port, poll=0.2, replicas={"min": 1, "max": 2}, **settings)
        models = Models(tmp_path)
        models.add(bundle.to_bytes())
        app = deployment.application(("churn",), models.shelf, None, config=config, tokens={})
        deployment.deploy(app, name="churn", config=config, timeout=120)
        if not deployment.uses_haproxy():
            pytest.skip("no HAProxy here: Serve counts the requests by itself")
        assert running() == 1
        return wait_for

    monkeypatch.setattr(deployment, "options", hurried)
    return deploy


@contextlib.contextmanager
def _clients(count, port, body):
    """Let so many clients send a body, each again as soon as it is answered, and yield answers."""
    stop, answers = threading.Event(), []
    clients = [
        threading.Thread(target=_load_test, args=(port, body, stop, answers, []))
        for _ in range(count)
    ]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        stop.set()
        for client in clients:
            client.join()


def test_replicas_come_with_the_load_and_go_without(scaled, port, make_bundle, record):
    """Requests go past Serve, so that it knows of them by the lane alone."""
    wait_for = scaled(make_bundle())
    many, one = (json.dumps({"records": [record] * count}) for count in (200, 1))
    with _clients(24, port, many) as answers:
        wait_for(2)
    with _clients(1, port, one) as others:
        wait_for(1)
    assert {status for status, _, _ in answers + others} == {200}


@pytest.mark.long
@pytest.mark.parametrize(("products", "settings"), [(60, {"max_wait": 0.01}), (300, {})])
def test_replicas_come_where_none_may_wait(scaled, port, make_bundle, record, products, settings):
    """Those who would wait are refused at once, so that hardly more than one is ever there."""
    wait_for = scaled(make_bundle(products=products), batch="off", **settings)
    body = json.dumps({"records": [record]})
    with _clients(1, port, body) as alone:
        wait_for(1, stays=8)
    with _clients(4, port, body) as answers:
        wait_for(2)
    wait_for(1)
    assert {status for status, _, _ in alone} == {200}
    assert {status for status, _, _ in answers} == {200, 503}
