import asyncio
import gc
import io
import json
import threading
import time
from dataclasses import replace

import httpx
import numpy as np
import pyarrow as pa
import pytest

from raymm.artifacts import ColumnStatistics, Predictions, Reliability, Watcher
from raymm.errors import InputError, failed_of, status_of
from raymm.serving.batching import ROWS
from raymm.serving.predicting import INLINE_BYTES, INLINE_SECONDS
from raymm.serving.sources import FixedModels
from raymm.serving.trial import PLACES


def _where(client, post, body, media=None):
    """Post and return the name of the thread that ran the graph."""
    seen = []
    service = client.app.state.models
    served = service.get("churn")

    class Watching:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            seen.append(threading.current_thread().name)
            return served.runner.predict(tensors)

    service._served["churn"] = replace(served, runner=Watching())
    if media is None:
        assert post(client, body)[0] == 200
    else:
        headers = {"content-type": media}
        answer = client.post("/v1/models/churn/predict", content=body, headers=headers)
        assert answer.status_code == 200
    service._served["churn"] = served
    return seen[0]


def test_only_what_takes_long_leaves_the_loop(make_client, make_served, record, post):
    quick = replace(make_served(), row_seconds=INLINE_SECONDS / 2)
    slow = replace(quick, row_seconds=INLINE_SECONDS * 2)
    small = {"records": [record]}
    large = {"records": [record] * (INLINE_BYTES // 50)}
    assert "raymm-predict" not in _where(make_client(quick), post, small)
    assert "raymm-predict" in _where(make_client(quick), post, large)
    assert "raymm-predict" in _where(make_client(slow), post, small)


def test_what_may_hold_many_rows_in_few_bytes_leaves_the_loop(
    make_client, make_served, record, post
):
    quick = replace(make_served(), row_seconds=INLINE_SECONDS / 2)
    row = ",".join(map(str, record.values())) + "\n"
    short = ",".join(record) + "\n" + row
    assert "raymm-predict" not in _where(make_client(quick), post, short.encode(), "text/csv")
    longer = (short + row * 40).encode()
    assert len(longer) < INLINE_BYTES
    sink = io.BytesIO()
    table = pa.table({name: [value] for name, value in record.items()})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    arrow = sink.getvalue(), "application/vnd.apache.arrow.stream"
    for body, media in ((longer, "text/csv"), arrow):
        assert "raymm-predict" in _where(make_client(quick), post, body, media)
        threads = []

        class Watching:
            schema = quick.schema
            labels = staticmethod(quick.runner.labels)

            def predict(self, tensors, threads=threads):
                threads.append(threading.current_thread().name)
                return quick.runner.predict(tensors)

        canary = replace(quick, number=2, runner=Watching())
        app, _ = released(quick, canary)
        client = type(make_client())(app)
        headers = {"content-type": media, "x-raymm-prediction": "c"}
        answer = client.post("/v1/models/churn/predict", content=body, headers=headers)
        assert answer.headers["x-raymm-version"] == "2"
        assert ["raymm-canary" in name for name in threads] == [True]


def test_a_new_version_is_watched_once(make_client, make_served, record, post):
    told, known = [], []

    class Telling(Watcher):
        def watch(self, version, statistics, *, target, champion):
            told.append(version)
            known.append((target.reliability, target.predictions))

        def tell(self, batch):
            told.append("batch")

        def report(self):
            return {}

    client = make_client(watcher_for=lambda name: Telling())
    post(client, {"records": [record]})
    post(client, {"records": [record]})
    there = Reliability(rows=(3,), hits=(2,))
    column = ColumnStatistics(name="p", kind="number", rows=3, missing=0, distinct=3)
    seen = Predictions(column=column)
    newer = replace(make_served(number=2), reliability=there, predictions=seen)
    client.app.state.models._served["churn"] = newer
    post(client, {"records": [record]})
    assert told == [1, "batch", "batch", 2, "batch"]
    assert known == [(None, None), (there, seen)]


class Released(FixedModels):
    """Two versions of one model, the second a canary or a shadow."""

    def __init__(self, champion, other, *, shadow=False):
        super().__init__(champion)
        self.other, self.shadowed = other, shadow

    def route(self, name, identity):
        canary = not self.shadowed and identity.startswith("c")
        return self.other if canary else self.get(name)

    def at(self, name, number):
        return self.other if number == self.other.number else super().at(name, number)

    def shadow(self, name):
        return self.other if self.shadowed else None


class Told(Watcher):
    def __init__(self):
        self.batches, self.watched = [], []

    def watch(self, version, statistics, **how):
        self.watched.append((version, how["champion"]))

    def tell(self, batch):
        self.batches.append(batch)

    def report(self):
        return {}


def released(champion, other, settings=None, **how):
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app

    told = Told()
    models = Released(champion, other, **how)
    return create_app(
        models,
        config=ServingConfig(**(settings or {})),
        tokens={},
        watcher_for=lambda name: told,
    ), told


def test_a_canary_answers_its_predictions_and_says_so(make_served, make_client, record):
    app, told = released(make_served(), make_served(number=2, shift=1.0))
    client = type(make_client())(app)
    path = "/v1/models/churn/predict"
    for name, number in (("a", "1"), ("c", "2"), ("a", "1")):
        answer = client.post(path, json={"records": [record], "id": name})
        assert answer.headers["x-raymm-version"] == number
        assert answer.json()["version"] == int(number)
    assert [batch.version for batch in told.batches] == [1, 2, 1]
    assert told.watched == [(1, True), (2, False)]
    tensors = {"age": 1.0, "income": 1.0, "member": True, "city": "x", "since": 1, "note": "x"}
    kinds = {float: "FP32", bool: "BOOL", str: "BYTES", int: "INT64"}
    inputs = [
        {"name": key, "shape": [1], "datatype": kinds[type(value)], "data": [value]}
        for key, value in tensors.items()
    ]
    for version, number in (("", "2"), ("/versions/1", "1"), ("/versions/2", "2")):
        path = f"/v2/models/churn{version}/infer"
        answer = client.post(path, json={"inputs": inputs, "id": "c"})
        assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, number)
    for version in ("3", "x", "9" * 30, "-1"):
        assert client.post(f"/v2/models/churn/versions/{version}/infer", json={}).status_code == 404


def test_where_a_canary_fails_the_champion_answers(make_served, make_client, record):
    canary = make_served(number=2)

    class Broken:
        def predict(self, tensors):
            raise RuntimeError("no memory")

    object.__setattr__(canary, "runner", Broken())
    app, told = released(make_served(), canary)
    client = type(make_client())(app)
    body = {"records": [record], "id": "c"}
    answer = client.post("/v1/models/churn/predict", json=body)
    assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, "1")
    assert [(one.version, one.error) for one in told.batches] == [(2, "Exception"), (1, "")]
    assert (canary.tally.requests, canary.tally.errors) == (1, 1)
    assert app.state.models.get("churn").tally.errors == 0
    # What is wrong with the request is not the canary's fault.
    wrong = {"records": [record | {"age": "x"}], "id": "c"}
    assert client.post("/v1/models/churn/predict", json=wrong).status_code == 422
    assert canary.tally.errors == 1


def test_what_a_canary_alone_refuses_is_its_failure(make_served, make_client, record):
    canary = make_served(number=2)
    columns = tuple(column for column in canary.schema.columns if column.name != "note")
    canary = replace(canary, schema=replace(canary.schema, columns=columns))
    app, told = released(make_served(), canary)
    client = type(make_client())(app)
    answer = client.post("/v1/models/churn/predict", json={"records": [record], "id": "c"})
    assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, "1")
    assert [(one.version, one.error) for one in told.batches] == [(2, "ServingError"), (1, "")]
    assert (canary.tally.requests, canary.tally.errors) == (1, 1)
    # Who names a version, or sends what no version takes, is told so, and no version has failed.
    inputs = [{"name": "note", "shape": [1], "datatype": "BYTES", "data": ["x"]}]
    for version in ("", "/versions/2"):
        body = {"inputs": inputs, "id": "c"}
        assert client.post(f"/v2/models/churn{version}/infer", json=body).status_code == 422
    refusals = [(one.version, one.error) for one in told.batches[2:]]
    assert refusals == [(1, "InputError"), (2, "InputError")]
    assert (canary.tally.errors, app.state.models.get("churn").tally.errors) == (1, 0)


def test_a_canary_that_reads_fewer_inputs_answers(make_served, make_client):
    canary = make_served(number=2)
    columns = tuple(
        replace(column, role="ignored") if column.name == "note" else column
        for column in canary.schema.columns
    )
    fewer = replace(canary.schema, columns=columns)

    class Fewer:
        schema = fewer
        labels = staticmethod(canary.runner.labels)

        def predict(self, tensors):
            assert "note" not in tensors
            return canary.runner.predict(tensors | {"note": np.array(["x"], object)})

    app, _ = released(make_served(), replace(canary, schema=fewer, runner=Fewer()))
    client = type(make_client())(app)
    kinds = {"age": "FP32", "income": "FP32", "member": "BOOL", "city": "BYTES", "since": "INT64"}
    inputs = [
        {"name": name, "shape": [1], "datatype": kind, "data": [1 if name == "age" else None]}
        for name, kind in (kinds | {"note": "BYTES"}).items()
    ]
    for name, number in (("a", "1"), ("c", "2")):
        answer = client.post("/v2/models/churn/infer", json={"inputs": inputs, "id": name})
        assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, number)


def test_a_shadow_sees_what_the_champion_answers(make_served, make_client, record):
    import time

    app, told = released(make_served(), make_served(number=2, shift=1.0), shadow=True)
    client = type(make_client())(app)
    for name in ("a", "c"):
        answer = client.post("/v1/models/churn/predict", json={"records": [record], "id": name})
        assert answer.headers["x-raymm-version"] == "1"
    deadline = time.monotonic() + 10
    while len(told.batches) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    by_version = {n: [b for b in told.batches if b.version == n] for n in (1, 2)}
    assert [b.ids for b in by_version[2]] == [b.ids for b in by_version[1]] == [("a",), ("c",)]
    assert by_version[2][0].predictions[0, 1] > by_version[1][0].predictions[0, 1]
    assert client.get("/v1/models/churn/release").json()["shadowed"]["answered"] == 2


def test_a_canary_that_hangs_is_judged_and_holds_up_nobody(make_served, make_client, record):
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app

    champion = make_served()
    going, where = threading.Event(), []

    class Hanging:
        schema = champion.schema

        def predict(self, tensors):
            where.append(threading.current_thread().name)
            going.wait(30)
            raise RuntimeError("ended")

    canary = replace(make_served(number=2), runner=Hanging(), row_seconds=1.0)
    champion = replace(champion, row_seconds=0.0)
    app = create_app(Released(champion, canary), config=ServingConfig(answer_time=0.2), tokens={})
    client = type(make_client())(app)
    try:
        for name in "caccac":
            body = {"records": [record], "id": name}
            answer = client.post("/v1/models/churn/predict", json=body)
            assert (answer.status_code, answer.headers["x-raymm-version"]) == (200, "1")
    finally:
        going.set()
    assert (canary.tally.requests, canary.tally.errors) == (4, 4)
    assert (champion.tally.requests, champion.tally.errors) == (6, 0)
    assert len(where) == 1  # nothing more is begun while it hangs
    assert "raymm-canary" in where[0]


@pytest.mark.parametrize("fails", [False, True])
def test_a_canary_is_not_refused_for_the_champions_line(make_served, record, fails):
    """Where it fails and the champion refuses for its line, the failure is the canary's alone."""
    served, going = make_served(), threading.Event()

    class Held:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            assert going.wait(30)
            return served.runner.predict(tensors)

    class Failing(Held):
        def predict(self, tensors):
            raise RuntimeError("no")

    canary = replace(make_served(number=2), row_seconds=1.0)
    if fails:
        canary = replace(canary, runner=Failing())
    champion = replace(served, runner=Held(), row_seconds=100.0)
    settings = {"max_wait": 50, "replicas": {"min": 1, "max": 99}}
    app, _ = released(champion, canary, settings)

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            def ask(name):
                body = {"records": [record], "id": name}
                return asyncio.ensure_future(client.post("/v1/models/churn/predict", json=body))

            first = ask("a")
            while not app.state.service._batches._lines:
                await asyncio.sleep(0.001)
            others = [await ask("a"), await ask("c")]
            going.set()
            return [await first, *others]

    answers = asyncio.run(main())
    assert [one.status_code for one in answers] == [200, 503, 503 if fails else 200]
    assert fails or answers[2].headers["x-raymm-version"] == "2"
    assert (canary.tally.requests, canary.tally.errors) == (1, int(fails))
    assert (champion.tally.requests, champion.tally.errors) == (1, 0)


@pytest.mark.parametrize("joined", [False, True])
def test_a_canary_with_no_place_left_has_not_failed(make_client, make_served, record, joined):
    """A burst is more than it may hold, and the champion answers the rest."""
    champion, going, more = replace(make_served(), row_seconds=0.0), threading.Event(), 4

    class Slow:
        schema = champion.schema
        labels = staticmethod(champion.runner.labels)

        def predict(self, tensors):
            assert going.wait(30)
            return champion.runner.predict(tensors)

    canary = make_served(number=2)
    canary = replace(canary, runner=Slow(), row_seconds=1.0, joined=joined)
    app, told = released(champion, canary, {"max_wait": "off"})

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            body = {"records": [record], "id": "c"}
            asked = [
                asyncio.ensure_future(client.post("/v1/models/churn/predict", json=body))
                for _ in range(PLACES + more)
            ]
            try:
                for one in asyncio.as_completed(asked, timeout=30):
                    await one
                    if sum(task.done() for task in asked) == more:
                        break
            finally:
                going.set()
            return await asyncio.gather(*asked), (await client.get("/metrics")).text

    answers, metrics = asyncio.run(main())
    assert [answer.status_code for answer in answers] == [200] * (PLACES + more)
    versions = [answer.headers["x-raymm-version"] for answer in answers]
    assert (versions.count("2"), versions.count("1")) == (PLACES, more)
    assert (canary.tally.requests, canary.tally.errors) == (PLACES, 0)
    assert (champion.tally.requests, champion.tally.errors) == (more, 0)
    failed = [(batch.version, batch.error) for batch in told.batches if batch.error]
    assert failed == [(2, "CanaryBusy")] * more
    assert (status_of("CanaryBusy"), failed_of({"CanaryBusy": more, "Overloaded": 1})) == (503, 1)
    # Who asked has seen no failure: the metrics of requests tell none.
    assert "raymm_errors_total{" not in metrics


@pytest.mark.parametrize(
    ("row_seconds", "joined", "accepted"), [(0.05, False, 4), (0.05, True, 4), (0.0, True, 12)]
)
def test_slow_answers_wait_for_places_and_quick_ones_take_none(
    make_client, make_served, record, row_seconds, joined, accepted
):
    """Twelve at once, four places: of slow ones eight are refused at once, so none is fifth."""
    served, begun = make_served(), []

    class Sleeping:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            begun.extend(tensors["age"])
            time.sleep(row_seconds)
            return served.runner.predict(tensors)

    slow = replace(served, runner=Sleeping(), row_seconds=row_seconds, joined=joined)
    app = make_client(slow, max_queued=4, max_wait="off").app

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                client.post("/v1/models/churn/predict", json={"records": [record]})
                for _ in range(12)
            ]
            return await asyncio.gather(*asked)

    statuses = [answer.status_code for answer in asyncio.run(main())]
    assert statuses.count(200) == len(begun) == accepted
    assert statuses.count(503) == 12 - accepted


@pytest.mark.parametrize(
    ("row_seconds", "settings", "refused"),
    [
        (100.0, {"max_wait": 50}, 4),
        (100.0, {"max_wait": "350s"}, 1),
        (100.0, {"max_wait": "1h"}, 0),
        (100.0, {"max_wait": "off"}, 0),
        (100.0, {}, 3),  # so many at once: for as long as a row takes
        (0.0, {"max_wait": 0.001}, 0),  # a quick one has no line
    ],
)
def test_who_would_wait_too_long_is_refused(
    make_client, make_served, record, row_seconds, settings, refused
):
    """Five at once: the first is at work for long, and each that waits for as long again."""
    served, going = make_served(), threading.Event()

    class Held:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            assert going.wait(20 if row_seconds else 0) or not row_seconds
            return served.runner.predict(tensors)

    slow = replace(served, runner=Held(), row_seconds=row_seconds, joined=False)
    app = make_client(slow, replicas={"min": 1, "max": 99}, **settings).app
    body = {"records": [record]}

    async def main():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [
                asyncio.create_task(client.post("/v1/models/churn/predict", json=body))
                for _ in range(5)
            ]
            while sum(one.done() for one in asked) < refused:
                await asyncio.sleep(0.001)
            going.set()
            return await asyncio.gather(*asked)

    answers = asyncio.run(main())
    told = [one for one in answers if one.status_code != 200]
    assert len(told) == refused
    for one in told:
        assert (one.status_code, one.headers["retry-after"]) == (503, "1")
        assert "max_wait" in one.json()["error"]["message"]


@pytest.mark.parametrize(
    ("rows", "thread"), [(ROWS, "raymm-predict-line"), (ROWS + 1, "raymm-predict_")]
)
def test_small_bodies_of_many_rows_stand_in_no_line(make_client, make_served, record, rows, thread):
    served, where = make_served(), []

    class Noting:
        schema = served.schema
        labels = staticmethod(served.runner.labels)

        def predict(self, tensors):
            where.append(threading.current_thread().name)
            return served.runner.predict(tensors)

    short = record | {"note": ""}
    client = make_client(replace(served, runner=Noting(), row_seconds=1.0), max_wait=0.001)
    client.app.state.service._batches._waits = lambda _: (0.0, 0.0 if rows <= ROWS else 1.0, False)
    body = json.dumps({"records": [short] * rows}, separators=(",", ":")).encode()
    assert len(body) <= INLINE_BYTES
    answer = client.post("/v1/models/churn/predict", content=body)
    assert len(answer.json()["predictions"]) == rows
    assert [one.startswith(thread) for one in where] == [True]


def test_a_refused_body_is_not_held(make_client):
    """An error, its job and the frame between them make no circle that waits to be collected."""
    client = make_client()
    body = b'{"records": [' + b" " * (2 * INLINE_BYTES) + b"1]}"
    gc.collect()
    gc.disable()
    try:
        assert client.post("/v1/models/churn/predict", content=body).status_code == 422
        held = [one for one in gc.get_objects() if issubclass(type(one), InputError)]
    finally:
        gc.enable()
    assert not held


def test_a_client_that_leaves_is_nobodys_failure(make_served):
    app, told = released(make_served(), make_served(number=2))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"5")]
    path = "/v1/models/churn/predict"
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1",
        "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 499
    assert told.batches == []
    tally = app.state.models.get("churn").tally
    assert (tally.requests, tally.errors) == (0, 0)
