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
    child.kill()
    child.wait()
    assert not endpoint.alive(alive)


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
    threading.Thread(target=server.serve_forever, daemon=True).start()
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
