import http.client
import json
import re
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raymm.artifacts import Batch, Watcher


def test_predicts_what_the_runner_predicts(make_client, make_served, record, post):
    served = make_served(number=7)
    status, answer = post(make_client(served), {"records": [record, record | {"age": -400}]})
    assert status == 200
    yes = 1 / (1 + np.exp(-np.array([0.41, -4.0])))
    assert (answer["model"], answer["version"]) == ("churn", 7)
    assert answer["predictions"] == ["yes", "no"]
    got = [row["yes"] for row in answer["probabilities"]]
    # float32 has 24 bits: a few units in the last place of numbers below 1
    np.testing.assert_allclose(got, yes, atol=4 * 2**-24)


def test_regression_has_no_probabilities(make_client, make_served, record, post):
    client = make_client(make_served(task="regression", shift=1))
    status, answer = post(client, {"records": [record]})
    del answer["id"]
    assert (status, answer) == (200, {"model": "churn", "version": 1, "predictions": [42.0]})


def test_version_is_in_the_header(make_client, record):
    answer = make_client().post("/v1/models/churn/predict", json={"records": [record]})
    assert answer.headers["x-raymm-version"] == "1"


def test_every_answer_names_its_predictions(make_client, record, post):
    recorder = Recorder()
    client = make_client(watcher_for=lambda name: recorder)
    tensors = [
        {"name": "age", "shape": [2], "datatype": "FP32", "data": [1, 2]},
        {"name": "income", "shape": [2], "datatype": "FP32", "data": [1, 2]},
        {"name": "member", "shape": [2], "datatype": "BOOL", "data": [True, False]},
        {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
        {"name": "since", "shape": [2], "datatype": "INT64", "data": [1, 2]},
        {"name": "note", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
    ]
    predict, infer = "/v1/models/churn/predict", "/v2/models/churn/infer"
    asked = [
        (predict, {"records": [record]}, 1),
        (predict, {"records": [record] * 3}, 3),
        (predict, {"records": [record], "id": "my:own.1"}, 1),
        (infer, {"inputs": tensors}, 2),
        (infer, {"inputs": tensors, "id": "my:own.2"}, 2),
    ]
    seen = []
    for path, body, rows in asked:
        answer = client.post(path, json=body)
        name = answer.json()["id"]
        assert answer.headers["x-raymm-prediction"] == name
        assert name == body.get("id", name)
        told = recorder.told[-1].ids
        assert told == ((name,) if rows == 1 else tuple(f"{name}-{row}" for row in range(rows)))
        seen += told
    assert len(set(seen)) == len(seen) == 9
    for wrong in ("a b", "x" * 65, 7, "é", []):
        for path, body in ((predict, {"records": [record]}), (infer, {"inputs": tensors})):
            assert post(client, body | {"id": wrong}, path)[0] == 422


def test_example_in_openapi_is_accepted(make_client, post):
    client = make_client()
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/v1/models/churn/predict"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert post(client, schema["example"])[0] == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["age", "income", "member", "city", "since", "note", "agee"]


@pytest.mark.slow
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.one_of(
        st.binary(max_size=60),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), max_size=3).map(
            lambda rows: json.dumps({"records": rows}).encode()
        ),
    ),
    path=st.sampled_from(["/v1/models/churn/predict", "/v2/models/churn/infer"]),
)
def test_no_body_makes_a_server_error(make_client, post, body, path):
    status, answer = post(make_client(), body, path)
    assert status in {200, 413, 422}
    if status != 200:
        told = answer if path.startswith("/v2/") else answer["error"]
        assert type(told["type"]) is type(told["error" if told is answer else "message"]) is str


def test_too_many_rows(make_client, record, post):
    client = make_client(max_rows=3)
    assert post(client, {"records": [record] * 3})[0] == 200
    status, answer = post(client, {"records": [record] * 4})
    assert (status, answer["error"]["type"]) == (413, "TooLarge")


def test_large_batches_give_the_same_rows(make_client, record, post):
    """Bodies beyond the inline size are answered in a thread."""
    rows = [record | {"age": age} for age in range(1000)]
    client = make_client()
    _, whole = post(client, {"records": rows})
    _, single = post(client, {"records": rows[500:501]})
    assert whole["probabilities"][500] == single["probabilities"][0]
    assert len(whole["predictions"]) == 1000


def test_tokens(make_client, record):
    client = make_client(tokens={"alice": "s3cret", "bob": "other"})
    path = "/v1/models/churn/predict"
    for header in (None, "Bearer wrong", "Bearer", "Basic s3cret", "s3cret", "Bearer s3cre"):
        headers = {"authorization": header} if header else {}
        answer = client.post(path, json={"records": [record]}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["type"] == "Unauthorized"
    for token in ("s3cret", "other"):
        headers = {"authorization": f"bearer {token}"}
        assert client.post(path, json={"records": [record]}, headers=headers).status_code == 200
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for guarded in ("/metrics", "/openapi.json", "/v1/models", "/v1/models/churn/monitor"):
        assert client.get(guarded).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/models/other", 404),
        ("POST", "/v1/models/other/predict", 404),
        ("GET", "/v1/models/churn/predict", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v2/models/churn/versions/2", 404),
    ],
)
def test_wrong_paths_answer_json(make_client, method, path, status):
    answer = make_client().request(method, path)
    assert answer.status_code == status
    told = answer.json()
    assert set(told if path.startswith("/v2/") else told["error"]) >= {"type"}
    assert type(told["error"]) is (str if path.startswith("/v2/") else dict)


def test_describes_the_models(make_client, make_served):
    client = make_client(make_served("a"), make_served("b", number=3))
    assert [m["name"] for m in client.get("/v1/models").json()["models"]] == ["a", "b"]
    about = client.get("/v1/models/b").json()
    assert (about["version"], about["sha256"], about["classes"]) == (3, "ab" * 32, ["no", "yes"])
    assert about["schema"]["target"] == "left"
    assert client.get("/docs").text.startswith("<!doctype html>")
    assert "http" not in client.get("/docs").text.replace("<!doctype html>", "")
    told = client.get("/", headers={"accept": "application/json"}).json()
    assert told["openapi"] == "/openapi.json"


class Recorder(Watcher):
    def __init__(self):
        self.watched, self.told = [], []

    def watch(self, version, statistics, **how):
        self.watched.append(version)

    def tell(self, batch: Batch):
        self.told.append(batch)

    def report(self):
        return {"drift": {"age": {"psi": 0.25}}, "rows": len(self.told)}


def test_the_monitor_is_told(make_client, record, post):
    recorder = Recorder()
    client = make_client(watcher_for=lambda name: recorder)
    post(client, {"records": [record] * 2})
    post(client, {"records": [{}]})
    assert recorder.watched == [1]
    good, bad = recorder.told
    assert (good.rows, good.error, good.predictions.shape) == (2, "", (2, 2))
    assert good.tensors["city"].tolist() == ["Rome", "Rome"]
    assert good.seconds > 0
    assert (bad.rows, bad.error) == (0, "InputError")
    report = client.get("/v1/models/churn/monitor").json()["report"]
    assert report["drift"]["age"]["psi"] == 0.25


def test_metrics_count(make_client, record, post):
    client = make_client(watcher_for=lambda name: Recorder())
    post(client, {"records": [record] * 5})
    post(client, b"{")
    post(client, b"{}", "/v1/models/unknown/predict")
    text = client.get("/metrics").text
    assert 'raymm_requests_total{model="churn",version="1"} 2.0' in text
    assert 'raymm_rows_total{model="churn",version="1"} 5.0' in text
    assert 'raymm_errors_total{error="InputError",model="churn",status="422"} 1.0' in text
    assert 'raymm_request_seconds_count{model="churn",version="1"} 1.0' in text
    assert 'raymm_monitor{measure="drift.age.psi",model="churn"} 0.25' in text
    assert "unknown" not in text


def _errors(client, **how):
    """Return the counts of /metrics by model, class and status."""
    text = client.get("/metrics", **how).text
    pattern = r'raymm_errors_total{error="(\w*)",model="(.*)",status="(\d+)"} (\d+)'
    found = re.findall(pattern, text)
    return {(model, error, int(status)): int(count) for error, model, status, count in found}


def test_what_is_refused_before_it_is_read_is_counted(make_client, record):
    client = make_client(tokens={"alice": "one"}, rate=2)
    body, alice = {"json": {"records": [record]}}, {"headers": {"authorization": "Bearer one"}}
    path = "/v1/models/churn/predict"
    answers = [client.post(path, **body, **alice).status_code for _ in range(8)]
    admitted, refused = answers.count(200), answers.count(429)
    assert refused >= 5
    assert client.post(path, **body).status_code == 401
    assert client.post("/v2/models/churn/infer", **body).status_code == 401
    assert client.get(path, **alice).status_code == 405
    assert client.get("/v1/models/churn/nothing", **alice).status_code == 404
    told = client.get("/metrics", **alice).text
    assert _errors(client, **alice) == {
        ("churn", "TooOften", 429): refused,
        ("churn", "Unauthorized", 401): 2,
        ("churn", "MethodNotAllowed", 405): 1,
        ("", "NotFound", 404): 1,
    }
    # with the look at the figures itself
    assert f'raymm_token_requests_total{{token="alice"}} {admitted + 1}.0' in told
    assert f'raymm_requests_total{{model="churn",version="1"}} {admitted}.0' in told


def test_names_that_clients_make_up_are_no_labels(make_client, record):
    client = make_client()
    for name in ("evil", 'a"b', "x" * 500):
        assert client.post(f"/v1/models/{name}/predict", json={}).status_code == 404
        assert client.get(f"/v1/models/{name}").status_code == 404
        assert client.get(f"/{name}").status_code == 404
        assert client.request(name[:4].upper(), "/metrics").status_code in (400, 404, 405)
    counts = _errors(client)
    assert sum(counts.values()) == 12
    assert {model for model, _, _ in counts} == {""}
    assert client.get("/v2/models/churn/versions/99").status_code == 404
    assert _errors(client)["churn", "NotFound", 404] == 1


def test_each_error_is_counted_once(make_client, make_served, record, post):
    served = make_served()

    class Broken:
        schema = served.schema

        def predict(self, tensors):
            raise RuntimeError

    client = make_client(replace(served, runner=Broken()), max_rows=2)
    post(client, {"records": [record]})
    post(client, {"records": [record]}, "/v1/models/churn/explain")
    for path in ("predict", "explain", "feedback"):
        post(client, b"{", f"/v1/models/churn/{path}")
    post(client, {"records": [record] * 3})
    assert client.post("/v1/models/churn/explain", files={"a": b"b"}).status_code == 415
    assert _errors(client) == {
        ("churn", "Exception", 500): 2,
        ("churn", "InputError", 422): 3,
        ("churn", "TooLarge", 413): 1,
        ("churn", "Unsupported", 415): 1,
    }


def test_a_failing_model_is_a_json_error(make_client, make_served, record, post, caplog):
    served = make_served()

    class Broken:
        schema = served.schema

        def predict(self, tensors):
            raise RuntimeError(f"boom at {7 * 6}")

    status, answer = post(make_client(replace(served, runner=Broken())), {"records": [record]})
    assert status == 500
    assert answer["error"]["type"] == "ServingError"
    assert "RuntimeError" in caplog.text
    assert "in predict" in caplog.text
    assert "boom at 42" not in caplog.text  # an error's text may hold a user's value


async def _post_slowly(app, started, release, path):
    import anyio

    async def body():
        started.set()
        yield b"{"
        with anyio.fail_after(5):
            await release.wait()
        yield b"}"

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, content=body())


def test_a_full_service_says_when_to_come_back(make_client, record):
    client = make_client(max_queued=1)
    path, body = "/v1/models/churn/predict", {"records": [record]}
    with client.app.state.service._room:
        refused = client.post(path, json=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["type"] == "Overloaded"
    assert client.post(path, json=body).status_code == 200


def test_a_refused_client_keeps_its_connection(make_client, record, serve_here):
    client = make_client(max_queued=1)
    url, _ = serve_here(client.app)
    link = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    told = []

    def post():
        link.request("POST", "/v1/models/churn/predict", json.dumps({"records": [record]}))
        answer = link.getresponse()
        answer.read()
        told.append((answer.status, link.sock and link.sock.getsockname()))

    with client.app.state.service._room:
        post()
        post()
    post()
    link.close()
    assert [status for status, _ in told] == [503, 503, 200]
    assert len({name for _, name in told}) == 1
    assert told[0][1] is not None


def test_a_connection_ends_where_an_error_leaves_its_body_unread(make_client, record):
    client = make_client(max_queued=1)
    path = "/v1/models/churn/predict"
    small, large = (json.dumps({"records": [record], "more": "x" * n}) for n in (1, 70_000))
    missing = "/v1/models/other/predict", "/v1/models/other/feedback", "/nowhere", "/v1/models"
    for unread in missing:
        answer = make_client().post(unread, content=large)
        assert (answer.status_code, answer.headers["connection"]) in (
            (404, "close"),
            (405, "close"),
        )
    # a small body is read though nobody asks for it, of who was let in
    for unread in missing:
        answer = make_client().post(unread, content=small)
        assert answer.status_code in (404, 405)
        assert ("connection" in answer.headers) == (not unread.startswith("/v1/models/other/"))
    with client.app.state.service._room:
        refused = client.post(path, content=large)
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        refused = client.post(path, content=small)
        assert refused.status_code == 503
        assert "connection" not in refused.headers

    async def slow():
        yield b"{"

    answer = make_client().post("/v1/models/other/predict", content=slow())  # of unknown length
    assert answer.headers["connection"] == "close"
    # a body that was read, or is not there, leaves the connection as it is
    for answer in (
        make_client().post(path, json={}),
        make_client().get("/v1/models/other"),
        make_client().post("/v1/models/other/predict"),
    ):
        assert answer.status_code in (404, 422)
        assert "connection" not in answer.headers


@pytest.mark.parametrize("path", ["/v1/models/churn/predict", "/v1/models/churn/explain"])
def test_who_is_still_sending_holds_no_place(make_client, record, monkeypatch, path):
    import anyio

    from raymm.serving import explaining

    monkeypatch.setattr(explaining, "_WAITING", 1)
    app = make_client(max_queued=1).app

    async def main():
        started, release = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_post_slowly, app, started, release, path)
            await started.wait()
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                answer = await client.post(path, json={"records": [record]})
            release.set()
        return answer

    assert anyio.run(main).status_code == 200
