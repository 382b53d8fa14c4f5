"""What a person is told of how a model stands."""

from __future__ import annotations

import asyncio
import threading

import httpx
import jsonschema
import numpy as np
import pytest

from raymm.artifacts import ColumnStatistics, Release, Statistics, Watcher, as_record
from raymm.errors import RegistryError, ServingError
from raymm.monitoring.observer import Observer
from raymm.sections import MonitoringConfig, ServingConfig
from raymm.serving import overview_openapi
from raymm.serving.app import create_app
from raymm.serving.overview import KEPT_SECONDS, Overview
from raymm.serving.released import ReleasedModel, ReleasedModels

STATUS = "/v1/models/churn/status"
HISTORY = "/v1/models/churn/history"
AGE = ColumnStatistics(
    name="age", kind="number", rows=100, missing=0, distinct=100, edges=(50.0,), counts=(50, 50)
)


class Shelf:
    """Three versions of a model: a champion, a canary and one in shadow."""

    def __init__(self, make_bundle):
        self.bundles = {n: make_bundle(shift=n).to_bytes() for n in (1, 2, 3)}
        self.release = Release(name="churn", sequence=4, champion=1, canary=2, share=0.25, shadow=3)
        self.failure = None
        self.reads = 0

    def look(self, name):
        return self.release

    def fetch(self, name, number):
        return self.bundles[number]

    def reliability(self, name, number):
        return None

    def predictions(self, name, number):
        return None

    def history(self, name):
        self.reads += 1
        if self.failure:
            raise self.failure
        return {"versions": [{"number": 3}], "changes": [{"sequence": 4, "reason": "why not"}]}


@pytest.fixture
def shelf(make_bundle):
    return Shelf(make_bundle)


@pytest.fixture
def watcher(tmp_path):
    """A watcher that is an observer in this process, with an age that falls as reference."""
    config = MonitoringConfig(window=50)
    path = tmp_path / "state.json"
    observer = Observer("churn", config=config, path=path, clock=lambda: 100.0)

    class Telling(Watcher):
        def watch(self, version, statistics, *, champion, target):
            made = as_record(Statistics(rows=100, columns=(AGE,)))
            observer.watch(version, made, champion=champion, target=as_record(target))

        def tell(self, batch):
            observer.tell([batch])

        def report(self):
            return observer.report()

    return Telling()


@pytest.fixture
def make_asking(make_client, shelf):
    def make(**how):
        models = ReleasedModels(ReleasedModel("churn", shelf))
        models._models["churn"].refresh()
        app = create_app(models, **{"config": ServingConfig(), "tokens": {}, **how})
        return type(make_client())(app)

    return make


def test_without_a_monitor_it_tells_what_this_process_knows(make_client, record, post):
    client = make_client()
    post(client, {"records": [record] * 3})
    post(client, {"records": [record | {"age": "x"}]})
    told = client.get(STATUS).json()
    jsonschema.validate(told, overview_openapi.STATUS)
    assert (told["model"], told["version"]) == ("churn", 1)
    traffic = told["traffic"]
    assert (traffic["source"], traffic["requests"], traffic["rows"]) == ("process", 2, 3)
    assert traffic["errors"] == [{"type": "InputError", "status": 422, "count": 1}]
    (version,) = told["versions"]
    assert (version["number"], version["role"], version["share"]) == (1, "champion", 1.0)
    assert (version["requests"], version["failed"], version["drifted"]) == (1, 0, None)
    assert len(version["within"]) == len(traffic["bounds"])
    place = version["within"].index(1)
    assert version["latency"] == dict.fromkeys(("p50", "p95", "p99"), traffic["bounds"][place])
    assert told["monitor"]["running"] is False
    assert told["drift"] is told["quality"] is told["labels"] is None


@pytest.mark.slow
def test_each_version_has_its_role_and_what_its_monitor_says(make_asking, record, watcher):
    client = make_asking(watcher_for=lambda name: watcher)
    for name in ("a", "b"):  # which falls to the canary
        body = {"records": [record | {"age": 90}] * 60, "id": name}
        assert client.post("/v1/models/churn/predict", json=body).status_code == 200
    client.post("/v1/models/churn/predict", json={})
    told = client.get(STATUS).json()
    jsonschema.validate(told, overview_openapi.STATUS)
    assert told["release"]["sequence"] == 4
    roles = {one["number"]: (one["role"], one["share"]) for one in told["versions"]}
    assert roles == {1: ("champion", 0.75), 2: ("canary", 0.25), 3: ("shadow", None)}
    traffic = told["traffic"]
    assert (traffic["source"], traffic["since"]) == ("monitor", 100.0)
    assert (traffic["requests"], traffic["rows"]) == (3, 120)  # a shadow's answers are no traffic
    assert traffic["errors"] == [{"type": "InputError", "status": 422, "count": 1}]
    champion = told["versions"][0]
    assert (champion["requests"], champion["drifted"]) == (2, 1)
    assert (champion["refused"], champion["failed"]) == (1, 0)  # wrong input is its sender's fault
    assert champion["latency"]["p50"] > 0
    assert told["drift"]["window"]["complete"] == 1
    (age,) = told["drift"]["features"]
    assert (age["name"], age["drifted"]) == ("age", True)
    assert age["statistic"] > age["threshold"] > 0
    assert told["quality"]["waiting"] == 60
    assert told["monitor"] == {"running": True, "note": "", "dropped": 0}
    assert "raymm keep may be told otherwise" in told["advice"]["reason"]


def test_the_replicas_are_told_together_and_a_silent_desk_is_no_failure(make_asking, record):
    within = [0] * 80
    within[5] = 7
    counts = {"1": {"requests": 8, "errors": 1, "p50": 0.1, "p99": 0.2, "within": within}}
    counts["2"] = {**counts["1"], "requests": 7, "errors": 0}
    everywhere = {
        "switched": 4,
        "replicas": {"a": {}, "b": {}},
        "refused": {"9": {"sequence": 3, "reason": "not finite"}},
        "counts": counts,
    }
    silent = []

    async def standing(name):
        if silent:
            raise ServingError("the desk does not answer")
        return everywhere

    client = make_asking(standing=standing)
    told = client.get(STATUS).json()
    assert told["release"]["replicas"] == 2
    assert told["release"]["refused"] == [{"number": 9, "reason": "not finite"}]
    champion = told["versions"][0]
    assert (champion["requests"], champion["failed"], champion["within"]) == (8, 1, within)
    assert champion["latency"]["p95"] == told["traffic"]["bounds"][5]
    times = dict.fromkeys(("p50", "p95", "p99"), told["traffic"]["bounds"][5])
    trial = {"requests": 7, "failed": 0, "latency": times}
    assert [one["trial"] for one in told["versions"]] == [None, trial, None]
    jsonschema.validate(told, overview_openapi.STATUS)
    silent.append(True)
    told = client.get(STATUS).json()
    assert told["release"]["note"] == "the desk does not answer"
    assert told["versions"][0]["requests"] == 0


def test_the_history_is_read_once_in_a_while(make_asking, shelf, make_client):
    client = make_asking()
    told = client.get(HISTORY).json()
    assert told == {"model": "churn", "versions": [{"number": 3}],
                    "changes": [{"sequence": 4, "reason": "why not"}]}  # fmt: skip
    assert client.get(HISTORY).json() == told
    assert shelf.reads == 1
    assert make_client().get(HISTORY).json() == {"model": "churn", "versions": [], "changes": []}


def test_a_history_that_is_old_is_read_again_and_its_failure_is_told(make_asking, shelf):
    client = make_asking()
    now = [0.0]
    made = Overview(client.app.state.service, None, clock=lambda: now[0])
    client.app.router.routes.clear()
    from raymm.serving.app import _endpoint

    endpoint = _endpoint(made.history, client.app.state.service)
    client.app.add_route("/v1/models/{name}/history", endpoint)
    client.get(HISTORY)
    now[0] = KEPT_SECONDS
    shelf.failure = RegistryError("storage is away")
    shelf.failure.__cause__ = ConnectionError("no route")
    answer = client.get(HISTORY)
    assert (answer.status_code, shelf.reads) == (503, 2)
    assert answer.headers["retry-after"] == "1"
    assert "storage is away" in answer.json()["error"]["message"]
    shelf.failure = RegistryError("a record is damaged")
    answer = client.get(HISTORY)
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "RegistryError")
    shelf.failure = None
    assert client.get(HISTORY).status_code == 200


async def _answers(app, *paths):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await asyncio.gather(*(client.get(path) for path in paths))


def test_many_who_ask_at_once_make_one_read_of_storage(make_asking, shelf):
    asked = []

    async def standing(name):
        asked.append(name)
        await asyncio.sleep(0)
        return {"replicas": {}, "counts": {}, "refused": {}}

    app = make_asking(standing=standing).app
    told = asyncio.run(_answers(app, *[HISTORY] * 9, *[STATUS] * 9))
    assert {answer.status_code for answer in told} == {200}
    assert len({answer.content for answer in told}) == 2
    assert (shelf.reads, len(asked)) == (1, 1)


@pytest.mark.slow
def test_predictions_go_on_while_storage_hangs(make_asking, shelf, record):
    read, hangs = shelf.history, threading.Event()
    shelf.history = lambda name: hangs.wait(60) and read(name)
    app = make_asking(config=ServingConfig(answer_time=0.5)).app
    body = {"records": [record]}

    async def scenario():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            waiting = asyncio.gather(*(client.get(HISTORY) for _ in range(5)))
            await asyncio.sleep(0)
            for _ in range(3):
                made = await client.post("/v1/models/churn/predict", json=body)
                assert made.status_code == 200
            told = [*await waiting, await client.get(HISTORY), await client.get(STATUS)]
            hangs.set()
            while (answer := await client.get(HISTORY)).status_code == 503:
                await asyncio.sleep(0.01)
            return told, answer

    told, answer = asyncio.run(scenario())
    assert [one.status_code for one in told] == [503] * 6 + [200]
    assert {one.headers["retry-after"] for one in told[:6]} == {"1"}
    assert (answer.status_code, shelf.reads) == (200, 2)


def test_figures_that_json_lacks_are_null(make_client, watcher):
    report = watcher.report

    def odd():
        return {**report(), "labels": {"a": float("nan"), "b": np.float32(0.5)}}

    watcher.report = odd
    told = make_client(watcher_for=lambda name: watcher).get(STATUS).json()
    assert told["labels"] == {"a": None, "b": 0.5}


def test_a_monitor_that_is_silent_is_told(make_client, watcher):
    report = watcher.report
    for age, told in ((5, ""), (40, "has not answered for 40 s")):
        watcher.report = lambda age=age: {**report(), "age": age}
        monitor = make_client(watcher_for=lambda name: watcher).get(STATUS).json()["monitor"]
        assert monitor["running"]
        assert told in monitor["note"] if told else monitor["note"] == ""


def test_other_models_are_not_found(make_client):
    for path in (STATUS, HISTORY):
        assert make_client().get(path.replace("churn", "other")).status_code == 404
