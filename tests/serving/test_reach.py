"""Ports and services that answer."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest

from raymm.errors import ServingError
from raymm.serving.reach import reachable, require_port, wait_answering


def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=rf"{port} cannot be had"):
            require_port("127.0.0.1", port)
    require_port("127.0.0.1", port)


def test_a_service_is_waited_for_until_it_is_ready():
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if len(asked) > 2 else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        wait_answering("0.0.0.0", port, "/m/", time.monotonic() + 10)
        server.shutdown()
    assert asked == ["/m/v2/health/ready"] * 3
    with pytest.raises(ServingError, match="must answer in time"):
        wait_answering("127.0.0.1", port, "/", time.monotonic())


def test_an_address_of_all_is_reached_on_loopback():
    assert [reachable(host) for host in ("0.0.0.0", "", "10.0.0.1")] == [
        "127.0.0.1",
        "127.0.0.1",
        "10.0.0.1",
    ]
