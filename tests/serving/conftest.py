"""A small model of every kind of column, written as a graph by hand, and clients for it."""

from __future__ import annotations

import asyncio
import json

import httpx
import numpy as np
import pytest

from raymm.artifacts import Column, Lineage, Schema, Statistics
from raymm.bundle.packed import Bundle
from raymm.bundle.run import Runner
from raymm.onnx_builder import FLOAT, INT64, STRING, GraphBuilder

COLUMNS = (
    Column(name="age", kind="number", nullable=False, minimum=0, maximum=99, example=41),
    Column(name="income", kind="number", missing=("?",), example=1.5),
    Column(name="member", kind="boolean", categories=("No", "Yes"), example="Yes"),
    Column(name="city", kind="category", categories=("Rome", "Oslo"), example="Rome"),
    Column(name="since", kind="datetime", format="%d/%m/%Y", example="01/02/2020"),
    Column(name="note", kind="text", example="nothing special"),
    Column(name="row_id", kind="number", role="ignored"),
    Column(name="left", kind="boolean", role="target", categories=("no", "yes")),
)
ELEMENT = {"number": FLOAT, "boolean": FLOAT, "category": STRING, "datetime": INT64, "text": STRING}


def _schema(task):
    classes = () if task == "regression" else ("no", "yes")
    return Schema(columns=COLUMNS, target="left", task=task, classes=classes)


def _graph(schema, shift, products=0):
    """P(yes) = sigmoid(age / 100 + shift), or the value age + shift, after that many products."""
    builder = GraphBuilder()
    for column in schema.features:
        builder.input(column.name, ELEMENT[column.kind])
    scale = 1.0 if schema.task == "regression" else 0.01
    score = builder.node("Mul", ["age", builder.constant(np.float32(scale))])
    score = builder.node("Add", [score, builder.constant(np.float32(shift))])
    if products:
        score = builder.node("Add", [score, _zero(builder, products)])
    if schema.task == "regression":
        model = builder.model([(score, "prediction", FLOAT, ["n", 1])])
    else:
        yes = builder.node("Sigmoid", [score])
        no = builder.node("Sub", [builder.constant(np.float32(1)), yes])
        both = builder.node("Concat", [no, yes], axis=1)
        best = builder.node("ArgMax", [both], axis=1, keepdims=0)
        names = builder.constant(np.array(schema.classes, dtype=object), object)
        label = builder.node("Gather", [names, best], axis=0)
        model = builder.model(
            [(label, "prediction", STRING, ["n"]), (both, "probabilities", FLOAT, ["n", 2])]
        )
    return model.SerializeToString()


def _zero(builder, products):
    """Return 0, which nobody knows before as many matrices of 300 x 300 were multiplied."""
    mean = builder.constant(np.full((300, 300), 1 / 300, np.float32))
    age = builder.node("ReduceMax", ["age"], keepdims=0)
    unknown = builder.node("Cast", [builder.node("IsNaN", [age])], to=FLOAT)
    product = builder.node("Add", [mean, unknown])
    for _ in range(products):
        product = builder.node("MatMul", [product, mean])
    most = builder.node("ReduceMax", [product], keepdims=0)
    return builder.node("Mul", [most, builder.constant(np.float32(0))])


class Client:
    """Asks an ASGI application without a socket."""

    def __init__(self, app):
        self.app = app

    def request(self, method, path, **how):
        async def ask():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **how)

        return asyncio.run(ask())

    def get(self, path, **how):
        return self.request("GET", path, **how)

    def post(self, path, **how):
        return self.request("POST", path, **how)


@pytest.fixture(scope="session")
def make_bundle():
    def make(shift=0.0, task="binary", products=0):
        schema = _schema(task)
        lineage = Lineage(
            run="r", data_sha256="0", source="s", seed=0, ledger="", configuration={}, trial={},
            packages={},
        )  # fmt: skip
        statistics = Statistics(rows=0, columns=())
        graph = _graph(schema, shift, products)
        return Bundle(graph=graph, schema=schema, statistics=statistics, lineage=lineage)

    return make


@pytest.fixture(scope="session")
def schema():
    return _schema("binary")


@pytest.fixture
def record():
    return {
        "age": 41,
        "income": 1.5,
        "member": True,
        "city": "Rome",
        "since": "01/02/2020",
        "note": "hi",
    }


@pytest.fixture
def make_served(make_bundle):
    from raymm.serving.rehearsal import warmed

    def make(name="churn", number=1, shift=0.0, task="binary"):
        bundle = make_bundle(shift, task)
        return warmed(name, number, "ab" * 32, Runner(bundle), statistics=bundle.statistics)

    return make


@pytest.fixture
def make_client(make_served):
    from raymm.sections import ServingConfig
    from raymm.serving.app import create_app
    from raymm.serving.sources import FixedModels

    def make(*served, tokens=None, watcher_for=None, **settings):
        app = create_app(
            FixedModels(*(served or (make_served(),))),
            config=ServingConfig(**settings),
            tokens=tokens or {},
            watcher_for=watcher_for,
        )
        return Client(app)

    return make


@pytest.fixture
def post():
    """Post any bytes or value as JSON to a path; returns (status, document)."""

    def send(client, body, path="/v1/models/churn/predict"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = client.post(path, content=data)
        return answer.status_code, answer.json()

    return send


@pytest.fixture
def serve_here():
    """Serve an application on a port of loopback; returns its address."""
    import threading
    import time

    import uvicorn

    running = []

    def start(app):
        config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}", server

    yield start
    for server, thread in running:
        server.should_exit = server.force_exit = True
        thread.join(10)


class Noting:
    """A version's runner that notes how many rows each call had."""

    def __init__(self, served):
        self._runner, self.sizes = served.runner, []
        self.schema, self.labels = served.schema, served.runner.labels

    def predict(self, tensors):
        self.sizes.append(len(tensors["age"]))
        return self._runner.predict(tensors)


@pytest.fixture
def noting():
    """The class of runners that note how many rows each call had."""
    return Noting


@pytest.fixture
def tab(tmp_path):
    """A tab of a headless Chromium; skipped where there is none."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location(
        "raymm_tests_chromium", Path(__file__).with_name("chromium.py")
    )
    chromium = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chromium)
    if chromium.BINARY is None:
        pytest.skip("no Chromium is installed")
    made = chromium.Tab(tmp_path / "browser")
    yield made
    made.close()
