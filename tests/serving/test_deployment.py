"""On a real Ray with Serve: answers, a promotion under load, wrong input, removal."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest

from raymm.errors import ServingError
from raymm.sections import ServingConfig
from raymm.serving import deployment

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _leave_no_serve(ray_cluster):
    yield
    from ray import serve

    serve.shutdown()


@pytest.fixture(scope="module")
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _loader(folder):
    """Return a function that offers the file of the largest number; workers take it by value."""

    def load(known):
        import pathlib

        numbers = sorted(int(path.stem) for path in pathlib.Path(folder).glob("*.bundle"))
        if not numbers or numbers[-1] == known:
            return None
        path = pathlib.Path(folder) / f"{numbers[-1]}.bundle"
        return numbers[-1], path.read_bytes()

    return load


def _publish(folder, number, data):
    staged = folder / "staged"
    staged.write_bytes(data)
    staged.rename(folder / f"{number}.bundle")


def _ask(connection, prefix, body):
    connection.request("POST", f"{prefix}/v1/models/churn/predict", body)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read()), answer.getheader("x-raymm-version")


def _load_test(port, body, stop, answers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while not stop.is_set():
        try:
            answers.append(_ask(connection, "", body))
        except (OSError, http.client.HTTPException) as error:
            answers.append((0, repr(error), None))
            connection.close()


def test_life_of_a_deployment(ray_cluster, port, make_bundle, record, tmp_path):
    body = json.dumps({"records": [record]})
    config = ServingConfig(port=port, poll=0.2)
    app = deployment.application("churn", _loader(tmp_path), None, config=config, tokens={})
    _publish(tmp_path, 1, make_bundle(shift=0.0).to_bytes())
    url = deployment.deploy(app, name="churn", config=config, timeout=120)
    assert url == f"http://127.0.0.1:{port}"
    assert deployment.status("churn")["state"] == "RUNNING"
    assert deployment.uses_haproxy() == deployment.status("churn")["haproxy"]

    stop, answers = threading.Event(), []
    client = threading.Thread(target=_load_test, args=(port, body, stop, answers))
    client.start()
    time.sleep(1)
    _publish(tmp_path, 2, make_bundle(shift=1.0).to_bytes())
    deadline = time.monotonic() + 20
    while (not answers or answers[-1][2] != "2") and time.monotonic() < deadline:
        time.sleep(0.05)
    _publish(tmp_path, 3, b"this is no bundle")
    time.sleep(1)
    stop.set()
    client.join()
    assert {status for status, _, _ in answers} == {200}
    versions = [int(header) for _, _, header in answers]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    assert all(told["version"] == int(header) for _, told, header in answers)
    by_version = {told["version"]: told["probabilities"][0]["yes"] for _, told, _ in answers}
    assert by_version[1] == pytest.approx(0.601, abs=0.001)  # sigmoid(0.41)
    assert by_version[2] == pytest.approx(0.804, abs=0.001)  # sigmoid(1.41)

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    status, told, _ = _ask(connection, "", json.dumps({"records": [record | {"age": "x"}]}))
    assert (status, told["error"]["field"]) == (422, "records[0].age")
    assert _ask(connection, "", b"{" * 2_000_000)[0] == 413

    other = deployment.application("churn", _loader(tmp_path / "none"), None, config=config,
                                   tokens={})  # fmt: skip
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
