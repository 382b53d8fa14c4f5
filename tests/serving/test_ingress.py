"""The middleware, in a real uvicorn server: what goes over the socket, and who sees what."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.middleware import Middleware

from raymm.cluster import ENVIRONMENT
from raymm.serving import ingress
from raymm.serving.ingress import ShortWay, in_one_piece

PREDICT = "/v1/models/churn/predict"


class App:
    """Answers in pieces; keeps the headers that it saw and how each request ended."""

    def __init__(self, pieces=(b"hello",), fail=False):
        self.pieces, self.fail = pieces, fail
        self.headers, self.ended = [], []

    async def __call__(self, scope, receive, send):
        self.headers.append(dict(scope["headers"]))
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        self.ended.append(message["type"])
        if message["type"] == "http.disconnect":
            return
        length = str(sum(map(len, self.pieces))).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", length)],
            }
        )
        if self.fail:
            raise RuntimeError("after the head")
        for number, piece in enumerate(self.pieces, 1):
            more = number < len(self.pieces)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


@pytest.fixture(params=["httptools", "h11"])
def serve(request, monkeypatch):
    """Serve an application; returns its port and a list of the pieces written to sockets."""
    written = []
    servers = []

    def start(app):
        made = uvicorn.Config(
            app, host="127.0.0.1", port=0, http=request.param, loop="asyncio",
            lifespan="off", log_level="critical",
        )  # fmt: skip
        server = uvicorn.Server(made)
        protocol = made.http_protocol_class if made.loaded else None
        if protocol is None:
            made.load()
            protocol = made.http_protocol_class
        before = protocol.connection_made

        def connection_made(self, transport):
            write = transport.write
            transport.write = lambda data: (written.append(bytes(data)), write(data))
            before(self, transport)

        monkeypatch.setattr(protocol, "connection_made", connection_made)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return server.servers[0].sockets[0].getsockname()[1], written

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


def _request(path, body=b"{}", extra=""):
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{extra}content-length: {len(body)}\r\n\r\n".encode()


def _ask(port, path, body=b"{}"):
    """Post, ask for the connection to be closed, and return all that comes."""
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(_request(path, body, "connection: close\r\n") + body)
        return b"".join(iter(lambda: link.recv(65536), b""))


def _wait(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_prediction_is_written_in_one_piece(serve):
    app = App()
    port, written = serve(ShortWay(app))
    answer = _ask(port, PREDICT)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nhello")
    assert written == [answer]
    assert app.headers[0][b"x-request-disconnect-disabled"] == b"?1"


@pytest.mark.parametrize("path", ["/", "/metrics", "/predict", f"{PREDICT}/more"])
def test_other_requests_pass_as_they_are(serve, path):
    app = App()
    port, written = serve(ShortWay(app))
    answer = _ask(port, path)
    assert answer.endswith(b"\r\n\r\nhello")
    assert b"".join(written) == answer
    assert len(written) > 1
    assert b"x-request-disconnect-disabled" not in app.headers[0]


def test_longer_answers_come_whole(serve):
    pieces = [b"a" * 10, b"b" * 200_000, b"c"]
    port, written = serve(ShortWay(App(pieces)))
    answer = _ask(port, PREDICT)
    assert answer.endswith(b"\r\n\r\n" + b"".join(pieces))
    assert written[0].endswith(pieces[0])


def test_a_failure_after_the_head_is_told(serve):
    port, _ = serve(ShortWay(App(fail=True)))
    assert _ask(port, PREDICT).startswith(b"HTTP/1.1 500")


def test_connections_are_kept_and_requests_may_wait_in_line(serve):
    port, written = serve(ShortWay(App()))
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall((_request(PREDICT) + b"{}") * 3)
        found = b""
        while found.count(b"hello") < 3:
            found += link.recv(65536)
    assert len(written) == 3


def test_a_client_that_waits_to_be_asked_for_the_body(serve):
    port, _ = serve(ShortWay(App()))
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(_request(PREDICT, b"{}", "expect: 100-continue\r\n"))
        assert link.recv(100).startswith(b"HTTP/1.1 100")
        link.sendall(b"{}")
        assert b"200 OK" in link.recv(65536)


def test_a_client_that_leaves_is_seen_and_harms_nobody(serve):
    app = App()
    port, _ = serve(ShortWay(app))
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(_request(PREDICT, b"x" * 100) + b"x")
    _wait(lambda: app.ended)
    assert app.ended == ["http.disconnect"]
    assert _ask(port, PREDICT).endswith(b"hello")


def test_a_client_that_still_sends_holds_no_place_and_one_that_left_no_memory(
    serve, make_client, record
):
    app = make_client(max_queued=1).app
    intake = app.state.service.intake
    port, _ = serve(ShortWay(app))
    path = "/v1/models/churn/predict"
    with socket.create_connection(("127.0.0.1", port), 10) as link:
        link.sendall(_request(path, b"x" * 100) + b"x")
        _wait(lambda: intake.held > 0)
        body = json.dumps({"records": [record]}).encode()
        assert b" 200 " in _ask(port, path, body).splitlines()[0]
    _wait(lambda: intake.held == 0)


def test_another_send_is_left_alone():
    async def send(message):
        raise AssertionError

    assert in_one_piece(send) is send


def test_messages_of_a_send_without_answer_go_through():
    class Cycle:
        transport = None

        def __init__(self):
            self.sent = []

        async def send(self, message):
            self.sent.append(message["type"])

    cycle = Cycle()
    with contextlib.suppress(StopIteration):
        asyncio.run(in_one_piece(cycle.send)({"type": "http.response.body", "body": b""}))
    assert cycle.sent == ["http.response.body"]


def test_ray_finds_it_by_its_name():
    module, _, function = ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].partition(":")
    assert module == ingress.__name__
    (middleware,) = getattr(ingress, function)()
    assert isinstance(middleware, Middleware)
    assert middleware.cls is ShortWay


def test_the_collector_overlooks_what_is_there_at_the_first_prediction(monkeypatch):
    frozen, collected = [], []
    monkeypatch.setattr(ingress.gc, "freeze", lambda: frozen.append(True))
    monkeypatch.setattr(ingress.gc, "collect", lambda: collected.append(len(frozen)))
    way = ShortWay(App())

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        pass

    async def ask(path):
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        await way(scope, receive, send)

    for path, times in (("/v1/models/churn/feedback", 0), (PREDICT, 1), (PREDICT, 1)):
        asyncio.run(ask(path))
        assert len(frozen) == times
    assert collected == [0]  # once, before
