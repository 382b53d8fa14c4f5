"""Where a service is: its record, whether it lives, and requests to it."""

from __future__ import annotations

import http.server
import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from raymm import endpoint
from raymm.errors import ServingError


def made(**changes):
    known = {"name": "loans", "url": "http://127.0.0.1:1", "token": "t", "storage": "s"}
    return endpoint.Service(**{**known, **changes})


def test_records_are_readable_by_their_owner_alone_and_come_back(home):
    endpoint.record(made())
    path = home / "services" / "loans.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert endpoint.find("loans") == made()
    path.unlink()
    assert endpoint.find("loans") is None


def test_a_process_is_known_by_its_start_not_by_its_number_alone():
    own = made(pid=os.getpid(), started=endpoint.started_at(os.getpid()))
    assert endpoint.alive(own)
    assert not endpoint.alive(made(pid=os.getpid(), started=own.started - 1))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = made(pid=child.pid, started=endpoint.started_at(child.pid))
    assert endpoint.alive(alive)
    assert not endpoint.gone(alive)
    child.kill()
    child.wait()
    assert not endpoint.alive(alive)
    assert endpoint.gone(alive)


def test_of_services_that_hold_no_process_those_of_this_machine_are_gone_that_are_silent():
    assert endpoint.gone(made(address="127.0.0.1:7"))
    assert not endpoint.gone(made(address="10.0.0.1:7"))
    assert not endpoint.gone(made())


def test_without_proc_the_start_is_read_from_ps():
    import time

    started = endpoint._listed_start(os.getpid())
    assert 0 < started <= time.time() + 1
    assert endpoint._listed_start(2**22 + 1) == 0.0


@pytest.fixture
def answering():
    """A server that answers /good with its headers and everything else with 422."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status = 200 if self.path == "/good" else 422
            body = json.dumps({"token": self.headers["authorization"]}).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            return None

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_asking_sends_the_token_and_tells_refusals(answering):
    asked = made(url=answering)
    assert endpoint.ask(asked, "/good") == {"token": "Bearer t"}
    with pytest.raises(ServingError, match="answered 422"):
        endpoint.ask(asked, "/bad")
    with pytest.raises(ServingError, match="does not answer"):
        endpoint.ask(made(), "/good")


@pytest.fixture
def saying():
    """Return a function that serves answers of one status, type and body; returns the address."""
    servers = []

    def serve(status, kind, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                return None

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def refusal(url, **changes):
    with pytest.raises(ServingError) as caught:
        endpoint.ask(made(url=url, **changes), "/v1/models/loans")
    return str(caught.value)


@pytest.mark.parametrize(
    "body", [{"error": {"type": "X", "message": "no\nwine."}}, {"error": "no wine."}]
)
def test_an_error_is_told_by_its_message_alone(saying, body):
    url = saying(409, "application/json", json.dumps(body).encode())
    assert refusal(url) == f"{url}/v1/models/loans answered 409: no wine."


def test_a_token_that_is_not_valid_is_told_with_where_one_is_given(saying):
    told = refusal(saying(401, "application/json", b'{"error": {"message": "Send the header: X"}}'))
    assert ("--token" in told, "RAYMM_TOKEN" in told, "{" in told) == (True, True, False)


@pytest.mark.parametrize("status", [200, 401, 404, 503])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<html>" + b"words " * 1000),
        ("application/json; \x1b[31m", b"null"),
        ("text/plain", b"\xff" + b"[" * 100_000),
        ("text/plain", b"[" * 100_000),
    ],
)
def test_what_is_no_service_of_raymm_is_told_in_a_short_line(saying, status, kind, body):
    told = refusal(saying(status, kind, body))
    assert (f"{status} with {kind.split(';')[0]}" in told, len(told) < 200) == (True, True)
    assert told.isprintable()
    assert ("is no raymm service" in told) == (status < 500)


def test_that_nothing_listens_is_told_in_words():
    told = refusal("http://127.0.0.1:1")
    assert ("nothing listens there" in told, "urlopen" in told, "Errno" in told) == (
        True,
        False,
        False,
    )


def test_a_service_whose_process_has_ended_is_told_as_such_whatever_answers(answering):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = {"pid": child.pid, "started": endpoint.started_at(child.pid)}
    assert "has ended" not in refusal("http://127.0.0.1:1", **process)
    child.kill()
    child.wait()
    for url in ("http://127.0.0.1:1", answering):
        told = refusal(url, models=("loans", "wine"), **process)
        assert told.endswith("raymm deploy loans wine")
        assert (str(child.pid) in told, "Errno" in told) == (True, False)


@pytest.fixture
def cut_off():
    """Return a function that serves one answer whose head promises more than its body has."""
    servers = []

    def serve(status):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def answer():
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.sendall(f"HTTP/1.1 {status} X\r\ncontent-length: 100\r\n\r\n{{".encode())
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()


@pytest.mark.parametrize(("status", "told"), [(200, "does not answer"), (500, "answered 500")])
def test_an_answer_that_is_cut_off_is_no_answer(cut_off, status, told):
    with pytest.raises(ServingError, match=told):
        endpoint.ask(made(url=cut_off(status)), "/good")


def test_what_is_no_report_is_refused(answering, monkeypatch):
    with pytest.raises(ServingError, match="answered 422"):
        endpoint.monitored(made(url=answering), "loans")
    for told in ([], {"report": 3}, {}):
        monkeypatch.setattr(endpoint, "ask", lambda *_, told=told: told)
        with pytest.raises(ServingError, match="sent no report of loans"):
            endpoint.monitored(made(), "loans")
